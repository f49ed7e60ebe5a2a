/* Trials of operators on a device: an operator between an input and an upstream gradient, run and compared. */
#ifndef CLN_TESTS_TRIAL_H
#define CLN_TESTS_TRIAL_H

#include "../src/ocl/ocl.h"
#include "clnet/plan.h"

#include <check.h>

enum { TRIAL_PARTS = 3, TRIAL_CONFIGURATIONS = 2 };

/* Of the suite that runs. */
extern cln_context *ctx;
extern cln_device *device;

/* Opens the default device and runs a suite of the tests that `add_tests` adds; returns main's exit status. Without a
 * device it says so and succeeds, unless CI is set in the environment. */
int trial_suite(const char *name, void (*add_tests)(TCase *tcase));

/* 0: the device as it is. 1: used as a GPU would be, in blocks of 4 channels and groups of 64 work-items. */
void trial_configure(int index);

/* Fails the test with the context's message. */
void ok(cln_status status);
int64_t count_of(cln_shape s);
/* `count` numbers in [-1, 1) that depend on `seed` alone; the caller frees them. */
float *noise(int64_t count, unsigned seed);
double *zeros(int64_t count);
/* Fails unless |ours - truth| / |truth| is at most `tolerance`; not-a-number never passes. */
void check_near(const float *ours, const double *truth, int64_t count, double tolerance, const char *what);

typedef struct trial {
    cln_graph *g;
    cln_tensor part[TRIAL_PARTS], x, y, dy;
    int parts;
    cln_weights *weights;
    cln_plan *plan;
    float *xs, *ys, *dys, *dxs; /* values in NCHW order, of the whole of x and y */
    cln_shape x_shape, y_shape;
} trial;

/* A graph with an input of `shape`, filled with noise. 25 channels come as a concatenation of 8 + 12 + 5, whose blocks
 * have gaps. */
trial trial_begin(cln_shape shape);
/* Differentiates `y` with an upstream gradient of noise, and runs it once. `variant` may be NULL. */
void trial_run(trial *t, cln_tensor y, const char *variant);
/* For trials with a loss of their own: writes t->xs to the plan; reads the gradient into t->dxs. */
void trial_write_x(trial *t);
void trial_read_dx(trial *t);
/* Compares <dy, f(x + e v) - f(x - e v)> / 2e with <dx, v> for one direction v, as a fraction of |dx||v|. */
void trial_check_direction(trial *t, double tolerance);
/* Whether the plan's text contains `text`. */
bool trial_plan_mentions(const trial *t, const char *text);
void trial_end(trial *t);

#endif
