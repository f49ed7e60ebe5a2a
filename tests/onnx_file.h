/* ONNX models read back by protobuf-c, and what is to be found in them. */
#ifndef CLN_TESTS_ONNX_FILE_H
#define CLN_TESTS_ONNX_FILE_H

#include <onnx.pb-c.h>

#define DIMS(...) ((const int64_t[]){__VA_ARGS__}), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
enum { FLOAT_TYPE = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, UINT8_TYPE = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 };

/* To be freed by onnx__model_proto__free_unpacked. */
Onnx__ModelProto *onnx_read(const char *path);

/* The node of that type and number, which must be there. */
const Onnx__NodeProto *onnx_node(const Onnx__ModelProto *m, const char *type, int index);
int onnx_count(const Onnx__ModelProto *m, const char *type);
/* Attributes of a node. */
void onnx_check_int(const Onnx__NodeProto *node, const char *name, int64_t expected);
void onnx_check_float(const Onnx__NodeProto *node, const char *name, float expected);
void onnx_check_ints(const Onnx__NodeProto *node, const char *name, const int64_t *expected, size_t count);

/* NULL if there is none. */
const Onnx__TensorProto *onnx_constant(const Onnx__ModelProto *m, const char *name);
float onnx_constant_at(const Onnx__TensorProto *t, size_t i);
/* Name, type and axes of a value; the batch is open. */
void onnx_check_value(const Onnx__ValueInfoProto *v, const char *name, int32_t type, const int64_t *dims, size_t rank);
/* Every name is made once, before it is read; every constant is used. */
void onnx_check_names(const Onnx__ModelProto *m);

#endif
