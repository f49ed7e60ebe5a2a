/* Trained networks for other programs: weights as safetensors, for PyTorch; whole networks as ONNX, for inference
 * engines. Both work on the host alone; only cln_onnx_save asks a device for the weights. */
#ifndef CLNET_EXPORT_H
#define CLNET_EXPORT_H

#include "clnet/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- weights as safetensors --- */

/* Writes the parameters and running statistics of `graph`, in its order, to `path` (as cln_file_write does), rounded to
 * `dtype`: CLN_F32, CLN_F16 or CLN_BF16 (see cln_floats_to_dtype). `tensors` are the values, of any type: all of them
 * and no others ("num_batches_tracked" is ignored), else CLN_INVALID_FILE. A value that is finite, but not in `dtype`,
 * is CLN_INVALID_ARGUMENT. */
CLN_API cln_status cln_weights_write(cln_context *ctx, const char *path, const cln_graph *graph,
                                     const cln_file_tensor *tensors, size_t count, cln_dtype dtype,
                                     const cln_metadata *metadata, size_t metadata_count);

/* --- a network as ONNX (https://onnx.ai, operators of edition 17) --- */

/* How a network is written as ONNX; zeros: as it was trained, for normalised input. */
typedef struct cln_onnx_options {
    /* Put each batch normalisation that directly follows a convolution into its weight and bias. Otherwise all are
     * kept, and all parameters are as they were trained. */
    bool fold_batchnorm;
    /* Not NULL: the input is uint8, levels of grey or colour as they are in an image file, and the model normalises
     * them by this first. NULL: the input is float32, normalised already. */
    const cln_normalization *normalization;
    const cln_metadata *metadata; /* what the file is to say of itself (metadata_props) */
    size_t metadata_count;        /* of `metadata` */
} cln_onnx_options;

/* Writes what `output` is computed from, as it is in evaluation, to `path` (as cln_file_write does). The model has the
 * input "input" (batch, c, h, w), or if there are several, these by their names; the output "logits", (batch, c) where
 * it is flat, for any batch; parameters are called as in the graph, which is as in PyTorch. `tensors` are the values of
 * all parameters and running statistics of the graph, of any type, and no others ("num_batches_tracked" is ignored).
 * `options` may be NULL.
 *
 * CLN_UNSUPPORTED if a layer that `output` needs has no counterpart in ONNX (the loss and the accuracy have none, nor
 * have labels), or if the file would have 2 GiB or more, which the format does not allow; CLN_INVALID_FILE if a tensor
 * is missing, unknown or of another shape than in the graph. */
CLN_API cln_status cln_onnx_write(cln_context *ctx, const char *path, const cln_graph *graph, cln_tensor output,
                                  const cln_file_tensor *tensors, size_t count, const cln_onnx_options *options);
/* The same with the weights that are on a device. */
CLN_API cln_status cln_onnx_save(cln_context *ctx, cln_weights *weights, const char *path, const cln_graph *graph,
                                 cln_tensor output, const cln_onnx_options *options);

/* --- from file to file --- */

/* What cln_export writes. */
typedef enum cln_export_format {
    CLN_EXPORT_SAFETENSORS, /* parameters and running statistics, by PyTorch's names */
    CLN_EXPORT_ONNX,        /* the network with its weights */
} cln_export_format;

/* From which file to which, and how. */
typedef struct cln_export_options {
    const char *weights; /* a file of any format that cln_weights_file_read takes; also a run's resume.safetensors */
    const char *out;     /* must be another file */
    cln_export_format format;       /* whatever `out` is called */
    const cln_model *const *models; /* among which the file's metadata names one */
    int model_count;                /* of `models` */
    const cln_model *model;         /* not NULL: this one, with `hparams` (JSON; NULL: the file's, or the defaults) */
    const char *hparams;            /* NULL: see above */
    int image_height, image_width;  /* 0: the file's; what it does not say is 32x32 */
    const char *normalize;   /* how its images are normalised: "cifar10" or "M1,M2/S1,S2"; NULL: as the file says */
    cln_dtype dtype;         /* of safetensors: CLN_F32, CLN_F16 or CLN_BF16, as cln_floats_to_dtype rounds */
    bool fold_batchnorm;     /* of ONNX: see cln_onnx_options */
    bool with_normalization; /* of ONNX: the model normalises its images */
} cln_export_options;

/* What was written. */
typedef struct cln_export_result {
    const cln_model *model;  /* one of options->models, or options->model */
    int64_t parameters;      /* trainable */
    uint64_t bytes;          /* of the file */
    cln_shape input, output; /* of images and logits, as in the graph that was rebuilt */
} cln_export_result;

/* Rebuilds the network of a weights file, checks that these are its weights, and writes them, or it. The file says of
 * itself (in metadata, or metadata_props) what is known of "library", "model", "hparams", "image_shape",
 * "normalization", "class_names" and "epoch", and in safetensors also of the training ("recipe", "seed", "split",
 * "metrics", ...), so that cln_evaluate takes it like the original. Fails as cln_weights_write and cln_onnx_write do.
 */
CLN_API cln_status cln_export(cln_context *ctx, const cln_export_options *options, cln_export_result *result);

#ifdef __cplusplus
}
#endif
#endif
