/* The plan: from a graph to a list of kernel launches with every size, option and address decided. Host only: a device
 * is known through cln__caps, so plans can be made, printed and tested where there is no OpenCL.
 *
 * Stages, in order (plan.c): layout.c gives every tensor its channel blocks; ops/fuse.c decides what is done on the way
 * of something else; layout.c finds the tensors that lie within others; lower.c asks each operator for its steps;
 * traffic.c counts the bytes that they move; place.c gives every storage its address in an arena. */
#ifndef CLN_SRC_PLAN_H
#define CLN_SRC_PLAN_H

#include "../base/caps.h"
#include "../graph/autodiff.h"
#include "../graph/graph.h"
#include "clnet/plan.h"

/* Where a storage lives. */
typedef enum cln__region {
    CLN__ARENA,  /* planned by place.c */
    CLN__VALUES, /* parameters, in the weights */
    CLN__GRADS,  /* their gradients, in the weights, at the same offsets */
    CLN__SLOT0,  /* optimiser state (momentum; first moment) at the same offsets */
    CLN__SLOT1,  /* (second moment) */
    CLN__SUMS,   /* gradients of several steps, at the same offsets */
    CLN__STATES, /* running statistics */
} cln__region;

/* A tensor's place and form. Element (n, c, h, w) of a blocked tensor, with s = map[c], is at
 * offset + n*image + (s / block)*block_stride + (h*width + w)*pixel + s % block, counted in elements of its root's
 * storage. */
typedef struct cln__layout {
    int root;       /* the tensor whose storage it lies in; itself, unless it is a view (concat, slice, flatten) */
    int block;      /* channels in a block */
    int64_t stored; /* channels including the padding, which holds zeros; a multiple of block */
    int32_t *map;   /* shape.c stored channel numbers, ascending; owned by the layouts */
    int64_t offset, image, block_stride, pixel;
    bool dense;       /* map[c] == c */
    bool shows_input; /* its node only shows another tensor differently (cln__op.is_view): no step */
    int64_t elements; /* of the storage if it is its own root */
    cln__region region;
    int64_t region_offset; /* elements, for the regions of the weights */
} cln__layout;

typedef struct cln__layouts {
    int count;
    cln__layout *of;                          /* by tensor */
    int64_t values_elements, states_elements; /* sizes of the weights' regions */
} cln__layouts;

/* What the user sees of a parameter or state. Borrows its name. */
cln_weight_info cln__weight_info(const cln__tensor *t);

typedef struct cln__fusion cln__fusion;

/* Channel blocks and strides of every tensor, each in a storage of its own. */
cln_status cln__layouts_build(const cln_graph *g, const cln__caps *caps, cln__layouts *out);
/* Then: which tensors lie within others. */
void cln__layouts_join(const cln_graph *g, const cln__caps *caps, bool training, const cln__fusion *fusion,
                       cln__layouts *layouts);
/* Makes `tensor` of `shape` no view any more. */
void cln__layout_alone(cln__layout *layout, int tensor, cln_shape shape);
void cln__layouts_free(cln__layouts *layouts);
/* Whether two tensors of `channels` channels have their blocks, and the channels in them, alike. */
bool cln__same_channels(const cln__layout *a, const cln__layout *b, int64_t channels);

/* How a tensor's numbers can be had. */
typedef enum cln__form_kind {
    CLN__STORED,    /* they lie in its memory */
    CLN__LOADED,    /* act(scale * source + shift), computed by whoever reads them */
    CLN__CORRECTED, /* scale * source + slope * of + shift: the gradient of a tensor `of` that was normalised */
} cln__form_kind;

/* The numbers are tensors, -1 for none; scale, shift and slope are vectors, a number for each channel. */
typedef struct cln__form {
    cln__form_kind kind;
    int source, scale, shift, slope, of;
    cln_activation act;
} cln__form;

/* What follows the gradient that a convolution, or max pooling, passes on, done by its kernel before it stores it. */
typedef struct cln__epilogue {
    int out;             /* what it stores at last */
    int before;          /* tensor whose memory `out` takes over and whose numbers are added, or -1 */
    cln_activation mask; /* then times this activation's derivative */
    int sums_of;         /* then the sums that batch normalisation's gradient needs, of this tensor, or -1 */
    int sums_mean, sums_invstd;
    int scale; /* then times this vector, or -1 */
    int after; /* then plus the numbers of the tensor whose memory `out` takes over, or -1 */
} cln__epilogue;

/* What is done on the way of something else: decided by ops/fuse.c, before layouts are joined and operators lowered. */
struct cln__fusion {
    int *source;              /* by tensor: the tensor that is read in its place (LOADED), or -1 */
    int *alias;               /* by tensor: the tensor whose memory it takes over, or -1 */
    int *written;             /* by node: the tensor that it writes instead of its first output, or -1; a convolution
                                 adds to one that takes over another's memory */
    int *folded;              /* by node (conv2d): the batch normalisation that goes into its weights; the split of its
                                 result, if there is one for each part; or -1 */
    int *pooled;              /* by node (conv2d): the tensor that it reads through max pooling, or -1 */
    bool *absorbed;           /* by node: another node's step does its work */
    int *sums_by;             /* by node (batchnorm_grad): the node that leaves its sums, or -1 */
    int64_t *sums_first;      /* the stored channel of the rows where they begin */
    cln__epilogue *epilogue;  /* by node (conv2d_grad, maxpool_grad) */
    struct cln__parts *parts; /* by node: rows that its kernel left, while lowering */
    int *left;                /* by node: scratch that its kernel left for its gradient, or -1 */
};
void cln__fusion_free(cln__fusion *fusion);

/* Values that change from step to step, set by the runtime before each. */
typedef enum cln__scalar {
    CLN__LEARNING_RATE,
    CLN__MOMENTUM,         /* of SGD; beta1 of the others */
    CLN__REST,             /* 1 - CLN__MOMENTUM */
    CLN__KEEP,             /* 0 if the gradient is the first that counts for the next update, else 1 */
    CLN__BIAS_CORRECTION1, /* 1 - beta1^t */
    CLN__BIAS_CORRECTION2, /* 1 - beta2^t */
    CLN__SCALAR_COUNT
} cln__scalar;

typedef enum cln__arg_kind {
    CLN__ARG_TENSOR, /* two kernel arguments: __global pointer to the arena, ulong4 (offset, image, block, pixel
                        strides) */
    CLN__ARG_REGION, /* __global pointer to a whole region of the weights (optimisers) */
    CLN__ARG_INT,    /* int */
    CLN__ARG_FLOAT,  /* float */
    CLN__ARG_SCALAR, /* float, from the scalars of the step */
    CLN__ARG_KEY,    /* ulong2: (random key, step number), for dropout */
} cln__arg_kind;

typedef enum cln__access { CLN__READ = 1, CLN__WRITE = 2, CLN__READ_WRITE = 3 } cln__access;

typedef struct cln__arg {
    cln__arg_kind kind;
    cln__access access;
    int tensor;
    union {
        int64_t i; /* fits int32: plan.c checks it */
        float f;
        cln__scalar scalar;
        cln__region region;
        uint64_t key;
    };
} cln__arg;

enum { CLN__MAX_ARGS = 40 };

typedef enum cln__step_kind { CLN__KERNEL, CLN__GEMM } cln__step_kind;

/* C = op(A) * op(B) + beta * C, row-major (CLBlast). Tensors are args 0 (A), 1 (B), 2 (C). */
typedef struct cln__gemm {
    bool transpose_a, transpose_b;
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    int64_t offset_a, offset_b, offset_c; /* elements, added to the tensors' own */
    float beta;
} cln__gemm;

typedef struct cln__step {
    cln__step_kind kind;
    int node;
    const char *variant; /* of the operator, or "" */
    char *why_not;       /* "winograd: the stride is 2; ...": the variants that refused, and why; owned; or NULL */
    const char *source;  /* cl/<source>.cl */
    const char *kernel;  /* a kernel of that file */
    char *defines;       /* " -DB=16 -DH=32": the program's options */
    size_t global[3];    /* work-items; the runtime rounds up to the group, kernels check their bounds */
    size_t local[3];     /* 0: caps.work_group along axis 0, 1 along the others */
    int arg_count;
    cln__arg args[CLN__MAX_ARGS];
    cln__gemm gemm;
    bool updates; /* left out in a step that only accumulates */
    double flops; /* useful arithmetic, for reports; 0: not counted */
    double bytes; /* read and written at least, for reports (traffic.c, unless the operator says) */
} cln__step;

/* A computation that several kernels can do, by its signature, and the candidate that does it: a variant's name, and
 * parameters of it where they are not its own choice: "direct", "direct TW=8 NB=2". The texts are owned. */
typedef struct cln__decision {
    char *signature, *candidate;
    char *candidates; /* all that could do it, what the rules choose first, each ended by a newline; NULL: not asked */
    int uses;
    double flops; /* of all uses */
} cln__decision;

typedef struct cln__decisions {
    int count;
    cln__decision *of;
} cln__decisions;

/* One lowering in progress: what an operator's lower function works with. Allocation failures are sticky. */
struct cln__lowering {
    cln_context *ctx;
    cln_graph *g;
    const cln__caps *caps;
    cln__layouts *layouts;
    bool training;
    const bool *kept; /* by tensor: must hold its numbers after a step */
    cln__fusion *fusion;
    cln__form *forms;           /* by tensor */
    const char *forced_variant; /* --variant, or NULL */
    const cln_choice *choices;  /* as in cln_plan_options */
    int choice_count;
    bool choices_required;
    bool lists_candidates; /* decisions say what could be chosen */
    cln__decisions decisions;
    uint64_t seed;
    int node; /* being lowered */
    cln_status status;
    int step_count, step_capacity;
    cln__step *steps;
    cln__step dummy;
};

/* --- for lower functions --- */

/* A new last step that launches `kernel` of cl/<source>.cl; never NULL (a dummy after an allocation failure).
 * Valid until the next cln__step_new. */
cln__step *cln__step_new(cln__lowering *l, const char *source, const char *kernel);
/* A CLBlast SGEMM over tensors a, b, c. */
cln__step *cln__step_gemm(cln__lowering *l, cln_tensor a, cln_tensor b, cln_tensor c, cln__gemm gemm);
/* Appends " -D<format>". */
void cln__step_define(cln__lowering *l, cln__step *step, const char *format, ...) CLN__PRINTF(3, 4);
/* The steps from `first` on are those of `variant`; `why_not` is copied, NULL if none refused. */
void cln__steps_choose(cln__lowering *l, int first, const char *variant, const char *why_not);
/* The work-items along each axis. */
void cln__step_items(cln__step *step, int64_t x, int64_t y, int64_t z);
void cln__arg_tensor(cln__step *step, cln_tensor x, cln__access access);
void cln__arg_region(cln__step *step, cln__region region, cln__access access);
void cln__arg_int(cln__step *step, int64_t value);
void cln__arg_float(cln__step *step, double value);
void cln__arg_scalar(cln__step *step, cln__scalar scalar);
void cln__arg_key(cln__step *step, uint64_t key);

/* A tensor of `elements` floats (FLAT) that lives only while this node's steps run. */
cln_tensor cln__scratch(cln__lowering *l, int64_t elements);
/* The same with a number for each channel of `x`, laid like them. */
cln_tensor cln__scratch_vector(cln__lowering *l, cln_tensor x);
/* The channels of `x` from `first` on, laid like `like`, where they lie: no copy. */
cln_tensor cln__part_of(cln__lowering *l, cln_tensor x, int64_t first, cln_tensor like);
cln__form cln__form_of(const cln__lowering *l, cln_tensor x);
/* By value: scratch tensors may move the table. */
cln__layout cln__layout_of(const cln__lowering *l, cln_tensor x);
cln_shape cln__shape_of(const cln__lowering *l, cln_tensor x);
/* Channel blocks of x: stored / block. */
int64_t cln__blocks(const cln__lowering *l, cln_tensor x);
/* Fails with the message "<op> '<name>': ...". */
cln_status cln__lower_fail(cln__lowering *l, cln_status status, const char *format, ...) CLN__PRINTF(3, 4);

/* The candidate that is asked for by choices, or NULL. */
const char *cln__choice_find(const cln__lowering *l, const char *signature);
/* Takes over the texts, of which NULL is a lack of memory. */
cln_status cln__decision_add(cln__lowering *l, cln__decision decision);
void cln__decisions_free(cln__decisions *decisions);

/* --- the stages --- */

/* Fails unless an operator has kernels of this variant (ops/conv2d.c: linear has none that conv2d lacks). */
cln_status cln__variant_check(cln_context *ctx, const char *name);

/* Gives the graph the form that fusion wants, before it is differentiated (ops/rewrite.c). */
cln_status cln__rewrite(cln_graph *g, const cln__caps *caps, bool training);
/* What the backward pass computes again instead of keeping it (ops/recompute.c). */
cln_status cln__recompute(cln_graph *g);
/* Decides what is fused (ops/fuse.c). `l` has graph, capabilities and layouts; sets l->fusion, which the caller frees.
 */
cln_status cln__fuse(cln__lowering *l);
/* `x` with its numbers in memory: adds a step if they are not there yet (ops/forms.c). */
cln_tensor cln__stored(cln__lowering *l, cln_tensor x);

/* Adds the nodes that update every parameter, unless `loss` is infinite or undefined (ops/optimizer.c). */
void cln__optimizer_add(cln_graph *g, cln_tensor loss, const cln_optimizer *optimizer);
/* As cln_optimizer_parse has it, or "none". */
const char *cln__optimizer_name(cln_optimizer_kind kind);
/* With its defaults in place of zeros. */
cln_optimizer cln__optimizer_filled(const cln_optimizer *optimizer);

enum { CLN__MAX_ARENAS = 64 };
typedef struct cln__arena_sizes {
    int count;
    uint64_t bytes[CLN__MAX_ARENAS];
} cln__arena_sizes;

/* Everything decided: steps in order, and where every tensor lies. */
typedef struct cln__host_plan {
    cln_graph *graph;          /* owned: the clone with its gradients */
    cln__gradients *gradients; /* owned, NULL in evaluation */
    cln__layouts layouts;
    cln__step *steps; /* the first `prepared_count` depend on the weights alone: prepare.c */
    int step_count, prepared_count;
    cln__decisions decisions; /* in the order of the steps */
    bool *kept;               /* by tensor: holds its value after a step */
    int *arena_of;            /* by root tensor: arena index, or -1 */
    int64_t *address_of;      /* by root tensor: first element in its arena or region */
    cln__arena_sizes arenas;
    uint64_t planned_bytes;  /* sum of the arenas */
    uint64_t unshared_bytes; /* what one buffer a tensor would need */
    bool misfit;             /* told of a plan that failed: the device cannot allocate what it needs */
} cln__host_plan;

typedef struct cln__plan_request {
    bool training;
    cln_tensor loss, upstream;
    const cln_tensor *outputs; /* kept readable after a step */
    int output_count;
    const cln_tensor *gradients; /* inputs whose gradients are wanted and kept */
    int gradient_count;
    cln_optimizer optimizer;
    const char *variant;
    const cln_choice *choices;
    int choice_count;
    bool choices_required, lists_candidates;
    uint64_t seed;
} cln__plan_request;

/* `batch` replaces the batch of the inputs; 0 leaves it. After a failure only out->misfit says anything. */
cln_status cln__plan_make(cln_context *ctx, const cln_graph *g, const cln__caps *caps, const cln__plan_request *request,
                          int64_t batch, cln__host_plan *out);
void cln__plan_drop(cln__host_plan *plan);
/* Moves the steps that need not be repeated before the weights change to the front. */
cln_status cln__prepared_first(cln_context *ctx, cln__host_plan *plan);
/* Fills in the bytes of every step. */
void cln__traffic_count(cln__host_plan *plan);
cln_status cln__place(cln_context *ctx, cln__host_plan *plan, const cln__caps *caps);
void cln__plan_text(const cln__host_plan *plan, FILE *out);

#endif
