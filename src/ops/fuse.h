/* What operators tell one another of what is fused: see fuse.c. */
#ifndef CLN_SRC_FUSE_H
#define CLN_SRC_FUSE_H

#include "conv2d.h"
#include "ops.h"
#include "reduce.h"

/* Outputs of a batchnorm node: y, then vectors. */
enum { CLN__NORM_Y, CLN__NORM_MEAN, CLN__NORM_INVSTD, CLN__NORM_SCALE, CLN__NORM_SHIFT };

/* --- batchnorm.c --- */

bool cln__normalises_by_batch(const cln__node *node);
/* Gives a batchnorm node the moments of its input. */
cln_status cln__batchnorm_set_moments(cln_graph *g, cln__node *node, cln_tensor mean, cln_tensor var);
/* Adds the step that computes the vectors of a batchnorm node. */
cln_status cln__batchnorm_prepare(cln__lowering *l, const cln__node *node);
float cln__batchnorm_eps(const cln__node *node);

/* --- moments.c --- */

/* Adds a moments node for `x`, named after the layer that normalises it. */
cln_tensor cln__moments(cln_graph *g, const char *name, cln_tensor x);

/* --- split.c --- */

/* Adds the node that makes `parts`, which exist, of the channels of `x`. */
void cln__split(cln_graph *g, cln_tensor x, const cln_tensor *parts, int count);
/* Weights of convolutions of one tensor side by side. The caller sets like_out. */
cln_tensor cln__join_weights(cln_graph *g, const cln_tensor *weights, int count);

/* --- concat.c --- */

/* Tensors side by side, laid like the channels of `x`. */
cln_tensor cln__join_like(cln_graph *g, const cln_tensor *parts, int count, cln_tensor x);
/* What cln__join_like has made of `first` and others for `x`, or none. */
cln_tensor cln__joined_like(const cln_graph *g, cln_tensor first, cln_tensor x);

/* --- merge.c --- */

/* Makes one convolution of several 1x1 convolutions of the same tensor. */
cln_status cln__merge(cln_graph *g, const cln__caps *caps);

/* --- conv2d.c --- */

/* What a merge must know of a conv2d node: whether it is 1x1 with stride 1, no padding, no groups. */
bool cln__conv2d_is_pointwise(const cln__node *node);

/* Whether a variant that fuses serves this convolution or gradient of one, with `act` on load. */
bool cln__conv2d_fuses(cln__lowering *l, const cln__node *node);

/* Whether the variant that serves this convolution can read `x` instead, through max pooling of 3x3 pixels. */
bool cln__conv2d_pools(cln__lowering *l, const cln__node *node, cln_tensor x);

/* --- maxpool.c --- */

/* Whether this is max pooling of 3x3 pixels around each pixel. */
bool cln__maxpool_is_3x3(const cln__node *node);

/* Whether the gradient of max pooling, a node, has a kernel with an epilogue. */
bool cln__maxpool_fuses(const cln__lowering *l, const cln__node *node);

/* --- forms.c, while lowering --- */

/* The rows that the kernel of the node that made `x`, or what `x` was split from, left of its moments, and the channel
 * of them where those of x begin; false: none. */
bool cln__parts_left(const cln__lowering *l, cln_tensor x, cln__parts *parts, int64_t *first);
/* Keeps rows that the node being lowered leaves. */
void cln__parts_leave(cln__lowering *l, cln__parts parts);
/* Keeps a scratch tensor that the node being lowered leaves for the gradient of its output; and what the node that made
 * `y` left. */
void cln__leave(cln__lowering *l, cln_tensor scratch);
cln_tensor cln__left(const cln__lowering *l, cln_tensor y);
/* Whether the batch's moments of `x` are wanted. */
bool cln__has_moments(const cln__lowering *l, cln_tensor x);
/* Whether nodes after the one being lowered read `x`, or a view of it. */
bool cln__read_later(const cln__lowering *l, cln_tensor x);
/* Whether storing `x` means to store more, which it shows a part of. */
bool cln__is_part_of_told(const cln__lowering *l, cln_tensor x);
/* `x`, and with it its views, lies in memory from here on. */
void cln__mark_stored(cln__lowering *l, cln_tensor x);
/* Writes act(scale * source + shift [+ addend]) into `y`, of a form that is LOADED; so may be the addend. */
void cln__load_into(cln__lowering *l, cln__form form, cln_tensor addend, cln_tensor y);
/* Activations that kernels can apply on load and in epilogues. */
bool cln__fusible(cln_activation act);
/* The kind of an activation or activation_grad node. */
cln_activation cln__activation_of(const cln__node *node);

#endif
