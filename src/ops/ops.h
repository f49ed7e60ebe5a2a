/* The operators' descriptions (cln__op_<name>, one for each line of ops.def), and helpers that their files share. */
#ifndef CLN_SRC_OPS_H
#define CLN_SRC_OPS_H

#include "../onnx/onnx.h"
#include "../plan/plan.h"

#define CLN_OP(name) extern const cln__op cln__op_##name;
#include "ops.def"
#undef CLN_OP

/* Infer functions. Output 0 is like input 1, or 2, which is there for that: the gradient of an activation. */
cln_status cln__infer_like_1(cln_graph *g, const cln__node *node);
cln_status cln__infer_like_2(cln_graph *g, const cln__node *node);
/* Output 0 is a weight like input 2. */
cln_status cln__infer_weight_like_2(cln_graph *g, const cln__node *node);
/* Fails unless input 0 has flat rows and input `input` a label for each. */
cln_status cln__check_labelled_rows(cln_graph *g, const cln__node *node, int input);

/* How many of the channels from `first` on (`limit` at most) have stored numbers that follow each other. */
int64_t cln__channel_run(const cln__layout *layout, int64_t first, int64_t limit);

/* Sum of `x` over images and pixels, a number a channel: the gradient of a bias. As a node, and as steps. */
cln_tensor cln__channel_sum(cln_graph *g, cln_tensor x);
cln_status cln__lower_channel_sum(cln__lowering *l, cln_tensor x, cln_tensor sum);

/* Launches `step` over every vector of `x`: work-items (pixel run, channel block, image). Adds the two int arguments
 * that such kernels end with: the pixels of an image, and the pixels that a work-item takes (one on a GPU; on a CPU
 * enough to be worth a work-item). Defines B, the channels of a block of x. */
void cln__step_each_vector(cln__lowering *l, cln__step *step, cln_tensor x);

/* The same by rows, for CPUs: work-items (run of rows, channel block, image), and one int argument, the rows of a run.
 */
void cln__step_each_row(cln__lowering *l, cln__step *step, cln_tensor x);

/* Whether `x` is larger than `times` the second-level caches of a CPU. */
bool cln__exceeds_caches(const cln__lowering *l, cln_tensor x, int times);
/* Whether stores of `x` should go past the caches, which will have lost it before it is read; where it is read first,
 * they should not. */
bool cln__streams(const cln__lowering *l, cln_tensor x);

/* Copies channels `first_from`... of `from` to channels `first_to`... of `to`, `count` of them, pixel by pixel,
 * whatever their layouts. */
cln_status cln__lower_copy(cln__lowering *l, cln_tensor from, int64_t first_from, cln_tensor to, int64_t first_to,
                           int64_t count);
/* Sets every channel of `x` to `value`, and its padding to zero. */
cln_status cln__lower_fill(cln__lowering *l, cln_tensor x, double value);

#endif
