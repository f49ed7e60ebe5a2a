/* PyTorch's checkpoints of before 1.6: the input is the file, a stream of pickles and storages. */
#include "checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    checkpoint_read(data, size);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    if (index >= CHECKPOINT_KINDS)
        return false;
    fuzz_text(out, "\x80\x02\x8a\x0al\xfc\x9c"
                   "F\xf9 j\xa8P\x19.");  /* the magic number */
    fuzz_text(out, "\x80\x02M\xe9\x03."); /* protocol 1001 */
    fuzz_text(out, "\x80\x02}X");         /* about the system that wrote it */
    fuzz_little(out, 13, 4);
    fuzz_text(out, "little_endian\x88s.");
    checkpoint_object(index, true, out);
    fuzz_text(out, "\x80\x02](X");
    fuzz_little(out, 1, 4);
    fuzz_text(out, "0X");
    fuzz_little(out, 1, 4);
    fuzz_text(out, "1e.");
    fuzz_little(out, 6, 8);
    for (int i = 0; i < 6; i++)
        fuzz_little(out, 0x3f800000u + (unsigned)i, 4);
    fuzz_little(out, 4, 8);
    for (int i = 0; i < 4; i++)
        fuzz_little(out, (uint64_t)i, 8);
    return true;
}
