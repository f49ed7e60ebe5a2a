/* TensorBoard event files, written: scalars, pictures, the graph of a network, hyper-parameters.
 *
 * A file is a run, which TensorBoard names after its folder (tensorboard --logdir runs). cln_fit writes one for each
 * run (clnet/train.h). */
#ifndef CLNET_TENSORBOARD_H
#define CLNET_TENSORBOARD_H

#include "clnet/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An event file that is being written. */
typedef struct cln_tensorboard cln_tensorboard;

/* Begins a new file, events.out.tfevents.<time>.<host>.<process>.<number>.clnet, in a folder that exists. Borrows
 * `ctx`, to which errors go. The caller frees *out with cln_tensorboard_close. */
CLN_API cln_status cln_tensorboard_open(cln_context *ctx, const char *folder, cln_tensorboard **out);
/* Goes on with the file `name` of `folder` after its first `bytes` bytes, which cln_tensorboard_bytes told once: what
 * was written after those is cut off; with 0, the file is begun anew. CLN_INVALID_ARGUMENT if the name is none that
 * cln_tensorboard_open gives, CLN_IO if there is no such file, CLN_INVALID_FILE if it is shorter. */
CLN_API cln_status cln_tensorboard_append(cln_context *ctx, const char *folder, const char *name, int64_t bytes,
                                          cln_tensorboard **out);
/* Frees; what was written since the last cln_tensorboard_flush may be lost, and nobody is told. NULL is allowed. */
CLN_API void cln_tensorboard_close(cln_tensorboard *board);

/* The file's name in its folder, valid until cln_tensorboard_close. */
CLN_API const char *cln_tensorboard_name(const cln_tensorboard *board);
/* Its length with all that was written so far; what follows a flush is on the disk. */
CLN_API int64_t cln_tensorboard_bytes(const cln_tensorboard *board);
/* Whether `name` is one that cln_tensorboard_open gives. */
CLN_API bool cln_tensorboard_is_name(const char *name);

/* A point of the curve `tag`. */
CLN_API cln_status cln_tensorboard_scalar(cln_tensorboard *board, const char *tag, int64_t step, double value);
/* A picture: the bytes of a PNG file. CLN_INVALID_ARGUMENT if they are none. */
CLN_API cln_status cln_tensorboard_image(cln_tensorboard *board, const char *tag, int64_t step, const void *png,
                                         size_t size);
/* Such bytes for cln_tensorboard_image, or for a file: from pixels [height][width][channels] of 8 bits, grey (1
 * channel) or RGB (3). *png is malloc'ed, owned by the caller. */
CLN_API cln_status cln_png_encode(cln_context *ctx, int width, int height, int channels, const uint8_t *pixels,
                                  uint8_t **png, size_t *size);
/* The network, for the graph page: what the model's own code made, nested by the parts of the layers' names
 * ("blocks.0.net.0" is blocks/0/net/0), with shapes and attributes. Layers without a name, such as activations, are put
 * beside what they belong to. Fails if the graph has failed. */
CLN_API cln_status cln_tensorboard_graph(cln_tensorboard *board, const cln_graph *graph);
/* Hyper-parameters, for the HPARAMS page: the members of the JSON object `json`, numbers, strings and booleans;
 * whatever else is shown as its JSON text. The page first shows the first five. `metrics` are tags of scalars by which
 * it compares runs. Once a file. */
CLN_API cln_status cln_tensorboard_hparams(cln_tensorboard *board, const char *json, const char *const *metrics,
                                           int metric_count);
/* Tells the HPARAMS page how the run ended. */
CLN_API cln_status cln_tensorboard_end(cln_tensorboard *board, bool success);
/* Everything so far is on the disk when this returns. */
CLN_API cln_status cln_tensorboard_flush(cln_tensorboard *board);

#ifdef __cplusplus
}
#endif
#endif
