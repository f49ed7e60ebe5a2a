/* Signatures of conv2d's computations: see conv2d_case.h. */
#include "conv2d_case.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const pass_names[] = {
    [CLN__FORWARD] = "forward",
    [CLN__BACKWARD] = "backward",
    [CLN__GRAD_INPUT] = "grad_input",
    [CLN__GRAD_WEIGHT] = "grad_weight",
};
enum { PASSES = sizeof pass_names / sizeof *pass_names };

/* The words that follow the sizes, in this order. */
typedef struct word {
    const char *name;
    size_t offset;
} word;
#define WORD(name)                                                                                                     \
    { #name, offsetof(cln__conv2d_case, name) }
static const word flags[] = {WORD(pooled),  WORD(load_scale), WORD(load_shift), WORD(bias),     WORD(accumulate),
                             WORD(moments), WORD(dy_scale),   WORD(dy_slope),   WORD(dy_shift), WORD(keep_d),
                             WORD(db),      WORD(dx),         WORD(dx_before),  WORD(dx_after), WORD(dx_scale)};
static const word activations[] = {WORD(load_act), WORD(act), WORD(mask)};
enum { FLAGS = sizeof flags / sizeof *flags, ACTIVATIONS = sizeof activations / sizeof *activations };
static const char *const sums_names[] = {NULL, "x", "other"};

static bool *flag_at(cln__conv2d_case *c, const word *w) {
    return (bool *)((char *)c + w->offset);
}

static cln_activation *activation_at(cln__conv2d_case *c, const word *w) {
    return (cln_activation *)((char *)c + w->offset);
}

static cln_shape stored_shape(const cln__lowering *l, cln_tensor x, cln_shape shape) {
    cln__layout layout = cln__layout_of(l, x);
    shape.c = layout.dense ? shape.c : layout.stored;
    return shape;
}

cln__conv2d_case cln__conv2d_case_of(const cln__lowering *l, const cln__conv2d *p) {
    bool same = p->sums_of.id >= 0 && p->sums_of.id == p->x.id;
    return (cln__conv2d_case){.pass = p->pass,
                              .a = p->a,
                              .xs = stored_shape(l, p->x, p->xs),
                              .ys = stored_shape(l, p->y, p->ys),
                              .x_block = cln__layout_of(l, p->x).block,
                              .y_block = cln__layout_of(l, p->y).block,
                              .pooled = p->pooled,
                              .load_scale = p->load_scale.id >= 0,
                              .load_shift = p->load_shift.id >= 0,
                              .load_act = p->load_act,
                              .bias = p->bias.id >= 0,
                              .accumulate = p->accumulate,
                              .act = p->act,
                              .moments = p->moments,
                              .dy_scale = p->dy_scale.id >= 0,
                              .dy_slope = p->dy_slope.id >= 0,
                              .dy_shift = p->dy_shift.id >= 0,
                              .keep_d = p->keep_d,
                              .db = p->db.id >= 0,
                              .dx = p->dx.id >= 0,
                              .dx_before = p->dx_before,
                              .dx_after = p->dx_after,
                              .mask = p->mask,
                              .sums = p->sums_of.id < 0 ? CLN__NO_SUMS
                                      : same            ? CLN__SUMS_OF_X
                                                        : CLN__SUMS_OF_OTHER,
                              .dx_scale = p->dx_scale.id >= 0};
}

/* --- text --- */

static void append(char **text, char *more) {
    char *joined = *text && more ? cln__format("%s%s", *text, more) : NULL;
    free(*text);
    free(more);
    *text = joined;
}

static char *print_sizes(const cln__conv2d_case *c) {
    char x[84], y[84];
    return cln__format("conv2d %s x=%s/%d y=%s/%d k=%dx%d s=%d p=%d d=%d g=%d", pass_names[c->pass],
                       cln__shape_text(c->xs, x), c->x_block, cln__shape_text(c->ys, y), c->y_block, c->a.kernel_h,
                       c->a.kernel_w, c->a.stride, c->a.padding, c->a.dilation, c->a.groups);
}

char *cln__conv2d_case_print(const cln__conv2d_case *given) {
    cln__conv2d_case copy = *given;
    char *text = print_sizes(given);
    for (int i = 0; i < FLAGS; i++)
        if (*flag_at(&copy, &flags[i]))
            append(&text, cln__format(" %s", flags[i].name));
    for (int i = 0; i < ACTIVATIONS; i++)
        if (*activation_at(&copy, &activations[i]) != CLN_IDENTITY)
            append(&text, cln__format(" %s=%s", activations[i].name,
                                      cln_activation_name(*activation_at(&copy, &activations[i]))));
    if (given->sums != CLN__NO_SUMS)
        append(&text, cln__format(" sums=%s", sums_names[given->sums]));
    return text;
}

static bool parse_sizes(const char *text, cln__conv2d_case *c) {
    long long x[4], y[4];
    char pass[16];
    int found = sscanf(text,
                       "conv2d %15s x=%9lldx%9lldx%9lldx%9lld/%4d y=%9lldx%9lldx%9lldx%9lld/%4d k=%7dx%7d s=%7d p=%7d "
                       "d=%7d g=%7d",
                       pass, &x[0], &x[1], &x[2], &x[3], &c->x_block, &y[0], &y[1], &y[2], &y[3], &c->y_block,
                       &c->a.kernel_h, &c->a.kernel_w, &c->a.stride, &c->a.padding, &c->a.dilation, &c->a.groups);
    if (found != 17)
        return false;
    c->xs = (cln_shape){x[0], x[1], x[2], x[3]};
    c->ys = (cln_shape){y[0], y[1], y[2], y[3]};
    for (int i = 0; i < PASSES; i++)
        if (strcmp(pass, pass_names[i]) == 0) {
            c->pass = (cln__conv2d_pass)i;
            return true;
        }
    return false;
}

static void parse_word(const char *text, size_t length, cln__conv2d_case *c) {
    for (int i = 0; i < FLAGS; i++)
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, text, length) == 0)
            *flag_at(c, &flags[i]) = true;
    for (int i = 0; i < ACTIVATIONS; i++) {
        size_t name = strlen(activations[i].name);
        char value[16];
        if (length <= name + 1 || length - name - 1 >= sizeof value || text[name] != '=' ||
            strncmp(activations[i].name, text, name) != 0)
            continue;
        snprintf(value, sizeof value, "%.*s", (int)(length - name - 1), text + name + 1);
        cln_activation_parse(value, activation_at(c, &activations[i]));
    }
    for (int i = CLN__SUMS_OF_X; i <= CLN__SUMS_OF_OTHER; i++)
        if (length == 5 + strlen(sums_names[i]) && strncmp(text, "sums=", 5) == 0 &&
            strncmp(text + 5, sums_names[i], length - 5) == 0)
            c->sums = (cln__sums)i;
}

static bool plausible(const cln__conv2d_case *c) {
    const cln__conv2d_attrs *a = &c->a;
    int64_t count;
    bool blocks = c->x_block > 0 && c->y_block > 0;
    bool positive = a->kernel_h > 0 && a->kernel_w > 0 && a->stride > 0 && a->padding >= 0 && a->dilation > 0;
    return blocks && positive && a->groups > 0 && cln__shape_count(c->xs, &count) && cln__shape_count(c->ys, &count) &&
           c->xs.n == c->ys.n && c->xs.c % a->groups == 0 && c->ys.c % a->groups == 0;
}

/* What is not understood is left out, so the text is good if it is printed again as it was. */
cln_status cln__conv2d_case_parse(const char *text, cln__conv2d_case *out) {
    *out = (cln__conv2d_case){.pass = CLN__FORWARD};
    if (!parse_sizes(text, out) || !plausible(out))
        return CLN_INVALID_FILE;
    for (const char *at = strchr(text, ' '); at; at = strchr(at, ' ')) {
        at++;
        parse_word(at, strcspn(at, " "), out);
    }
    char *again = cln__conv2d_case_print(out);
    cln_status status = !again ? CLN_OUT_OF_MEMORY : strcmp(again, text) == 0 ? CLN_OK : CLN_INVALID_FILE;
    free(again);
    return status;
}
