/* PyTorch's checkpoints: what torch.save wrote of a state_dict, bare or within a dict, as PyTorch Lightning does.
 * Nothing of the file is executed. Two containers hold the same object: a legacy stream (torch_legacy.c) and a zip
 * archive (torch_zip.c). */
#ifndef CLN_SRC_TORCH_FILE_H
#define CLN_SRC_TORCH_FILE_H

#include "../base/base.h"
#include "clnet/safetensors.h"

typedef struct cln__torch_file cln__torch_file;

/* Whether a file that begins with these bytes may be one. */
bool cln__torch_is_zip(const uint8_t *bytes, size_t size);
bool cln__torch_is_legacy(const uint8_t *bytes, size_t size);

/* Reads a file that is in memory; takes `bytes` (malloc'ed) over, also on failure. The caller frees *out. `path` is for
 * messages. */
cln_status cln__torch_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size, cln__torch_file **out);
void cln__torch_free(cln__torch_file *file);

/* The tensors of the state_dict: nested dicts joined by '.', Lightning's "model." taken off. */
size_t cln__torch_count(const cln__torch_file *file);
const cln_file_tensor *cln__torch_at(const cln__torch_file *file, size_t index);
const cln_file_tensor *cln__torch_find(const cln__torch_file *file, const char *name);
/* Lightning's "epoch", "global_step" and "pytorch-lightning_version" as text, and "hyper_parameters" as JSON. NULL for
 * what the file does not have. */
const char *cln__torch_metadata(const cln__torch_file *file, const char *key);

#endif
