/* Messages of protobuf, put together in memory of malloc, so that protobuf-c's function for a message that was read
 * frees them, with all that they hold. Every function takes NULL for a message that could not be made, and reports a
 * lack of memory by NULL or false. */
#ifndef CLN_SRC_MESSAGE_H
#define CLN_SRC_MESSAGE_H

#include "../base/base.h"

#include <onnx.pb-c.h>

/* Appends `item`, which may be NULL, to the array at `array` (a pointer to pointers), of *count items. */
bool cln__message_append(void *array, size_t *count, void *item);

/* New messages at the end of their lists. */
Onnx__NodeProto *cln__message_node(Onnx__GraphProto *graph, const char *type, const char *name);
bool cln__message_node_reads(Onnx__NodeProto *node, const char *name);
bool cln__message_node_makes(Onnx__NodeProto *node, const char *name);
Onnx__AttributeProto *cln__message_attribute(Onnx__NodeProto *node, const char *name,
                                             Onnx__AttributeProto__AttributeType type);
bool cln__message_metadata(Onnx__ModelProto *model, const char *key, const char *value);

/* Adds a constant of the graph; `values` are `bytes` bytes, little-endian. */
bool cln__message_initializer(Onnx__GraphProto *graph, const char *name, Onnx__TensorProto__DataType type,
                              const int64_t *dims, int rank, const void *values, size_t bytes);

/* A value's type and axes, the first of which is left open and called "batch". */
Onnx__ValueInfoProto *cln__message_value(const char *name, Onnx__TensorProto__DataType type, const int64_t *dims,
                                         int rank);

/* An empty model of an edition of the operators. */
Onnx__ModelProto *cln__message_model(int64_t ir_version, int64_t opset, const char *graph_name);

#endif
