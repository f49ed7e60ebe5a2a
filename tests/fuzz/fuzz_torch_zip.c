/* PyTorch's checkpoints since 1.6: the input is the file, a zip archive of stored entries. */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    checkpoint_read(data, size);
    return 0;
}

/* What the local header and the directory share. */
static void entry_fields(const char *name, const fuzz_bytes *data, fuzz_bytes *out) {
    fuzz_little(out, 0, 2); /* flags; stored; time and date */
    fuzz_little(out, 0, 2);
    fuzz_little(out, 0, 4);
    fuzz_little(out, crc32(0, data->data, (uInt)data->size), 4);
    fuzz_little(out, data->size, 4);
    fuzz_little(out, data->size, 4);
    fuzz_little(out, strlen(name), 2);
    fuzz_little(out, 0, 2);
}

static void add_entry(const char *name, fuzz_bytes *data, fuzz_bytes *out, fuzz_bytes *directory, int *count) {
    size_t at = out->size;
    fuzz_text(out, "PK\x03\x04");
    fuzz_little(out, 10, 2);
    entry_fields(name, data, out);
    fuzz_text(out, name);
    fuzz_put(out, data->data, data->size);
    fuzz_text(directory, "PK\x01\x02");
    fuzz_little(directory, 10, 2);
    fuzz_little(directory, 10, 2);
    entry_fields(name, data, directory);
    fuzz_little(directory, 0, 2); /* comment, disk, attributes */
    fuzz_little(directory, 0, 4);
    fuzz_little(directory, 0, 4);
    fuzz_little(directory, at, 4);
    fuzz_text(directory, name);
    free(data->data);
    *data = (fuzz_bytes){0};
    ++*count;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    fuzz_bytes directory = {0}, data = {0};
    int count = 0;
    if (index >= CHECKPOINT_KINDS)
        return false;
    checkpoint_object(index, false, &data);
    add_entry("x/data.pkl", &data, out, &directory, &count);
    for (int i = 0; i < 6; i++)
        fuzz_little(&data, 0x3f800000u + (unsigned)i, 4);
    add_entry("x/data/0", &data, out, &directory, &count);
    for (int i = 0; i < 4; i++)
        fuzz_little(&data, (uint64_t)i, 8);
    add_entry("x/data/1", &data, out, &directory, &count);
    fuzz_text(&data, "3\n");
    add_entry("x/version", &data, out, &directory, &count);
    size_t at = out->size;
    fuzz_put(out, directory.data, directory.size);
    fuzz_text(out, "PK\x05\x06");
    fuzz_little(out, 0, 4);
    fuzz_little(out, (uint64_t)count, 2);
    fuzz_little(out, (uint64_t)count, 2);
    fuzz_little(out, directory.size, 4);
    fuzz_little(out, at, 4);
    fuzz_little(out, 0, 2);
    free(directory.data);
    return true;
}
