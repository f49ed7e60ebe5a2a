/* The tape: nodes, parameters, random numbers, the backward walk. */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reference_begin(reference *r, verify_case *c) {
    *r = (reference){.c = c, .training = true, .random = 1};
    r->end = &r->parameters;
}

double reference_draw(reference *r) {
    r->random = r->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    double uniform = (double)(r->random >> 41) / (1 << 22) - 1;
    return (double)(float)(uniform * sqrt(3));
}

static bool fill(reference *r, reference_node *n, cln_shape shape) {
    n->shape = shape;
    n->value = verify_alloc(r->c, verify_count(shape), sizeof *n->value);
    n->gradient = n->value ? verify_alloc(r->c, verify_count(shape), sizeof *n->gradient) : NULL;
    return n->gradient != NULL;
}

reference_node *reference_append(reference *r, cln_shape shape, void (*backward)(reference_node *y),
                                 reference_node *x) {
    reference_node *n = verify_alloc(r->c, 1, sizeof *n);
    if (!n || !fill(r, n, shape))
        return NULL;
    n->backward = backward;
    n->in[0] = x;
    n->before = r->last;
    return r->last = n;
}

void reference_rewind(reference *r) {
    r->last = NULL;
    for (reference_parameter *p = r->parameters; p; p = p->next)
        memset(p->node.gradient, 0, (size_t)verify_count(p->node.shape) * sizeof *p->node.gradient);
}

static bool read_values(reference *r, const cln_file_tensor *t, reference_node *n) {
    const float *values = verify_floats(r->c, t->rank, t->shape, "%s", t->name);
    for (int64_t i = 0; values && i < t->count; i++)
        n->value[i] = (double)values[i];
    return values != NULL;
}

reference_node *reference_input(reference *r, const char *name) {
    cln_shape shape;
    const cln_file_tensor *t = verify_find(r->c, CLN_F32, "%s", name);
    if (!t || !verify_shape(r->c, t, &shape))
        return NULL;
    reference_node *n = reference_append(r, shape, NULL, NULL);
    return n && read_values(r, t, n) ? n : NULL;
}

bool reference_backward(reference *r, reference_node *y, const double *upstream) {
    if (!y)
        return false;
    for (int64_t i = 0; i < verify_count(y->shape); i++)
        y->gradient[i] = upstream ? upstream[i] : 1;
    for (reference_node *n = r->last; n; n = n->before)
        if (n->backward)
            n->backward(n);
    return true;
}

/* --- parameters --- */

static bool make_values(reference *r, reference_parameter *p, double centre, double scale) {
    char name[REFERENCE_NAME + 8];
    snprintf(name, sizeof name, "param.%s", p->name);
    int64_t count = verify_count(p->node.shape);
    const cln_file_tensor *t = verify_lookup(r->c, name);
    if (t && t->count != count)
        return verify_fail(r->c, "tensor '%s' has %lld values, expected %lld", name, (long long)t->count,
                           (long long)count);
    if (t)
        return read_values(r, t, &p->node);
    for (int64_t i = 0; i < count; i++)
        p->node.value[i] = (double)(float)(centre + scale * reference_draw(r));
    return verify_put(r->c, name, p->rank, p->shape, p->node.value);
}

static reference_node *new_parameter(reference *r, const char *name, int rank, const int64_t *shape, double centre,
                                     double scale) {
    int64_t sides[4] = {1, 1, 1, 1};
    memcpy(sides, shape, (size_t)rank * sizeof *sides);
    reference_parameter *p = verify_alloc(r->c, 1, sizeof *p);
    if (!p || !fill(r, &p->node, (cln_shape){sides[0], sides[1], sides[2], sides[3]}))
        return NULL;
    snprintf(p->name, sizeof p->name, "%s", name);
    p->rank = rank;
    memcpy(p->shape, sides, sizeof sides);
    p->trainable = !strstr(name, "running_");
    for (int i = 0; i < 2; i++)
        p->moment[i] = verify_alloc(r->c, verify_count(p->node.shape), sizeof(double));
    if (!p->moment[0] || !p->moment[1] || !make_values(r, p, centre, scale))
        return NULL;
    *r->end = p;
    r->end = &p->next;
    return &p->node;
}

reference_node *reference_weight(reference *r, const char *layer, const char *part, int rank, const int64_t *shape,
                                 double centre, double scale) {
    char name[REFERENCE_NAME];
    snprintf(name, sizeof name, "%s%s%s", layer, layer[0] ? "." : "", part);
    for (reference_parameter *p = r->parameters; p; p = p->next)
        if (strcmp(p->name, name) == 0)
            return &p->node;
    return new_parameter(r, name, rank, shape, centre, scale);
}
