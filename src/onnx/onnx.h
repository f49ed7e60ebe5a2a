/* A network as a model in ONNX (https://onnx.ai): the counterpart of a plan for other programs. Host only.
 *
 * As with lowering, each operator says itself what it becomes (cln__op.to_onnx) by the functions below. The first
 * failure is kept; later calls do nothing. Strings that are handed out live as long as the model.
 *
 * Images have four axes in ONNX, rows of features two. In a graph the latter are images of one pixel, so an operator
 * asks for what it reads by the number of axes, and nodes that convert are put in between where the two differ. */
#ifndef CLN_SRC_ONNX_H
#define CLN_SRC_ONNX_H

#include "../graph/graph.h"
#include "clnet/safetensors.h"

enum {
    CLN__ONNX_OPSET = 17,     /* the edition of the operators */
    CLN__ONNX_IR = 8,         /* the edition of the format that came with it */
    CLN__ONNX_ANY = 0,        /* axes of a value: as many as it has */
    CLN__ONNX_ROWS = 2,       /* (n, c) */
    CLN__ONNX_IMAGES = 4,     /* (n, c, h, w) */
    CLN__ONNX_MAX = INT32_MAX /* bytes of a file: a limit of protobuf */
};

/* --- for operators --- */

typedef struct cln__onnx_node cln__onnx_node; /* its message */

/* The name of input `index` of `node`, with `axes` axes. A parameter joins the model when it is first asked for. */
const char *cln__onnx_input(cln__onnx *o, const cln__node *node, int index, int axes);
/* The axes that input `index` of `node` has. */
int cln__onnx_axes(const cln__onnx *o, const cln__node *node, int index);
/* The name of output 0 of `node`, and that it has `axes` axes. */
const char *cln__onnx_output(cln__onnx *o, const cln__node *node, int axes);
/* The name of a value that `node` needs on the way, told apart by `part`; and of a constant. */
const char *cln__onnx_inner(cln__onnx *o, const cln__node *node, const char *part);
const char *cln__onnx_scalar(cln__onnx *o, const cln__node *node, const char *part, float value);

/* Adds a node of ONNX operator `type`; `inputs` NULL says that there was no memory for them. NULL after a failure,
 * which the functions for attributes take. */
cln__onnx_node *cln__onnx_add(cln__onnx *o, const char *type, const char *const *inputs, int input_count,
                              const char *output);
void cln__onnx_float(cln__onnx *o, cln__onnx_node *node, const char *attribute, float value);
void cln__onnx_int(cln__onnx *o, cln__onnx_node *node, const char *attribute, int64_t value);
void cln__onnx_ints(cln__onnx *o, cln__onnx_node *node, const char *attribute, const int64_t *values, int count);

/* --- the whole --- */

typedef struct cln__onnx_options {
    /* NULL: the input is float32, normalised. Else it is uint8, and the model normalises it by these, one a channel. */
    const float *mean, *deviation;
    const cln_metadata *metadata;
    size_t metadata_count;
} cln__onnx_options;

/* The model of what `output` is computed from, in evaluation; `values` has the elements of each parameter and state,
 * by tensor. Fails with CLN_UNSUPPORTED where an operator has no counterpart. The caller frees *out. */
cln_status cln__onnx_build(const cln_graph *g, cln_tensor output, const float *const *values,
                           const cln__onnx_options *options, cln__onnx **out);
void cln__onnx_free(cln__onnx *o);
/* The file's bytes, malloc'ed, owned by the caller. */
cln_status cln__onnx_pack(const cln__onnx *o, uint8_t **bytes, size_t *size);

#endif
