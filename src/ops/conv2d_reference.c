/* conv2d's reference variant: accepts everything; what the other variants are checked against. */
#include "conv2d.h"

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    (void)l;
    (void)p;
    return NULL;
}

/* Without groups the stored channels, padding included, are summed: their weights are zero. With groups the real ones,
 * which then have no gaps (needs_dense). */
static void define(cln__lowering *l, cln__step *step, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    bool grouped = p->a.groups > 1;
    cln__step_define(l, step, "XB=%d", x.block);
    cln__step_define(l, step, "YB=%d", y.block);
    cln__step_define(l, step, "KH=%d", p->a.kernel_h);
    cln__step_define(l, step, "KW=%d", p->a.kernel_w);
    cln__step_define(l, step, "S=%d", p->a.stride);
    cln__step_define(l, step, "P=%d", p->a.padding);
    cln__step_define(l, step, "D=%d", p->a.dilation);
    cln__step_define(l, step, "C=%lld", (long long)(grouped ? p->xs.c : x.stored));
    cln__step_define(l, step, "O=%lld", (long long)(grouped ? p->ys.c : y.stored));
    cln__step_define(l, step, "OS=%lld", (long long)y.stored);
    cln__step_define(l, step, "GROUPS=%d", p->a.groups);
    cln__step_define(l, step, "BIAS=%d", p->bias.id >= 0);
    step->flops = cln__conv2d_flops(l, p);
}

static void sizes(cln__step *step, const cln__conv2d *p) {
    cln__arg_int(step, p->xs.h);
    cln__arg_int(step, p->xs.w);
    cln__arg_int(step, p->ys.h);
    cln__arg_int(step, p->ys.w);
}

static cln_status forward(cln__lowering *l, const cln__conv2d *p) {
    cln__step *step = cln__step_new(l, "conv2d_reference", "conv2d_forward");
    define(l, step, p);
    cln__arg_tensor(step, p->x, CLN__READ);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, p->bias.id >= 0 ? p->bias : p->w, CLN__READ); /* not read without BIAS */
    cln__arg_tensor(step, p->y, CLN__WRITE);
    sizes(step, p);
    cln__step_items(step, p->ys.h * p->ys.w, cln__blocks(l, p->y), p->ys.n);
    return l->status;
}

static cln_status grad_input(cln__lowering *l, const cln__conv2d *p) {
    cln__step *step = cln__step_new(l, "conv2d_reference", "conv2d_grad_input");
    define(l, step, p);
    cln__arg_tensor(step, p->y, CLN__READ);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, p->x, CLN__WRITE);
    sizes(step, p);
    cln__step_items(step, p->xs.h * p->xs.w, cln__blocks(l, p->x), p->xs.n);
    return l->status;
}

static cln_status grad_weight(cln__lowering *l, const cln__conv2d *p) {
    cln__step *step = cln__step_new(l, "conv2d_reference", "conv2d_grad_weight");
    define(l, step, p);
    cln__arg_tensor(step, p->x, CLN__READ);
    cln__arg_tensor(step, p->y, CLN__READ);
    cln__arg_tensor(step, p->w, CLN__WRITE);
    sizes(step, p);
    cln__arg_int(step, p->xs.n);
    int64_t channels = p->a.groups > 1 ? p->xs.c / p->a.groups : cln__layout_of(l, p->x).stored;
    cln__step_items(step, channels, p->a.kernel_h * p->a.kernel_w, cln__blocks(l, p->y));
    return l->status;
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    return p->pass == CLN__FORWARD ? forward(l, p) : p->pass == CLN__GRAD_INPUT ? grad_input(l, p) : grad_weight(l, p);
}

const cln__conv2d_variant cln__conv2d_reference = {.name = "reference", .refuses = refuses, .lower = lower};
