/* The graph: nodes (an operator applied to tensors) and tensors, each in an array in order of creation, which is a
 * topological order. Operators are known only through cln__op; each lives in one file of src/ops. */
#ifndef CLN_SRC_GRAPH_H
#define CLN_SRC_GRAPH_H

#include "../base/base.h"
#include "clnet/graph.h"

enum { CLN__MAX_OUTPUTS = 5 };

typedef struct cln__node cln__node;
typedef struct cln__gradients cln__gradients; /* autodiff.h */
typedef struct cln__lowering cln__lowering;   /* plan/plan.h */
typedef struct cln__onnx cln__onnx;           /* onnx/onnx.h */

typedef enum cln__role {
    CLN__VALUE, /* made by a node */
    CLN__INPUT, /* written by the host before a step */
    CLN__PARAM, /* trained; lives in the weights */
    CLN__STATE, /* running statistics; lives in the weights */
} cln__role;

/* How a tensor's elements lie in memory; plan/layout.c turns this into strides. */
typedef enum cln__packing {
    CLN__BLOCKED, /* [n][c/B][h][w][B] in channel blocks, channels numbered afresh */
    CLN__LIKE,    /* channels as in tensor `like` (n, h and w may differ) */
    CLN__JOINED,  /* the channels of the node's inputs side by side: concat */
    CLN__WEIGHT,  /* [kh*kw][stored in][stored out] of the shape OIHW; in channels as `like`, out as `like_out` */
    CLN__FLAT,    /* n*c*h*w elements in order: scalars, labels */
} cln__packing;

typedef enum cln__initial { CLN__ZEROS, CLN__ONES, CLN__NORMAL, CLN__UNIFORM } cln__initial;

typedef struct cln__tensor {
    char *name; /* of an input, parameter or state; else NULL */
    cln_shape shape;
    cln__role role;
    int rank; /* axes that the user sees, of a parameter: 4 for convolutions, 2 for linear layers, 1 */
    bool is_int;
    int producer; /* node, or -1 */
    cln__packing packing;
    int like, like_out;   /* see cln__packing; -1 where unused */
    cln__initial initial; /* how a parameter or state starts */
    float scale;          /* deviation of NORMAL, half the width of UNIFORM */
    bool frozen;          /* a parameter that is not trained */
} cln__tensor;

/* One operator. Gradient operators are operators too, added by autodiff. */
typedef struct cln__op {
    const char *name;
    size_t attrs_size; /* of the plain struct in node->attrs */
    int outputs;       /* usually: cln__node.output_count */
    /* Checks the inputs; sets shape and packing of the outputs from the inputs' shapes and the attributes alone (it is
     * run again when a graph is tried at another batch size). NULL: output 0 is like input 0. */
    cln_status (*infer)(cln_graph *g, const cln__node *node);
    /* Adds the nodes that compute the gradients of the inputs from those of the outputs. NULL: passes none. */
    cln_status (*backward)(cln__gradients *grads, const cln__node *node);
    /* Adds the plan's steps. */
    cln_status (*lower)(cln__lowering *l, const cln__node *node);
    /* Adds what the node is in ONNX, in evaluation. NULL: it has no counterpart there. */
    void (*to_onnx)(cln__onnx *o, const cln__node *node);
    /* Multiply-adds for the whole batch; NULL: none counted. */
    int64_t (*multiply_adds)(const cln_graph *g, const cln__node *node);
    /* Writes the attributes into `text`, as " kernel 3x3 stride 2"; NULL: none. */
    void (*describe)(const cln__node *node, char *text, size_t size);
    /* Output 0 may overwrite input 0 when nothing reads that later: works element by element. */
    bool in_place;
    /* It deals itself with inputs that are not in memory (plan.h, cln__form); for others the plan writes them first. */
    bool reads_forms;
    /* Whether its inputs must have their channels numbered without gaps (see layout.c). NULL: no. The forward operator
     * says so for its gradients too, so that the layouts do not depend on whether there are any. */
    bool (*needs_dense)(const cln_graph *g, const cln__node *node);
    /* Output 0 shows channels of input 0, from channel *first on, and nothing else: where the layouts allow, the plan
     * makes it a view and asks for no step. `training` tells the plan's mode. NULL: no. */
    bool (*is_view)(const cln_graph *g, const cln__node *node, bool training, int64_t *first);
    /* Output 0 is the inputs side by side along channels: they become views of it where the layouts allow. */
    bool joins;
    /* The outputs are input 0's channels, side by side: likewise. */
    bool splits;
    unsigned label_inputs; /* bit i: input i is labels; no other input may be */
    bool updates;          /* part of the update of the parameters, which not every step makes */
} cln__op;

struct cln__node {
    const cln__op *op;
    char *name;      /* "blocks.0.net.0", or the operator's name */
    bool is_forward; /* made by the model, not by autodiff */
    int input_count;
    int *inputs;      /* tensors */
    int output_count; /* the operator's `outputs`, but for split and split_weights */
    int outputs[CLN__MAX_OUTPUTS];
    void *attrs;
};

struct cln_graph {
    cln_context *ctx;
    cln_status status;
    bool differentiating; /* new nodes are gradients */
    int node_count, node_capacity;
    cln__node *nodes;
    int tensor_count, tensor_capacity;
    cln__tensor *tensors;
    char **strings; /* of cln_name */
    int string_count, string_capacity;
};

/* A deep copy, so that a plan may add gradients of its own. NULL for lack of memory. */
cln_graph *cln__graph_clone(const cln_graph *g);
/* The batch: that of the first input; 1 without any. */
int64_t cln__batch(const cln_graph *g);
/* Sets the batch of every input that has it to `n` and infers all shapes again. */
cln_status cln__graph_rebatch(cln_graph *g, int64_t n);

/* Records the graph's first failure: "<op> '<name>': <message>". Returns its status. */
cln_status cln__node_fail(cln_graph *g, const cln__node *node, cln_status status, const char *format, ...)
    CLN__PRINTF(4, 5);

/* Adds a node: copies inputs and attrs, makes the outputs, infers their shapes. Returns output 0, or CLN_NO_TENSOR (and
 * the graph has failed, without the node). `name` may be NULL: the operator's name. An invalid input tensor fails. */
cln_tensor cln__node_add(cln_graph *g, const cln__op *op, const char *name, const void *attrs, const cln_tensor *inputs,
                         int input_count);
/* Adds a node whose outputs are tensors that exist; their producers are removed with cln__node_remove. */
void cln__node_add_for(cln_graph *g, const cln__op *op, const char *name, const void *attrs, const cln_tensor *inputs,
                       int input_count, const cln_tensor *outputs, int output_count);
void cln__node_remove(cln_graph *g, int index);
/* What op->describe says, with points in numbers; empty if it says nothing. */
void cln__node_describe(const cln__node *node, char *text, size_t size);
/* Moves the last node to position `index`, before all nodes that read its outputs. */
void cln__node_move_last(cln_graph *g, int index);
/* Output `index` of the node that made `x`. */
cln_tensor cln__node_output(const cln_graph *g, cln_tensor x, int index);

/* Adds a parameter or state "<layer>.<suffix>" with the channels of `like` (packing CLN__LIKE), or, with
 * packing CLN__WEIGHT, a weight whose like_out the caller sets once the output exists.
 * A name already taken fails. */
cln_tensor cln__param_add(cln_graph *g, cln__role role, const char *layer, const char *suffix, cln_shape shape,
                          cln__packing packing, cln_tensor like, cln__initial initial, float scale);

/* The axes of a parameter or state that the user sees, t->rank of them. */
void cln__param_axes(const cln__tensor *t, int64_t axes[4]);

/* A tensor for the gradient of weight `w`, which cln__node_add_for gives a producer. */
cln_tensor cln__weight_like(cln_graph *g, cln_tensor w);

/* Access within builders, infer and backward. */
static inline cln__tensor *cln__at(const cln_graph *g, int id) {
    return &g->tensors[id];
}
static inline cln_shape cln__input_shape(const cln_graph *g, const cln__node *node, int index) {
    return g->tensors[node->inputs[index]].shape;
}
static inline cln_tensor cln__input(const cln__node *node, int index) {
    return (cln_tensor){node->inputs[index]};
}
static inline cln_tensor cln__output(const cln__node *node, int index) {
    return (cln_tensor){node->outputs[index]};
}
/* Sets shape and packing of output `index`; fails where the shape is empty or overflows. */
cln_status cln__set_output(cln_graph *g, const cln__node *node, int index, cln_shape shape, cln__packing packing,
                           int like);
cln_tensor cln__find_tensor(const cln_graph *g, const char *name);

#endif
