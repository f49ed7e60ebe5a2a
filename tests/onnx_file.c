/* See onnx_file.h. */
#include "onnx_file.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

Onnx__ModelProto *onnx_read(const char *path) {
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s", path);
    static uint8_t bytes[1 << 22];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    ck_assert_uint_lt(size, sizeof bytes);
    fclose(file);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);
    ck_assert_ptr_nonnull(model);
    return model;
}

const Onnx__NodeProto *onnx_node(const Onnx__ModelProto *m, const char *type, int index) {
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->op_type, type) == 0 && index-- == 0)
            return m->graph->node[i];
    ck_abort_msg("no %s", type);
    return NULL;
}

int onnx_count(const Onnx__ModelProto *m, const char *type) {
    int count = 0;
    for (size_t i = 0; i < m->graph->n_node; i++)
        count += strcmp(m->graph->node[i]->op_type, type) == 0;
    return count;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name) {
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    ck_abort_msg("%s has no attribute %s", node->op_type, name);
    return NULL;
}

void onnx_check_int(const Onnx__NodeProto *node, const char *name, int64_t expected) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    ck_assert(a->has_i);
    ck_assert_int_eq(a->i, expected);
}

void onnx_check_float(const Onnx__NodeProto *node, const char *name, float expected) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    ck_assert_float_eq(a->f, expected);
}

void onnx_check_ints(const Onnx__NodeProto *node, const char *name, const int64_t *expected, size_t count) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    ck_assert_uint_eq(a->n_ints, count);
    ck_assert_mem_eq(a->ints, expected, count * sizeof *expected);
}

const Onnx__TensorProto *onnx_constant(const Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_initializer; i++)
        if (strcmp(m->graph->initializer[i]->name, name) == 0)
            return m->graph->initializer[i];
    return NULL;
}

float onnx_constant_at(const Onnx__TensorProto *t, size_t i) {
    const uint8_t *p = t->raw_data.data + 4 * i;
    uint32_t bits = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void onnx_check_value(const Onnx__ValueInfoProto *v, const char *name, int32_t type, const int64_t *dims, size_t rank) {
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    ck_assert_str_eq(v->name, name);
    ck_assert_int_eq(t->elem_type, type);
    ck_assert_uint_eq(t->shape->n_dim, rank + 1);
    ck_assert_str_eq(t->shape->dim[0]->dim_param, "batch");
    for (size_t i = 0; i < rank; i++) {
        ck_assert_int_eq(t->shape->dim[i + 1]->value_case, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE);
        ck_assert_int_eq(t->shape->dim[i + 1]->dim_value, dims[i]);
    }
}

void onnx_check_names(const Onnx__ModelProto *m) {
    const Onnx__GraphProto *g = m->graph;
    const char *made[1024];
    size_t count = 0;
    made[count++] = g->input[0]->name;
    for (size_t i = 0; i < g->n_initializer; i++)
        made[count++] = g->initializer[i]->name;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *node = g->node[i];
        for (size_t k = 0; k < node->n_input; k++) {
            size_t at = 0;
            while (at < count && strcmp(made[at], node->input[k]) != 0)
                at++;
            ck_assert_msg(at < count, "%s reads '%s', which is not made before", node->name, node->input[k]);
        }
        ck_assert_uint_eq(node->n_output, 1);
        made[count++] = node->output[0];
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(strcmp(made[i], made[k]) != 0, "'%s' is made twice", made[i]);
    ck_assert_str_eq(made[count - 1], g->output[0]->name);
}
