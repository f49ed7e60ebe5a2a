/* The safetensors reader: the input is the file. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln_safetensors *file;
    if (cln_context_new(&ctx) != CLN_OK)
        return 0;
    fuzz_write("x.safetensors", data, size);
    char *path = fuzz_path("x.safetensors");
    cln_status status = cln_safetensors_read(ctx, path, &file);
    fuzz_check_status(ctx, status);
    fuzz_check((status == CLN_OK) == (file != NULL), "a file after a failure, or none after success");
    for (size_t i = 0; file && i < cln_safetensors_count(file); i++) {
        const cln_file_tensor *tensor = cln_safetensors_at(file, i);
        fuzz_read_tensor(tensor);
        fuzz_check(cln_safetensors_find(file, tensor->name) == tensor, "a tensor that is not found by its name");
    }
    if (file && cln_safetensors_metadata(file, "format"))
        fuzz_check(strlen(cln_safetensors_metadata(file, "format")) < size, "metadata that the file has no room for");
    cln_safetensors_free(file);
    fuzz_remove("x.safetensors");
    free(path);
    cln_context_free(ctx);
    return 0;
}

static const struct {
    const char *header;
    size_t data;
} files[] = {
    {"{}", 0},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}  ", 24},
    {"{\"__metadata__\":{\"format\":\"pt\",\"epoch\":\"12\"},\"a.weight\":{\"dtype\":\"F16\",\"shape\":[3],"
     "\"data_offsets\":[0,6]},\"a.bias\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[6,8]},"
     "\"n\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[8,16]}}",
     16},
    {"{\"e\":{\"dtype\":\"F64\",\"shape\":[0,5],\"data_offsets\":[0,0]},\"u\":{\"dtype\":\"U8\",\"shape\":[4],"
     "\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[4,6]},"
     "\"s\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[6,8]}}",
     8},
    {"{\"__metadata__\":{\"\\u00e4\\ud83d\\ude00\":\"\\n\\\"\"},\"\xc3\xa4\":{\"shape\":[1,1,1,1,1,1,1,1],"
     "\"data_offsets\":[0,4],\"dtype\":\"I32\"}}",
     4},
};

bool fuzz_seed(int index, fuzz_bytes *out) {
    if (index >= (int)(sizeof files / sizeof *files))
        return false;
    fuzz_little(out, strlen(files[index].header), 8);
    fuzz_text(out, files[index].header);
    for (size_t i = 0; i < files[index].data; i++)
        fuzz_little(out, 3 * i, 1);
    return true;
}
