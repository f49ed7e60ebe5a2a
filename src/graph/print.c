/* The graph as text, and as the layers of a model summary. */
#include "graph.h"

static void print_tensor(const cln_graph *g, int id, FILE *out) {
    if (g->tensors[id].name)
        fprintf(out, "%s", g->tensors[id].name);
    else
        fprintf(out, "%%%d", id);
}

void cln__node_describe(const cln__node *node, char *text, size_t size) {
    locale_t before = cln__point_begin();
    text[0] = '\0';
    if (node->op->describe)
        node->op->describe(node, text, size);
    cln__point_end(before);
}

void cln_graph_print(const cln_graph *g, FILE *out) {
    char shape[96];
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__INPUT)
            fprintf(out, "input %s: %s\n", g->tensors[i].name, cln__shape_text(g->tensors[i].shape, shape));
    for (int i = 0; i < g->node_count; i++) {
        const cln__node *node = &g->nodes[i];
        char attributes[160];
        cln__node_describe(node, attributes, sizeof attributes);
        for (int k = 0; k < node->output_count; k++)
            fprintf(out, "%s%%%d", k ? ", " : "", node->outputs[k]);
        fprintf(out, "%s%s(", node->output_count ? " = " : "", node->op->name);
        for (int k = 0; k < node->input_count; k++) {
            fprintf(out, "%s", k ? ", " : "");
            print_tensor(g, node->inputs[k], out);
        }
        fprintf(out, ")%s", attributes);
        if (node->output_count)
            fprintf(out, ": %s", cln__shape_text(g->tensors[node->outputs[0]].shape, shape));
        fprintf(out, "  # %s\n", node->name);
    }
}

int cln_graph_layers(const cln_graph *g) {
    int count = 0;
    for (int i = 0; i < g->node_count; i++)
        count += g->nodes[i].is_forward;
    return count;
}

static const cln__node *forward_node(const cln_graph *g, int index) {
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].is_forward && index-- == 0)
            return &g->nodes[i];
    return NULL;
}

static int64_t elements(cln_shape shape) {
    int64_t count = 0;
    cln__shape_count(shape, &count);
    return count;
}

cln_layer cln_graph_layer(const cln_graph *g, int index) {
    const cln__node *node = index >= 0 ? forward_node(g, index) : NULL;
    if (!node)
        return (cln_layer){.name = "", .op = ""};
    cln_layer layer = {.name = node->name, .op = node->op->name};
    if (node->output_count)
        layer.output = g->tensors[node->outputs[0]].shape;
    for (int k = 0; k < node->input_count; k++)
        if (g->tensors[node->inputs[k]].role == CLN__PARAM)
            layer.parameters += elements(cln__input_shape(g, node, k));
    if (node->op->multiply_adds)
        layer.multiply_adds = node->op->multiply_adds(g, node);
    return layer;
}

int64_t cln_graph_parameters(const cln_graph *g) {
    int64_t total = 0;
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__PARAM)
            total += elements(g->tensors[i].shape);
    return total;
}
