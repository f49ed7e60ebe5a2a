/* IDX data sets. The input is a byte of choices, the length of the images file in two bytes (big-endian), that file,
 * and the labels file. */
#include "fuzz.h"

#include <stdlib.h>
#include <zlib.h>

enum { IMAGES_GZ = 1, LABELS_GZ = 2, TRAIN = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln_dataset *dataset;
    if (size < 3 || cln_context_new(&ctx) != CLN_OK)
        return 0;
    size_t length = (size_t)data[1] << 8 | data[2];
    length = length < size - 3 ? length : size - 3;
    bool train = data[0] & TRAIN;
    const char *images = train ? data[0] & IMAGES_GZ ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte"
                         : data[0] & IMAGES_GZ ? "t10k-images-idx3-ubyte.gz"
                                               : "t10k-images-idx3-ubyte";
    const char *labels = train ? data[0] & LABELS_GZ ? "train-labels-idx1-ubyte.gz" : "train-labels-idx1-ubyte"
                         : data[0] & LABELS_GZ ? "t10k-labels-idx1-ubyte.gz"
                                               : "t10k-labels-idx1-ubyte";
    fuzz_write(images, data + 3, length);
    fuzz_write(labels, data + 3 + length, size - 3 - length);
    cln_status status = cln_dataset_load(ctx, fuzz_folder(), train ? CLN_SPLIT_TRAIN : CLN_SPLIT_TEST, NULL, &dataset);
    fuzz_check_status(ctx, status);
    if (status == CLN_OK) {
        fuzz_check_dataset(dataset);
        cln_dataset_free(dataset);
    }
    fuzz_remove(images);
    fuzz_remove(labels);
    cln_context_free(ctx);
    return 0;
}

static void compress_bytes(fuzz_bytes *b) {
    uint8_t out[4096];
    z_stream z = {.next_in = b->data, .avail_in = (uInt)b->size, .next_out = out, .avail_out = sizeof out};
    if (deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        deflate(&z, Z_FINISH);
    b->size = 0;
    fuzz_put(b, out, sizeof out - z.avail_out);
    deflateEnd(&z);
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const struct {
        int choices, count, side;
    } sets[] = {{0, 2, 3}, {TRAIN, 3, 1}, {IMAGES_GZ | LABELS_GZ, 2, 4}, {TRAIN | IMAGES_GZ, 4, 2}, {0, 1, 28}};
    if (index >= (int)(sizeof sets / sizeof *sets))
        return false;
    fuzz_bytes images = {0}, labels = {0};
    int count = sets[index].count, side = sets[index].side;
    fuzz_big(&images, 0x803, 4);
    fuzz_big(&images, (uint64_t)count, 4);
    fuzz_big(&images, (uint64_t)side, 4);
    fuzz_big(&images, (uint64_t)side, 4);
    for (int i = 0; i < count * side * side; i++)
        fuzz_big(&images, (uint64_t)i, 1);
    fuzz_big(&labels, 0x801, 4);
    fuzz_big(&labels, (uint64_t)count, 4);
    for (int i = 0; i < count; i++)
        fuzz_big(&labels, (uint64_t)i, 1);
    if (sets[index].choices & IMAGES_GZ)
        compress_bytes(&images);
    if (sets[index].choices & LABELS_GZ)
        compress_bytes(&labels);
    fuzz_big(out, (uint64_t)sets[index].choices, 1);
    fuzz_big(out, images.size, 2);
    fuzz_put(out, images.data, images.size);
    fuzz_put(out, labels.data, labels.size);
    free(images.data);
    free(labels.data);
    return true;
}
