/* conv2d's variant for 1x1 windows: one SGEMM of CLBlast, pixels x input channels x output channels. It is im2col
 * without the copies that repeat pixels: where an activation is one channel block it is the matrix itself. */
#include "conv2d_im2col.h"

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    if (p->a.kernel_h != 1 || p->a.kernel_w != 1)
        return "not 1x1";
    if (p->a.stride != 1 || p->a.padding != 0)
        return "stride or padding";
    return cln__conv2d_im2col_refuses(l, p, "gemm");
}

const cln__conv2d_variant cln__conv2d_gemm = {.name = "gemm", .refuses = refuses, .lower = cln__conv2d_im2col_lower};
