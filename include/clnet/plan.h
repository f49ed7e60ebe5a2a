/* From a graph to something that runs on a device: the weights, and plans that share them. */
#ifndef CLNET_PLAN_H
#define CLNET_PLAN_H

#include "clnet/device.h"
#include "clnet/graph.h"
#include "clnet/weights_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- weights: the parameters and running statistics of a network, on a device --- */

/* Values, and in training gradients and moments, in the memory of a device. */
typedef struct cln_weights cln_weights;

/* What is kept of each parameter. Running statistics have a value only. */
typedef enum cln_slot {
    CLN_VALUE,     /* what the network computes with */
    CLN_GRADIENT,  /* of the last training step */
    CLN_MOMENT1,   /* momentum of SGD, first moment of Adam */
    CLN_MOMENT2,   /* second moment of Adam */
    CLN_SLOT_COUNT /* how many there are */
} cln_slot;

/* Memory for the parameters of `graph`, initialised from `seed` as the layers say. Borrows `device`; copies what it
 * needs of `graph`. The caller frees *out, after the plans that use it. */
CLN_API cln_status cln_weights_new(cln_device *device, const cln_graph *graph, uint64_t seed, cln_weights **out);
/* After the plans that use them. */
CLN_API void cln_weights_free(cln_weights *weights);

/* A parameter, or a running statistic. */
typedef struct cln_weight_info {
    const char *name; /* as in PyTorch's state_dict */
    int rank;         /* 1 to 4 */
    int64_t shape[4]; /* in PyTorch's order of axes; `rank` of them */
    int64_t count;    /* elements */
    bool trainable;   /* false: a running statistic */
} cln_weight_info;
/* How many there are, parameters and statistics. */
CLN_API int cln_weights_count(const cln_weights *weights);
/* In the order of creation, those of a layer together, index from 0; its name lives as long as the weights. */
CLN_API cln_weight_info cln_weights_info(const cln_weights *weights, int index);
/* Copies a whole tensor out of the device, in PyTorch's order of elements, after what was enqueued. A moment that no
 * optimiser has made yet reads as zeros. `count` must be the tensor's. */
CLN_API cln_status cln_weights_get(cln_weights *weights, int index, cln_slot slot, float *out, int64_t count);
/* Copies one into it. */
CLN_API cln_status cln_weights_set(cln_weights *weights, int index, cln_slot slot, const float *values, int64_t count);

/* Moves every value of `average`, weights of the same graph, towards that of `weights`, running statistics included:
 * average = decay * average + (1 - decay) * weights. Returns at once, like a step. */
CLN_API cln_status cln_weights_average(cln_weights *average, cln_weights *weights, double decay);

/* Writes every value as a safetensors file, with the given metadata. */
CLN_API cln_status cln_weights_save(cln_context *ctx, cln_weights *weights, const char *path,
                                    const cln_metadata *metadata, size_t metadata_count);
/* Sets every value from `file`; the first tensor that is missing, unknown or of another shape is named, and nothing is
 * changed then. "num_batches_tracked" is ignored. */
CLN_API cln_status cln_weights_load(cln_context *ctx, cln_weights *weights, const cln_weights_file *file,
                                    const char *path);
/* For going on from another task's weights: as cln_weights_load, but where a tensor of layer `head` is missing in
 * `file` or of another shape there, that layer stays as it is. *report says in words what was taken and what was not;
 * malloc'ed, the caller frees it. */
CLN_API cln_status cln_weights_transfer(cln_context *ctx, cln_weights *weights, const cln_weights_file *file,
                                        const char *path, const char *head, char **report);
/* The name of a tensor with an infinite or undefined value in `slot`, or NULL in *name if all are finite: of values and
 * moments the first such, of gradients the last, since these spread from there towards the input. */
CLN_API cln_status cln_weights_find_nonfinite(cln_weights *weights, cln_slot slot, const char **name);

/* --- optimisers --- */

/* As in torch.optim. */
typedef enum cln_optimizer_kind {
    CLN_NO_OPTIMIZER, /* gradients only */
    CLN_SGD,          /* weight decay added to the gradient; momentum buffer starts as the first gradient */
    CLN_ADAM,         /* Kingma and Ba, arXiv 1412.6980, weight decay added to the gradient (L2) */
    CLN_ADAMW,        /* Loshchilov and Hutter, arXiv 1711.05101: decoupled weight decay */
    CLN_MUON,         /* Jordan et al., https://kellerjordan.github.io/posts/muon: orthogonal updates of the weights of
                         convolutions, with Nesterov's momentum beta1, scaled as AdamW's (Liu et al., arXiv 2502.16982);
                         all else by AdamW. torch.optim.Muon with adjust_lr_fn "match_rms_adamw", but in float32 */
} cln_optimizer_kind;

/* As PyTorch's clip_grad_norm_ and clip_grad_value_. */
typedef enum cln_clip_kind {
    CLN_CLIP_NORM,  /* all gradients are scaled by one factor, so that their L2 norm stays below the limit */
    CLN_CLIP_VALUE, /* each number of them is held within [-limit, limit] */
} cln_clip_kind;

/* An optimiser, but for the learning rate, which every step is given. */
typedef struct cln_optimizer {
    cln_optimizer_kind kind;        /* zeros: none */
    float weight_decay;             /* on every parameter */
    bool no_weight_decay_norm_bias; /* but those of one axis: biases, and the parameters of batch normalisation */
    float momentum;                 /* SGD */
    bool nesterov;                  /* SGD */
    float beta1, beta2, eps;        /* Adam and Muon; 0: 0.9 (Muon 0.95), 0.999, 1e-8 (outside the square root) */
    int accumulate; /* so many steps make one update, of the mean of their gradients: see cln_plan_accumulate; 0: 1 */
    float clip;     /* limit of the gradients before the update; 0: none */
    cln_clip_kind clip_kind; /* what the limit is of */
} cln_optimizer;
/* "sgd", "adam", "adamw", "muon"; false if `name` is none of them. */
CLN_API bool cln_optimizer_parse(const char *name, cln_optimizer_kind *out);

/* --- plans --- */

/* A list of kernel launches for one step of training or evaluation, ready to run. */
typedef struct cln_plan cln_plan;

/* How one computation of a plan is done. The tuner makes such choices (clnet/tune.h), plans tell and take them. */
typedef struct cln_choice {
    const char *signature; /* of the computation: a text that says all that matters of it */
    const char *candidate; /* a kernel variant, with or without parameters: "direct TW=8 NB=2" */
} cln_choice;

/* What a plan is to compute, and how. */
typedef struct cln_plan_options {
    bool training; /* batch statistics, dropout, gradients and the optimiser; else evaluation */
    /* Training: what is differentiated, the sum of its elements unless `upstream` is given; or CLN_NO_TENSOR. */
    cln_tensor loss;
    bool has_upstream;           /* whether there is `upstream` */
    cln_tensor upstream;         /* an input of the loss's shape: the gradient from outside */
    cln_optimizer optimizer;     /* training */
    const cln_tensor *outputs;   /* tensors to read after a step */
    int output_count;            /* of `outputs` */
    const cln_tensor *gradients; /* inputs whose gradients are to be read after a step */
    int gradient_count;          /* of `gradients` */
    uint64_t seed;               /* of dropout */
    const char *variant;         /* use this kernel variant wherever it can serve (for tests); NULL: the rules choose */
    /* Used where a signature is the plan's, the candidate can do it and `variant` does not say otherwise; borrowed
     * until the plan is built. A computation that has none gets what the rules choose. */
    const cln_choice *choices;
    int choice_count;            /* of `choices` */
    bool choices_required;       /* a candidate that cannot do its computation is a failure; else it is ignored */
    uint64_t memory_limit_bytes; /* 0: the device's memory */
} cln_plan_options;

/* Plans `graph` for `device`: differentiates, lays out, lowers to kernel launches, places memory, compiles. Nothing is
 * compiled or allocated after this. When it does not fit, the message gives need, limit and the largest batch that
 * fits. Borrows device and weights; copies what it needs of graph. The caller frees *out. */
CLN_API cln_status cln_plan_build(cln_device *device, const cln_graph *graph, cln_weights *weights,
                                  const cln_plan_options *options, cln_plan **out);
/* Waits for what was enqueued. Device and weights are left alone. */
CLN_API void cln_plan_free(cln_plan *plan);

/* Fills an input for the next step and those after it, until written again: `count` floats in NCHW order, all that it
 * has. The data is copied before the call returns; the transfer itself goes on in the background. */
CLN_API cln_status cln_plan_write(cln_plan *plan, cln_tensor input, const float *values, int64_t count);
/* The same for an input of labels. */
CLN_API cln_status cln_plan_write_labels(cln_plan *plan, cln_tensor input, const int32_t *labels, int64_t count);
/* Enqueues one step (forward; in training also backward and the update) and returns at once. */
CLN_API cln_status cln_plan_step(cln_plan *plan, float learning_rate);
/* What the optimiser uses in one step, where that changes from step to step. */
typedef struct cln_rates {
    float learning_rate; /* of this update */
    float momentum;      /* SGD's momentum, the others' beta1; 0: as in cln_plan_options.optimizer */
} cln_rates;
/* The same. SGD takes a momentum only where cln_plan_options.optimizer has one. */
CLN_API cln_status cln_plan_step_at(cln_plan *plan, cln_rates rates);
/* Enqueues a step that adds its gradient to that of the next update, and updates nothing; the next cln_plan_step adds
 * its own, updates, and begins anew. Each gradient counts as 1 / optimizer.accumulate, however many there were. Running
 * statistics move at every step. */
CLN_API cln_status cln_plan_accumulate(cln_plan *plan);
/* Waits for the steps enqueued so far and copies a kept tensor in NCHW order. */
CLN_API cln_status cln_plan_read(cln_plan *plan, cln_tensor x, float *out, int64_t count);
/* The same for the gradient of `x`, one of options.gradients. */
CLN_API cln_status cln_plan_read_gradient(cln_plan *plan, cln_tensor x, float *out, int64_t count);
/* Enqueues the copy of a kept scalar as it is after the steps so far; *ticket then fetches it (cln_plan_fetch), once,
 * at any time before 8 further tickets are taken. So a loop can watch its loss without stopping the device. */
CLN_API cln_status cln_plan_request_scalar(cln_plan *plan, cln_tensor x, int *ticket);
/* Waits until the copy of a ticket is there, and hands it out. */
CLN_API cln_status cln_plan_fetch(cln_plan *plan, int ticket, float *out);
/* Waits for everything enqueued so far. */
CLN_API cln_status cln_plan_finish(cln_plan *plan);

/* How many updates the optimiser has made: Adam's t. */
CLN_API int64_t cln_plan_updates(const cln_plan *plan);
/* Goes on after so many updates, when resuming: dropout draws what it would have drawn after as many steps. What was
 * accumulated is forgotten. */
CLN_API void cln_plan_set_updates(cln_plan *plan, int64_t updates);
/* Where several steps made one update, after that: dropout draws what it would have drawn after so many steps. */
CLN_API void cln_plan_set_steps(cln_plan *plan, int64_t steps);

/* Runs the forward part once, operator by operator, on the inputs written last; *layer names the first one that makes
 * an infinite or undefined value, NULL if none does. The name lives as long as the plan. Parameters are not changed;
 * in a training plan the running statistics move as in a step. */
CLN_API cln_status cln_plan_find_nonfinite(cln_plan *plan, const char **layer);

/* One kernel launch of a step, when it ran and how long it took. */
typedef struct cln_step_time {
    const char *layer;   /* "blocks.0.net.0" */
    const char *op;      /* "conv2d_grad_weight" */
    const char *variant; /* "direct", or "" where an operator has one way only */
    const char *why_not; /* "winograd: the stride is 2; gemm: ...": the variants that refused, and why; or "" */
    const char *kernel;  /* the function in OpenCL C */
    double flops;        /* useful arithmetic, convolutions (as direct ones) and linear layers only */
    double bytes;        /* of the tensors that it reads or writes, each once a mode, padding included */
    double start_s;      /* by the device's clock, since the first launch of the step began */
    double seconds;      /* how long it ran */
} cln_step_time;

/* Runs one step like cln_plan_step, on a queue that takes the time of every launch, and waits for the whole. `times`
 * holds cln_plan_get_memory().steps entries; their texts live as long as the plan. */
CLN_API cln_status cln_plan_profile(cln_plan *plan, float learning_rate, cln_step_time *times);
/* The same, like cln_plan_step_at. */
CLN_API cln_status cln_plan_profile_at(cln_plan *plan, cln_rates rates, cln_step_time *times);

/* The memory of a plan on the device, and its length. */
typedef struct cln_plan_memory {
    uint64_t planned_bytes;  /* activations, gradients and workspaces */
    uint64_t unshared_bytes; /* what they would need with one buffer each */
    uint64_t weights_bytes;  /* values, gradients and optimiser state */
    int steps; /* launches of a step, without those that are repeated only after the weights have changed */
} cln_plan_memory;
/* Of `plan` as it was built. */
CLN_API cln_plan_memory cln_plan_get_memory(const cln_plan *plan);
/* What a plan of `graph` would need with `batch` images in place of the graph's own: planned, but nothing is compiled
 * or allocated on the device, and memory_limit_bytes does not count. CLN_OUT_OF_MEMORY if a tensor is larger than the
 * device can allocate in one piece. */
CLN_API cln_status cln_plan_estimate(cln_device *device, const cln_graph *graph, const cln_plan_options *options,
                                     int64_t batch, cln_plan_memory *out);
/* The kernel variants that the steps use, as "conv2d direct, linear reference", each once, in the order of the steps.
 * malloc'ed; the caller frees it with free. NULL for lack of memory. */
CLN_API char *cln_plan_variants(const cln_plan *plan);
/* How many computations there are of which there are several variants, each signature once. */
CLN_API int cln_plan_choices(const cln_plan *plan);
/* How the `index`-th of them (from 0) is done; the texts live as long as the plan. Given back as options.choices, all
 * of them make the same plan again. */
CLN_API cln_choice cln_plan_choice(const cln_plan *plan, int index);
/* Writes the steps, with kernels, sizes and addresses, as text. */
CLN_API void cln_plan_print(const cln_plan *plan, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
