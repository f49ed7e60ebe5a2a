/* Fuzz targets: each fuzz_<format>.c defines LLVMFuzzerTestOneInput and fuzz_seed, and is linked with fuzz.c and with
 * either libFuzzer or driver.c. What makes a finding is the sanitizers, a time limit, and fuzz_check. */
#ifndef CLN_TESTS_FUZZ_H
#define CLN_TESTS_FUZZ_H

#include "clnet/data.h"
#include "clnet/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fuzz_bytes {
    uint8_t *data; /* malloc'ed; the caller frees it */
    size_t size;
} fuzz_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Appends a well-formed input to the empty *out; false if there are fewer seeds than that. */
bool fuzz_seed(int index, fuzz_bytes *out);

/* --- for targets (fuzz.c) --- */

/* Aborts, which is a finding, unless `holds`. */
void fuzz_check(bool holds, const char *what);
/* For sums over memory that should be readable, which nobody wants otherwise. */
void fuzz_use(unsigned value);
/* A status must be success, or a failure that says why. */
void fuzz_check_status(cln_context *ctx, cln_status status);
/* Reads every byte of the tensor, by all ways there are. */
void fuzz_read_tensor(const cln_file_tensor *tensor);
/* Reads all of a data set, which must not be empty. */
void fuzz_check_dataset(const cln_dataset *dataset);

/* A file in the target's folder, which is made anew for every process: its path, to be freed. */
const char *fuzz_folder(void);
void fuzz_write(const char *name, const uint8_t *data, size_t size);
void fuzz_remove(const char *name);
char *fuzz_path(const char *name);

/* --- for seeds --- */

void fuzz_put(fuzz_bytes *out, const void *data, size_t size);
void fuzz_text(fuzz_bytes *out, const char *text);
/* The lowest `size` bytes of `value`. */
void fuzz_little(fuzz_bytes *out, uint64_t value, int size);
void fuzz_big(fuzz_bytes *out, uint64_t value, int size);

#endif
