/* The graph page: a GraphDef made of the nodes of a cln_graph.
 *
 * A layer "blocks.0.net.0" becomes the scope blocks/0/net/0, which holds its operator and its weights. What has no
 * weights has no name of its own: its scope is found from its neighbours. */
#include "../graph/graph.h"
#include "arena.h"
#include "tensorboard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRODUCER = 22, MAX_DEPTH = 16 };

typedef struct maker {
    const cln_graph *g;
    cln__arena arena;
    Cln__Tb__Graph *graph;
    const char **scopes; /* of each node, without a slash at the end; "" at the top */
    const char **names;  /* of each tensor that a node of the result makes */
} maker;

/* --- scopes --- */

static bool is_held(const cln_graph *g, int tensor) {
    return g->tensors[tensor].role == CLN__PARAM || g->tensors[tensor].role == CLN__STATE;
}

static bool is_layer(const cln_graph *g, const cln__node *node) {
    for (int k = 0; k < node->input_count; k++)
        if (is_held(g, node->inputs[k]))
            return true;
    return false;
}

/* The text with slashes for dots, and no empty parts, which TensorBoard would not take. */
static char *slashed(maker *m, const char *text) {
    char *copy = cln__arena_text(&m->arena, text, strlen(text)), *to = copy;
    for (char *from = copy; from && *from; from++)
        if (*from != '.' && *from != '/')
            *to++ = *from;
        else if (to > copy && to[-1] != '/')
            *to++ = '/';
    if (copy) {
        to -= to > copy && to[-1] == '/';
        *to = '\0';
    }
    return copy;
}

static const char *cut(maker *m, const char *scope, size_t length) {
    return cln__arena_text(&m->arena, scope, length);
}

static const char *parent(maker *m, const char *scope) {
    const char *slash = strrchr(scope, '/');
    return cut(m, scope, slash ? (size_t)(slash - scope) : 0);
}

/* The scope that both are in. */
static const char *common(maker *m, const char *a, const char *b) {
    size_t length = 0, i = 0;
    for (;; i++) {
        bool a_ends = a[i] == '\0' || a[i] == '/', b_ends = b[i] == '\0' || b[i] == '/';
        if (a_ends && b_ends)
            length = i;
        if (a[i] != b[i] || a[i] == '\0')
            break;
    }
    return cut(m, a, length);
}

/* The scope in which the node lies whose output `tensor` is; a layer lies in the parent of its own. */
static const char *around(maker *m, int tensor) {
    int node = m->g->tensors[tensor].producer;
    if (node < 0 || !m->scopes[node])
        return "";
    return is_layer(m->g, &m->g->nodes[node]) ? parent(m, m->scopes[node]) : m->scopes[node];
}

/* The only node that reads `tensor`, or NULL. */
static const cln__node *only_reader(const cln_graph *g, int tensor) {
    const cln__node *reader = NULL;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] == tensor) {
                if (reader)
                    return NULL;
                reader = &g->nodes[i];
            }
    return reader;
}

/* Where branches meet is one level above the last of them, or wherever they have in common if that is deeper. */
static const char *scope_of_join(maker *m, const cln__node *node) {
    int last = node->inputs[0];
    const char *shared = around(m, last);
    for (int k = 1; shared && k < node->input_count; k++) {
        int input = node->inputs[k];
        const char *scope = around(m, input);
        shared = scope ? common(m, shared, scope) : NULL;
        if (m->g->tensors[input].producer > m->g->tensors[last].producer)
            last = input;
    }
    const char *above = shared ? around(m, last) : NULL;
    above = above ? parent(m, above) : NULL;
    return above && strlen(above) > strlen(shared) ? above : shared;
}

/* What shrinks or flattens belongs to what comes next (the head of a network, the branch of an Inception block), unless
 * it comes right behind a layer or has several readers. */
static const char *scope_of_step(maker *m, const cln__node *node) {
    const char *behind = around(m, node->inputs[0]);
    int before = m->g->tensors[node->inputs[0]].producer;
    if (!behind || (before >= 0 && is_layer(m->g, &m->g->nodes[before])))
        return behind;
    for (int depth = 0; node && depth < MAX_DEPTH; depth++) {
        node = node->output_count == 1 ? only_reader(m->g, node->outputs[0]) : NULL;
        if (node && is_layer(m->g, node)) {
            const char *ahead = slashed(m, node->name);
            return ahead ? parent(m, ahead) : NULL;
        }
        if (node && node->input_count > 1)
            break;
    }
    return behind;
}

static const char *scope_of(maker *m, const cln__node *node) {
    if (is_layer(m->g, node))
        return slashed(m, node->name);
    if (node->input_count > 1)
        return scope_of_join(m, node);
    if (node->input_count == 0)
        return "";
    return strcmp(node->op->name, "activation") == 0 ? around(m, node->inputs[0]) : scope_of_step(m, node);
}

/* --- nodes --- */

static bool is_taken(const maker *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->name, name) == 0)
            return true;
    return false;
}

/* "<scope>/<leaf>", with "_1" and so on behind it where that is taken. */
static char *unique_name(maker *m, const char *scope, const char *leaf) {
    char text[512];
    const char *slash = scope[0] ? "/" : "";
    int length = snprintf(text, sizeof text, "%.380s%s%.100s", scope, slash, leaf);
    for (int i = 1; is_taken(m, text); i++)
        snprintf(text + length, sizeof text - (size_t)length, "_%d", i);
    return cln__arena_text(&m->arena, text, strlen(text));
}

static Cln__Tb__AttributeValue *add_attribute(maker *m, Cln__Tb__Node *node, const char *key) {
    Cln__Tb__Attribute *attribute = cln__arena_new(&m->arena, sizeof *attribute);
    Cln__Tb__AttributeValue *value = cln__arena_new(&m->arena, sizeof *value);
    if (!attribute || !value)
        return NULL;
    cln__tb__attribute__init(attribute);
    cln__tb__attribute_value__init(value);
    attribute->key = (char *)key;
    attribute->value = value;
    node->attribute[node->n_attribute++] = attribute;
    return value;
}

static Cln__Tb__Shape *shape_message(maker *m, const cln__tensor *t) {
    const int64_t sides[4] = {t->shape.n, t->shape.c, t->shape.h, t->shape.w};
    bool flat = t->shape.h == 1 && t->shape.w == 1, scalar = flat && t->shape.c == 1 && t->shape.n == 1;
    size_t rank = t->rank > 0 ? (size_t)t->rank : scalar ? 0 : t->is_int ? 1 : flat ? 2 : 4;
    Cln__Tb__Shape *shape = cln__arena_new(&m->arena, sizeof *shape);
    Cln__Tb__Side *of = cln__arena_new(&m->arena, 4 * sizeof *of);
    Cln__Tb__Side **list = cln__arena_new(&m->arena, 4 * sizeof(Cln__Tb__Side *));
    if (!shape || !of || !list)
        return NULL;
    cln__tb__shape__init(shape);
    for (size_t i = 0; i < rank; i++) {
        cln__tb__side__init(&of[i]);
        of[i].size = t->rank == 1 ? t->shape.n * t->shape.c * t->shape.h * t->shape.w : sides[i];
        list[i] = &of[i];
    }
    shape->n_side = rank;
    shape->side = list;
    return shape;
}

/* "_output_shapes" is where the page looks for what to write on the edges. */
static bool add_shapes(maker *m, Cln__Tb__Node *node, const int *outputs, int count) {
    Cln__Tb__AttributeValue *value = add_attribute(m, node, "_output_shapes");
    Cln__Tb__Shapes *shapes = cln__arena_new(&m->arena, sizeof *shapes);
    Cln__Tb__Shape **list = cln__arena_new(&m->arena, CLN__MAX_OUTPUTS * sizeof *list);
    if (!value || !shapes || !list)
        return false;
    cln__tb__shapes__init(shapes);
    value->value_case = CLN__TB__ATTRIBUTE_VALUE__VALUE_LIST;
    value->list = shapes;
    shapes->shape = list;
    for (int k = 0; k < count; k++)
        if (!(list[shapes->n_shape++] = shape_message(m, &m->g->tensors[outputs[k]])))
            return false;
    return true;
}

static bool add_text(maker *m, Cln__Tb__Node *node, const char *key, const char *text) {
    Cln__Tb__AttributeValue *value = text[0] ? add_attribute(m, node, key) : NULL;
    char *copy = value ? cln__arena_text(&m->arena, text, strlen(text)) : NULL;
    if (copy) {
        value->value_case = CLN__TB__ATTRIBUTE_VALUE__VALUE_TEXT;
        value->text = (ProtobufCBinaryData){strlen(copy), (uint8_t *)copy};
    }
    return !text[0] || copy;
}

static bool add_number(maker *m, Cln__Tb__Node *node, const char *key, int64_t number) {
    Cln__Tb__AttributeValue *value = number ? add_attribute(m, node, key) : NULL;
    if (value) {
        value->value_case = CLN__TB__ATTRIBUTE_VALUE__VALUE_NUMBER;
        value->number = number;
    }
    return !number || value;
}

/* A node of the result that makes the tensors `outputs`; NULL for lack of memory. */
static Cln__Tb__Node *add_node(maker *m, const char *scope, const char *leaf, const char *op, const int *outputs,
                               int output_count, int inputs) {
    Cln__Tb__Node *node = cln__arena_new(&m->arena, sizeof *node);
    char *name = unique_name(m, scope, leaf);
    if (!node || !name)
        return NULL;
    cln__tb__node__init(node);
    node->name = name;
    node->op = (char *)op;
    node->attribute = cln__arena_new(&m->arena, 4 * sizeof *node->attribute);
    node->input = cln__arena_new(&m->arena, ((size_t)inputs + 1) * sizeof *node->input);
    if (!node->attribute || !node->input || !add_shapes(m, node, outputs, output_count))
        return NULL;
    for (int k = 0; k < output_count; k++) {
        char text[600];
        snprintf(text, sizeof text, k ? "%s:%d" : "%s", name, k);
        if (!(m->names[outputs[k]] = cln__arena_text(&m->arena, text, strlen(text))))
            return NULL;
    }
    m->graph->node[m->graph->n_node++] = node;
    return node;
}

/* An input, a parameter or a running statistic, before its first reader. */
static bool add_tensor(maker *m, const char *scope, int tensor) {
    const cln__tensor *t = &m->g->tensors[tensor];
    if (m->names[tensor] || t->producer >= 0 || !t->name)
        return true;
    bool held = is_held(m->g, tensor);
    const char *dot = held ? strrchr(t->name, '.') : NULL, *leaf = dot ? dot + 1 : t->name;
    const char *op = !held ? "input" : t->role == CLN__PARAM ? "parameter" : "state";
    return add_node(m, held ? scope : "", leaf, op, &tensor, 1, 0) != NULL;
}

static bool add_operator(maker *m, int index) {
    const cln__node *from = &m->g->nodes[index];
    const char *scope = m->scopes[index] = scope_of(m, from);
    char text[160];
    if (!scope)
        return false;
    for (int k = 0; k < from->input_count; k++)
        if (!add_tensor(m, scope, from->inputs[k]))
            return false;
    const char *leaf = is_layer(m->g, from) ? from->op->name : from->name;
    Cln__Tb__Node *node =
        add_node(m, scope, leaf, from->op->name, from->outputs, from->output_count, from->input_count);
    for (int k = 0; node && k < from->input_count; k++)
        if (m->names[from->inputs[k]])
            node->input[node->n_input++] = (char *)m->names[from->inputs[k]];
    cln__node_describe(from, text, sizeof text);
    return node && add_text(m, node, "attributes", text[0] == ' ' ? text + 1 : text) &&
           add_number(m, node, "multiply_adds",
                      from->op->multiply_adds ? from->op->multiply_adds(m->g, from) / cln__batch(m->g) : 0);
}

/* --- the whole --- */

static bool make(maker *m) {
    size_t nodes = (size_t)m->g->node_count + 1, tensors = (size_t)m->g->tensor_count + 1;
    m->graph = cln__arena_new(&m->arena, sizeof *m->graph);
    m->scopes = cln__arena_new(&m->arena, nodes * sizeof *m->scopes);
    m->names = cln__arena_new(&m->arena, tensors * sizeof *m->names);
    Cln__Tb__Versions *versions = cln__arena_new(&m->arena, sizeof *versions);
    if (!m->graph || !m->scopes || !m->names || !versions)
        return false;
    cln__tb__graph__init(m->graph);
    cln__tb__versions__init(versions);
    versions->producer = PRODUCER;
    m->graph->versions = versions;
    m->graph->node = cln__arena_new(&m->arena, (nodes + tensors) * sizeof *m->graph->node);
    for (int i = 0; m->graph->node && i < m->g->node_count; i++)
        if (m->g->nodes[i].is_forward && !add_operator(m, i))
            return false;
    return m->graph->node != NULL;
}

cln_status cln_tensorboard_graph(cln_tensorboard *board, const cln_graph *graph) {
    Cln__Tb__Event event = CLN__TB__EVENT__INIT;
    maker m = {.g = graph, .arena = {.limit_bytes = SIZE_MAX}};
    if (cln_graph_status(graph) != CLN_OK)
        return cln_graph_status(graph);
    event.what_case = CLN__TB__EVENT__WHAT_GRAPH_DEF;
    if (make(&m))
        event.graph_def = cln__tensorboard_pack(&m.graph->base);
    cln_status status = event.graph_def.data ? cln__tensorboard_write(board, &event)
                                             : cln__fail_memory(board->ctx, "the graph for TensorBoard");
    free(event.graph_def.data);
    cln__arena_free(&m.arena);
    return status;
}
