#include "checkpoint.h"
#include "../../src/io/torch_file.h"

#include <stdlib.h>
#include <string.h>

static void text(fuzz_bytes *out, const char *value) {
    fuzz_text(out, "X");
    fuzz_little(out, strlen(value), 4);
    fuzz_text(out, value);
}

/* dict[name] = the tensor that is laid over a whole storage. */
static void tensor(const char *name, const char *storage, const char *key, int rows, int columns, bool legacy,
                   fuzz_bytes *out) {
    text(out, name);
    fuzz_text(out, "ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    fuzz_text(out, "ctorch\n");
    fuzz_text(out, storage);
    fuzz_text(out, "\n");
    text(out, key);
    text(out, "cpu");
    fuzz_text(out, "K");
    fuzz_little(out, (uint64_t)(rows * columns), 1);
    fuzz_text(out, legacy ? "NtQK" : "tQK");
    fuzz_little(out, 0, 1); /* its place in the storage */
    fuzz_text(out, "K");
    fuzz_little(out, (uint64_t)rows, 1);
    fuzz_text(out, "K");
    fuzz_little(out, (uint64_t)columns, 1);
    fuzz_text(out, "\x86K");
    fuzz_little(out, (uint64_t)columns, 1);
    fuzz_text(out, "K\x01\x86\x89" /* does not require gradients */
                   "ccollections\nOrderedDict\n)RtRs");
}

void checkpoint_object(int kind, bool legacy, fuzz_bytes *out) {
    fuzz_text(out, kind == 3 ? "\x80\x04" : "\x80\x02");
    if (kind == 2) {
        fuzz_text(out, "}(");
        text(out, "epoch");
        fuzz_text(out, "K\x0b");
        text(out, "hyper_parameters");
        fuzz_text(out, "}(");
        text(out, "model_name");
        text(out, "ResNet");
        text(out, "lr");
        fuzz_text(out, "G");
        fuzz_big(out, 0x3fb999999999999a, 8);
        text(out, "c_hidden");
        fuzz_text(out, "](K\x10K\x20"
                       "eu");
        text(out, "state_dict");
    }
    fuzz_text(out, kind == 0 || kind == 3 ? "}q\x01" : "ccollections\nOrderedDict\n)Rq\x01");
    if (kind == 3) {
        fuzz_text(out, "\x8c\x04name\x94\x8c\x02no\x94s"); /* SHORT_BINUNICODE, MEMOIZE */
        fuzz_text(out, "h\x01");
        fuzz_text(out, "0");
    }
    tensor(kind == 2 ? "model.w" : "w", "FloatStorage", "0", 2, 3, legacy, out);
    tensor(kind == 2 ? "model.n" : "n", "LongStorage", "1", 4, 1, legacy, out);
    fuzz_text(out, kind == 2 ? "u." : ".");
}

void checkpoint_read(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln__torch_file *file = NULL;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy || cln_context_new(&ctx) != CLN_OK) {
        free(copy);
        return;
    }
    memcpy(copy, data, size);
    cln_status status = cln__torch_take(ctx, "x.ckpt", copy, size, &file);
    fuzz_check_status(ctx, status);
    for (size_t i = 0; status == CLN_OK && i < cln__torch_count(file); i++) {
        fuzz_read_tensor(cln__torch_at(file, i));
        fuzz_check(cln__torch_find(file, cln__torch_at(file, i)->name) != NULL, "a tensor that is not found");
    }
    if (status == CLN_OK && cln__torch_metadata(file, "hyper_parameters"))
        fuzz_check(strlen(cln__torch_metadata(file, "hyper_parameters")) > 0, "no hyper-parameters");
    if (status == CLN_OK)
        cln__torch_free(file);
    cln_context_free(ctx);
}
