/* One operator on a device: a small graph around it, a step on memory that holds no numbers beforehand, and what came
 * out of it, with the padding of every kept tensor checked to be zero. For the tests of operators. */
#ifndef CLN_TESTS_OP_CASE_H
#define CLN_TESTS_OP_CASE_H

#include "../src/ops/ops.h"
#include "../src/runtime/runtime.h"

#include <check.h>

extern cln_context *ctx;
extern cln_device *device;
extern cln__caps device_caps; /* the device's own: tests change device->caps */

/* Runs the suite without forking, on the default device; returns the exit status. Says why where there is no device. */
int run_on_device(Suite *suite);

void ok(cln_status status);

/* Single precision against double: a few roundings an element, in the norm. */
#define TOLERANCE 1e-6

int64_t count_of(cln_shape s);
/* Normal numbers that depend on `stream` and the index alone; the caller frees the array. */
float noise(uint64_t stream, int64_t i);
float *noises(uint64_t stream, int64_t count);

/* |got - expected| <= tolerance * |expected| */
void check_close(const char *what, const float *got, const double *expected, int64_t count, double tolerance);
/* `least`: of the norm that the error is held against, for sums in which much may cancel. */
void check_sums(const char *what, const float *got, const double *expected, int64_t count, double tolerance,
                double least);

/* One input, or the concatenation of three: as 8 + 12 + 5 channels, which leaves gaps among the stored channels. */
typedef struct field {
    cln_tensor whole, part[3];
    int parts;
    cln_shape shape;
    float *values, *gradient;
} field;

/* `gaps`: three inputs; the shape then has 25 channels. The values are noise. */
field make_field(cln_graph *g, const char *name, cln_shape s, bool gaps, uint64_t stream);

typedef struct op_case {
    cln_graph *g;
    cln_weights *weights;
    cln_plan *plan;
    field *fields[2];
    int field_count;
    cln_tensor y, upstream;
    float *dy, *out;
} op_case;

/* Plans y = ...(the fields) with noise as weights, and in training with dy, noise too, from outside; runs a step. */
op_case run(cln_graph *g, cln_tensor y, field *a, field *second, bool training);
/* Another step: b->out, and in training the fields' gradients. */
void step(op_case *b);
void read_gradients(op_case *b);
void get_weight(op_case *b, const char *name, cln_slot slot, float *out, int64_t count);
/* Frees the fields and the graph too. */
void finish(op_case *b);

/* Runs `body` with many shapes, as on a CPU and as on a GPU (other channel blocks, other launches). */
void each_form(void (*body)(cln_shape shape, bool gaps));

#endif
