/* Making messages: see message.h. */
#include "message.h"

#include <stdlib.h>
#include <string.h>

static bool set_text(char **field, const char *text) {
    *field = cln__format("%s", text);
    return *field != NULL;
}

bool cln__message_append(void *array, size_t *count, void *item) {
    void **items;
    memcpy(&items, array, sizeof items);
    void **moved = item ? realloc(items, (*count + 1) * sizeof *items) : NULL;
    if (!moved)
        return false;
    moved[(*count)++] = item;
    memcpy(array, &moved, sizeof moved);
    return true;
}

/* As above, and frees `item` where there is no room for it. */
static bool append_message(void *array, size_t *count, ProtobufCMessage *item) {
    bool done = cln__message_append(array, count, item);
    if (!done)
        protobuf_c_message_free_unpacked(item, NULL);
    return done;
}

static bool append_text(char ***array, size_t *count, const char *text) {
    char *copy = cln__format("%s", text);
    bool done = cln__message_append(array, count, copy);
    if (!done)
        free(copy);
    return done;
}

/* A message with its defaults. */
static void *new_message(const ProtobufCMessageDescriptor *descriptor) {
    ProtobufCMessage *message = malloc(descriptor->sizeof_message);
    if (message)
        protobuf_c_message_init(descriptor, message);
    return message;
}

Onnx__NodeProto *cln__message_node(Onnx__GraphProto *graph, const char *type, const char *name) {
    Onnx__NodeProto *node = new_message(&onnx__node_proto__descriptor);
    if (!append_message(&graph->node, &graph->n_node, (ProtobufCMessage *)node))
        return NULL;
    return set_text(&node->op_type, type) && set_text(&node->name, name) ? node : NULL;
}

bool cln__message_node_reads(Onnx__NodeProto *node, const char *name) {
    return node && append_text(&node->input, &node->n_input, name);
}

bool cln__message_node_makes(Onnx__NodeProto *node, const char *name) {
    return node && append_text(&node->output, &node->n_output, name);
}

Onnx__AttributeProto *cln__message_attribute(Onnx__NodeProto *node, const char *name,
                                             Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *attribute = node ? new_message(&onnx__attribute_proto__descriptor) : NULL;
    if (!attribute || !append_message(&node->attribute, &node->n_attribute, &attribute->base))
        return NULL;
    attribute->has_type = true;
    attribute->type = type;
    return set_text(&attribute->name, name) ? attribute : NULL;
}

bool cln__message_metadata(Onnx__ModelProto *model, const char *key, const char *value) {
    Onnx__StringStringEntryProto *entry = new_message(&onnx__string_string_entry_proto__descriptor);
    return append_message(&model->metadata_props, &model->n_metadata_props, (ProtobufCMessage *)entry) &&
           set_text(&entry->key, key) && set_text(&entry->value, value);
}

static bool set_bytes(ProtobufCBinaryData *field, const void *values, size_t bytes) {
    field->data = malloc(bytes ? bytes : 1);
    if (!field->data)
        return false;
    memcpy(field->data, values, bytes);
    field->len = bytes;
    return true;
}

bool cln__message_initializer(Onnx__GraphProto *graph, const char *name, Onnx__TensorProto__DataType type,
                              const int64_t *dims, int rank, const void *values, size_t bytes) {
    Onnx__TensorProto *tensor = new_message(&onnx__tensor_proto__descriptor);
    if (!append_message(&graph->initializer, &graph->n_initializer, (ProtobufCMessage *)tensor))
        return false;
    tensor->dims = malloc(sizeof *tensor->dims * (size_t)(rank + 1));
    if (!tensor->dims || !set_text(&tensor->name, name))
        return false;
    for (int i = 0; i < rank; i++)
        tensor->dims[tensor->n_dims++] = dims[i];
    tensor->has_data_type = tensor->has_raw_data = true;
    tensor->data_type = (int32_t)type;
    return set_bytes(&tensor->raw_data, values, bytes);
}

static bool add_axis(Onnx__TensorShapeProto *shape, int64_t length, const char *name) {
    Onnx__TensorShapeProto__Dimension *axis = new_message(&onnx__tensor_shape_proto__dimension__descriptor);
    if (!append_message(&shape->dim, &shape->n_dim, (ProtobufCMessage *)axis))
        return false;
    axis->value_case = name ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                            : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    axis->dim_value = length;
    return !name || set_text(&axis->dim_param, name);
}

static Onnx__TypeProto__Tensor *add_type(Onnx__ValueInfoProto *value) {
    value->type = new_message(&onnx__type_proto__descriptor);
    if (value->type)
        value->type->tensor_type = new_message(&onnx__type_proto__tensor__descriptor);
    return value->type ? value->type->tensor_type : NULL;
}

Onnx__ValueInfoProto *cln__message_value(const char *name, Onnx__TensorProto__DataType type, const int64_t *dims,
                                         int rank) {
    Onnx__ValueInfoProto *value = new_message(&onnx__value_info_proto__descriptor);
    Onnx__TypeProto__Tensor *tensor = value && set_text(&value->name, name) ? add_type(value) : NULL;
    bool made = tensor && (tensor->shape = new_message(&onnx__tensor_shape_proto__descriptor)) != NULL;
    if (made) {
        tensor->has_elem_type = true;
        tensor->elem_type = (int32_t)type;
    }
    for (int i = 0; made && i < rank; i++)
        made = add_axis(tensor->shape, dims[i], i == 0 ? "batch" : NULL);
    if (made)
        return value;
    onnx__value_info_proto__free_unpacked(value, NULL);
    return NULL;
}

static bool fill_model(Onnx__ModelProto *model, int64_t ir_version, int64_t opset, const char *graph_name) {
    model->has_ir_version = true;
    model->ir_version = ir_version;
    model->graph = new_message(&onnx__graph_proto__descriptor);
    Onnx__OperatorSetIdProto *set = new_message(&onnx__operator_set_id_proto__descriptor);
    if (!append_message(&model->opset_import, &model->n_opset_import, (ProtobufCMessage *)set))
        return false;
    set->has_version = true;
    set->version = opset;
    return model->graph && set_text(&set->domain, "") && set_text(&model->graph->name, graph_name) &&
           set_text(&model->producer_name, "clnet") && set_text(&model->producer_version, cln_version());
}

Onnx__ModelProto *cln__message_model(int64_t ir_version, int64_t opset, const char *graph_name) {
    Onnx__ModelProto *model = new_message(&onnx__model_proto__descriptor);
    if (model && fill_model(model, ir_version, opset, graph_name))
        return model;
    onnx__model_proto__free_unpacked(model, NULL);
    return NULL;
}
