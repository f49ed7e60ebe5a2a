/* A network as a table of its layers. */
#include "graph.h"

#include <inttypes.h>

enum { TEXT = 32 };

/* "" for 0. */
static const char *count_text(int64_t value, char text[TEXT]) {
    text[0] = '\0';
    return value > 0 ? cln__count(value, text) : text;
}

static const char *shape_text(cln_shape s, char text[96]) {
    if (s.h == 1 && s.w == 1)
        snprintf(text, 96, "%" PRId64, s.c);
    else
        snprintf(text, 96, "%" PRId64 "x%" PRId64 "x%" PRId64, s.c, s.h, s.w);
    return text;
}

static void print_row(const char *name, const char *op, const char *output, int64_t parameters, int64_t multiply_adds,
                      FILE *out) {
    char a[TEXT], b[TEXT];
    fprintf(out, "%-28s %-16s %12s %12s %14s\n", name, op, output, count_text(parameters, a),
            count_text(multiply_adds, b));
}

static cln_shape input_shape(const cln_graph *g) {
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__INPUT)
            return g->tensors[i].shape;
    return (cln_shape){1, 0, 0, 0};
}

void cln_graph_print_summary(const cln_graph *g, const char *name, FILE *out) {
    char text[96];
    int64_t total = 0;
    cln_shape image = input_shape(g);
    fprintf(out, "%s, for one image of %" PRId64 "x%" PRId64 "x%" PRId64 "\n\n", name, image.c, image.h, image.w);
    fprintf(out, "%-28s %-16s %12s %12s %14s\n", "layer", "operator", "output", "parameters", "multiply-adds");
    for (int i = 0; i < cln_graph_layers(g); i++) {
        cln_layer layer = cln_graph_layer(g, i);
        int64_t work = layer.multiply_adds / image.n;
        print_row(layer.name, layer.op, shape_text(layer.output, text), layer.parameters, work, out);
        total += work;
    }
    print_row("total", "", "", cln_graph_parameters(g), total, out);
}
