/* See nets.h. */
#include "nets.h"
#include "numbers.h"
#include "suite.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

net net_new(int64_t c, int64_t h, int64_t w) {
    net n = {.g = cln_graph_new(ctx)};
    ck_assert_ptr_nonnull(n.g);
    n.x = cln_input(n.g, "image", 1, c, h, w);
    return n;
}

void net_fill(net *n) {
    ok(cln_graph_status(n->g));
    n->tensors = calloc((size_t)n->g->tensor_count, sizeof *n->tensors);
    for (int i = 0; i < n->g->tensor_count; i++) {
        const cln__tensor *t = &n->g->tensors[i];
        if (t->role != CLN__PARAM && t->role != CLN__STATE)
            continue;
        cln_file_tensor *f = &n->tensors[n->count++];
        int64_t count = count_of(t->shape);
        float *values = noises((uint64_t)i, count);
        bool positive = fnmatch("*running_var", t->name, 0) == 0;
        for (int64_t k = 0; k < count && positive; k++)
            values[k] = 0.5f + values[k] * values[k];
        *f = (cln_file_tensor){.name = t->name, .rank = t->rank, .count = count, .data = values};
        cln__param_axes(t, f->shape);
    }
}

net net_model(const char *name, const char *hparams_json) {
    net n = net_new(3, 32, 32);
    void *hparams;
    const cln_model *model = cln_model_find(name);
    ok(cln_hparams_new(ctx, model, hparams_json, &hparams));
    n.y = model->build(n.g, n.x, hparams);
    free(hparams);
    net_fill(&n);
    return n;
}

void net_free(net *n) {
    for (size_t i = 0; i < n->count; i++)
        free((void *)n->tensors[i].data);
    free(n->tensors);
    cln_graph_free(n->g);
}

const float *net_values(const net *n, const char *name) {
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->tensors[i].name, name) == 0)
            return n->tensors[i].data;
    ck_abort_msg("no weight %s", name);
    return NULL;
}
