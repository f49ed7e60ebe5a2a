/* Convolution by matrix products, shared by the variants im2col (any window) and gemm (1x1). */
#ifndef CLN_SRC_CONV2D_IM2COL_H
#define CLN_SRC_CONV2D_IM2COL_H

#include "conv2d.h"

/* What keeps either variant, of that name, from serving `p`; NULL: nothing. */
const char *cln__conv2d_im2col_refuses(const cln__lowering *l, const cln__conv2d *p, const char *name);
cln_status cln__conv2d_im2col_lower(cln__lowering *l, cln__conv2d *p);

#endif
