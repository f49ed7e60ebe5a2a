/* CIFAR-10 and CIFAR-100. The input is a byte of choices, the length of the file of class names in two bytes
 * (big-endian), that file, and the beginning of a file of records, which is filled up with zeros. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { HUNDRED = 1, NAMES = 2, EXACT = 4, TRAIN = 8, PLANE = 3072 };

/* The records; filled up to a whole number of them, unless EXACT is chosen: chance alone would seldom meet one. */
static void write_records(const char *name, int choices, const uint8_t *data, size_t size) {
    size_t record = PLANE + (choices & HUNDRED ? 2 : 1), room = (size + record - 1) / record * record;
    uint8_t *bytes = calloc(room + 1, 1);
    if (!bytes)
        exit(1);
    if (size)
        memcpy(bytes, data, size);
    fuzz_write(name, bytes, choices & EXACT ? size : room);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln_dataset *dataset;
    if (size < 3 || cln_context_new(&ctx) != CLN_OK)
        return 0;
    int choices = data[0];
    bool hundred = choices & HUNDRED, train = hundred && choices & TRAIN;
    size_t length = (size_t)data[1] << 8 | data[2];
    length = length < size - 3 ? length : size - 3;
    const char *records = train ? "train.bin" : hundred ? "test.bin" : "test_batch.bin";
    const char *names = hundred ? "fine_label_names.txt" : "batches.meta.txt";
    if (choices & NAMES)
        fuzz_write(names, data + 3, length);
    write_records(records, choices, data + 3 + length, size - 3 - length);
    cln_status status = cln_dataset_load(ctx, fuzz_folder(), train ? CLN_SPLIT_TRAIN : CLN_SPLIT_TEST, NULL, &dataset);
    fuzz_check_status(ctx, status);
    if (status == CLN_OK) {
        fuzz_check(dataset->channels == 3 && dataset->height == 32 && dataset->width == 32, "the images' form");
        fuzz_check_dataset(dataset);
        cln_dataset_free(dataset);
    }
    fuzz_remove(records);
    fuzz_remove(names);
    cln_context_free(ctx);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const struct {
        int choices, records;
    } sets[] = {{EXACT, 1}, {EXACT | HUNDRED, 1}, {NAMES, 2}, {NAMES | HUNDRED, 1}, {HUNDRED | TRAIN, 2}};
    if (index >= (int)(sizeof sets / sizeof *sets))
        return false;
    int choices = sets[index].choices, names = choices & NAMES ? choices & HUNDRED ? 100 : 10 : 0;
    fuzz_big(out, (uint64_t)choices, 1);
    fuzz_big(out, (uint64_t)names * 3, 2);
    for (int i = 0; i < names; i++) {
        fuzz_big(out, (uint64_t)(unsigned)('a' + i / 10), 1);
        fuzz_big(out, (uint64_t)(unsigned)('0' + i % 10), 1);
        fuzz_text(out, "\n");
    }
    for (int i = 0; i < sets[index].records; i++) {
        fuzz_big(out, (uint64_t)i, 1);
        if (choices & HUNDRED)
            fuzz_big(out, (uint64_t)(i + 7), 1);
        for (int k = 0; (choices & EXACT || i + 1 < sets[index].records) && k < PLANE; k++)
            fuzz_big(out, (uint64_t)k, 1);
    }
    return true;
}
