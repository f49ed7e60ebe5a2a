/* Muon (Jordan et al., https://kellerjordan.github.io/posts/muon), of the weights of convolutions: cl/muon.cl says what
 * is computed. Matrices of equally many columns are a group, whose small products are single launches. The scale is
 * that of Liu et al. (arXiv 2502.16982), with which an update is as large as one of AdamW, which serves the others.
 *
 * Products are of columns x columns, the output channels, also where a matrix has fewer rows than that: right, but more
 * than would be needed. */
#include "optimizer.h"

#include <math.h>

enum { ITERATIONS = 5 };
static const double a = 3.4445, b = -4.7750, c = 2.0315; /* of the iteration */

typedef struct group {
    const cln__node *node;
    int64_t columns;
    int64_t count;     /* of matrices */
    cln_tensor u;      /* all of them, one behind the other */
    cln_tensor scales; /* of each */
} group;

typedef struct matrix {
    int tensor; /* of the graph, or -1 before the first */
    int64_t rows, elements;
    int64_t index, offset; /* in its group */
} matrix;

bool cln__is_muons(const cln_optimizer *o, const cln__tensor *t) {
    return o->kind == CLN_MUON && t->rank == 4;
}

/* Columns of a weight that is Muon's; 0: it is not. */
static int64_t columns_of(const cln__lowering *l, const cln__node *node, int tensor) {
    const cln__tensor *t = &l->g->tensors[tensor];
    bool own = t->role == CLN__PARAM && !t->frozen && cln__is_muons(node->attrs, t);
    return own ? l->layouts->of[tensor].stored : 0;
}

/* The one behind *m. */
static bool next_matrix(const cln__lowering *l, const group *g, matrix *m) {
    int i = m->tensor + 1;
    while (i < l->g->tensor_count && columns_of(l, g->node, i) != g->columns)
        i++;
    if (i == l->g->tensor_count)
        return false;
    m->index += m->tensor >= 0;
    m->offset += m->elements;
    m->elements = l->layouts->of[i].elements;
    m->rows = m->elements / g->columns;
    m->tensor = i;
    return true;
}

/* --- steps --- */

static void add_moment(cln__lowering *l, const group *g, const matrix *m) {
    int64_t first = l->layouts->of[m->tensor].region_offset;
    cln__range r = {first, first + m->elements, true};
    cln__step *step = cln__optimizer_step(l, "muon", "muon_moment", g->node, &r);
    cln__arg_region(step, cln__gradients_region(g->node->attrs), CLN__READ);
    cln__arg_region(step, CLN__SLOT0, CLN__READ_WRITE);
    cln__arg_tensor(step, g->u, CLN__WRITE);
    cln__arg_int(step, m->offset / l->caps->block);
    cln__arg_scalar(step, CLN__MOMENTUM);
    cln__arg_scalar(step, CLN__REST);
    step->bytes = 16.0 * (double)m->elements;
}

/* A step whose work-items compute V rows of V columns each. */
static cln__step *new_step(cln__lowering *l, const group *g, const char *kernel, int64_t rows, int64_t count) {
    int width = l->caps->block;
    cln__step *step = cln__step_new(l, "muon", kernel);
    cln__step_define(l, step, "V=%d", width);
    cln__step_items(step, g->columns / width, cln__divide_up(rows, width), count);
    return step;
}

static double square(const group *g) {
    return (double)g->columns * (double)g->columns;
}

static void add_gram(cln__lowering *l, const group *g, const matrix *m, cln_tensor gram) {
    cln__step *step = new_step(l, g, "muon_gram", g->columns, 1);
    cln__arg_tensor(step, g->u, CLN__READ);
    cln__arg_int(step, m->offset / l->caps->block);
    cln__arg_int(step, m->rows);
    cln__arg_int(step, g->columns);
    cln__arg_int(step, m->index);
    cln__arg_tensor(step, gram, CLN__WRITE);
    step->flops = 2 * (double)m->rows * square(g);
    step->bytes = 4 * ((double)m->elements + square(g));
}

static void add_scale(cln__lowering *l, const group *g, cln_tensor gram, cln_tensor out) {
    cln__step *step = cln__step_new(l, "muon", "muon_scale");
    cln__step_define(l, step, "V=%d", l->caps->block);
    cln__step_items(step, g->columns, g->count, 1);
    cln__arg_tensor(step, gram, CLN__READ);
    cln__arg_int(step, g->columns);
    cln__arg_int(step, g->count);
    cln__arg_tensor(step, out, CLN__WRITE);
    cln__arg_tensor(step, g->scales, CLN__WRITE);
}

/* identity*I + linear*X + product*X*Y */
static cln_tensor add_product(cln__lowering *l, const group *g, cln_tensor x, cln_tensor y, double identity,
                              double linear, double product) {
    cln_tensor out = cln__scratch(l, (int64_t)square(g) * g->count);
    cln__step *step = new_step(l, g, "muon_product", g->columns, g->count);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, y, CLN__READ);
    cln__arg_int(step, g->columns);
    cln__arg_int(step, g->count);
    cln__arg_float(step, identity);
    cln__arg_float(step, linear);
    cln__arg_float(step, product);
    cln__arg_tensor(step, out, CLN__WRITE);
    step->flops = 2 * (double)g->count * square(g) * (double)g->columns;
    return out;
}

/* What X is multiplied with in all iterations. */
static cln_tensor add_iterations(cln__lowering *l, const group *g, cln_tensor gram) {
    cln_tensor A = cln__scratch(l, (int64_t)square(g) * g->count), T = {0};
    add_scale(l, g, gram, A);
    for (int i = 0; i < ITERATIONS && l->status == CLN_OK; i++) {
        cln_tensor P = add_product(l, g, A, A, a, b, c);
        T = i > 0 ? add_product(l, g, T, P, 0, 0, 1) : P;
        if (i < ITERATIONS - 1)
            A = add_product(l, g, add_product(l, g, A, P, 0, 0, 1), P, 0, 0, 1);
    }
    return T;
}

static void add_update(cln__lowering *l, const group *g, const matrix *m, cln_tensor T) {
    const cln_optimizer *o = g->node->attrs;
    cln_shape s = l->g->tensors[m->tensor].shape;
    double fan = (double)(s.c * s.h * s.w), larger = fan > (double)s.n ? fan : (double)s.n;
    cln__step *step = new_step(l, g, "muon_update", m->rows, 1);
    cln__arg_tensor(step, cln__input(g->node, 0), CLN__READ);
    cln__arg_tensor(step, g->u, CLN__READ);
    cln__arg_int(step, m->offset / l->caps->block);
    cln__arg_tensor(step, T, CLN__READ);
    cln__arg_tensor(step, g->scales, CLN__READ);
    cln__arg_int(step, m->rows);
    cln__arg_int(step, g->columns);
    cln__arg_int(step, m->index);
    cln__arg_region(step, CLN__VALUES, CLN__READ_WRITE);
    cln__arg_int(step, l->layouts->of[m->tensor].region_offset / l->caps->block);
    cln__arg_scalar(step, CLN__LEARNING_RATE);
    cln__arg_float(step, 0.2 * sqrt(larger));
    cln__arg_float(step, (double)o->weight_decay);
    step->flops = 2 * (double)m->rows * square(g);
    step->bytes = 4 * (3 * (double)m->elements + square(g));
}

/* --- groups --- */

static void lower_group(cln__lowering *l, group *g) {
    int64_t elements = 0;
    for (matrix m = {.tensor = -1}; next_matrix(l, g, &m); g->count++)
        elements += m.elements;
    g->u = cln__scratch(l, elements);
    g->scales = cln__scratch(l, g->count);
    cln_tensor gram = cln__scratch(l, (int64_t)square(g) * g->count);
    for (matrix m = {.tensor = -1}; l->status == CLN_OK && next_matrix(l, g, &m);) {
        add_moment(l, g, &m);
        add_gram(l, g, &m, gram);
    }
    cln_tensor T = add_iterations(l, g, gram);
    for (matrix m = {.tensor = -1}; l->status == CLN_OK && next_matrix(l, g, &m);)
        add_update(l, g, &m, T);
}

void cln__lower_muon(cln__lowering *l, const cln__node *node) {
    int64_t done = 0;
    while (l->status == CLN_OK) {
        group g = {.node = node, .columns = INT64_MAX};
        for (int i = 0; i < l->g->tensor_count; i++) { /* the fewest columns beyond `done` */
            int64_t columns = columns_of(l, node, i);
            if (columns > done && columns < g.columns)
                g.columns = columns;
        }
        if (g.columns == INT64_MAX)
            return;
        lower_group(l, &g);
        done = g.columns;
    }
}
