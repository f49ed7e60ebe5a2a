/* Files of weights, whatever their format: safetensors, and the checkpoints of PyTorch. */
#ifndef CLNET_WEIGHTS_FILE_H
#define CLNET_WEIGHTS_FILE_H

#include "clnet/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A whole file in memory. */
typedef struct cln_weights_file cln_weights_file;

/* Reads and checks a whole file, whose format is found out from its content, not from its name:
 * - safetensors;
 * - what torch.save writes of a state_dict, alone or in a dict as "state_dict", "model_state_dict" or "model", in the
 * zip format of PyTorch 1.6 and later and in the legacy one before it. Dicts within the state_dict are joined by '.';
 *   the "model." that PyTorch Lightning puts before every name is taken off. Nothing in the file is executed: what is
 *   no tensor, number, text, list or dict is skipped, unless a tensor depends on it.
 * The caller frees *out; everything it hands out lives until then. */
CLN_API cln_status cln_weights_file_read(cln_context *ctx, const char *path, cln_weights_file **out);
/* With all tensors and texts that it has handed out. */
CLN_API void cln_weights_file_free(cln_weights_file *file);
/* How many tensors it has. */
CLN_API size_t cln_weights_file_count(const cln_weights_file *file);
/* In the order of the file; NULL beyond the last. */
CLN_API const cln_file_tensor *cln_weights_file_at(const cln_weights_file *file, size_t index);
/* NULL if there is no such tensor. */
CLN_API const cln_file_tensor *cln_weights_file_find(const cln_weights_file *file, const char *name);
/* What the file says besides, or NULL: a value of safetensors' __metadata__; of a checkpoint of PyTorch Lightning
 * "epoch", "global_step" and "pytorch-lightning_version" as text, and "hyper_parameters" as a JSON object. */
CLN_API const char *cln_weights_file_metadata(const cln_weights_file *file, const char *key);

#ifdef __cplusplus
}
#endif
#endif
