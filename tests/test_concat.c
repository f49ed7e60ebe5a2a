/* Concatenation, its slices and flatten on a device: what is copied, what is only a view. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

/* --- concat, slice --- */

/* concat(concat(p, q), tanh(p), p): nested, repeated, a view and copies; planar inputs too. */
static void check_concat(cln_shape shape) {
    cln_shape other = {shape.n, 3, shape.h, shape.w};
    trial t = trial_begin();
    operand *p = trial_input(&t, shape), *q = trial_input(&t, other);
    cln_tensor inner[2] = {p->whole, q->whole};
    cln_tensor outer[3] = {cln_concat(t.g, inner, 2), cln_activate(t.g, p->whole, CLN_TANH), p->whole};
    trial_run(&t, cln_concat(t.g, outer, 3));
    int64_t pixels = shape.h * shape.w, channels = 3 * shape.c + 3;
    double *y = zeros(shape.n * channels * pixels), *dp = zeros(count_of(shape)), *dq = zeros(count_of(other));
    for (int64_t n = 0, i = 0; n < shape.n; n++)
        for (int64_t k = 0; k < channels; k++)
            for (int64_t at = 0; at < pixels; at++, i++) {
                int64_t c = k < shape.c ? k : k < shape.c + 3 ? k - shape.c : (k - 3) % shape.c;
                double dy = t.y.gradient[i];
                if (k >= shape.c && k < shape.c + 3) {
                    y[i] = q->values[(n * 3 + c) * pixels + at];
                    dq[(n * 3 + c) * pixels + at] += dy;
                    continue;
                }
                double x = p->values[(n * shape.c + c) * pixels + at], tanh_x = tanh(x);
                bool bent = k >= shape.c && k < 2 * shape.c + 3;
                y[i] = bent ? tanh_x : x;
                dp[(n * shape.c + c) * pixels + at] += bent ? dy * (1 - tanh_x * tanh_x) : dy;
            }
    check_close("concat", t.y.values, y, shape.n * channels * pixels, TOLERANCE);
    check_close("its first gradient", p->gradient, dp, count_of(shape), TOLERANCE);
    check_close("its second gradient", q->gradient, dq, count_of(other), TOLERANCE);
    free(y);
    free(dp);
    free(dq);
    trial_end(&t);
}

START_TEST(concat_copies_what_it_must) {
    configure(_i);
    each_form(check_concat);
}
END_TEST

/* Branches write their place in the concatenation, and its gradient is shown to them: no step but theirs. */
START_TEST(concat_of_branches_takes_no_step) {
    configure(_i);
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){2, 16, 6, 6});
    cln_tensor branches[2] = {cln_activate(t.g, x->whole, CLN_TANH), cln_activate(t.g, x->whole, CLN_RELU)};
    trial_run(&t, cln_concat(t.g, branches, 2));
    /* tanh, relu, their gradients, and the sum of those */
    ck_assert_int_eq(cln_plan_get_memory(t.plan).steps, 5);
    trial_end(&t);
}
END_TEST

START_TEST(concat_refuses) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor xs[2] = {cln_input(g, "a", 2, 3, 4, 5), cln_input(g, "b", 2, 7, 4, 6)};
    check_refused(g, cln_concat(g, xs, 2),
                  "concat 'concat': input 1 has shape 2x7x4x6, input 0 has 2x3x4x5: only the channels may differ");
    g = cln_graph_new(ctx);
    check_refused(g, cln_concat(g, NULL, 0), "concat: 0 inputs: at least 1 is needed");
}
END_TEST

/* --- flatten --- */

static void check_flatten(cln_shape shape) {
    for (int twice = 0; twice < 2; twice++) { /* of an input, and of what a node made */
        trial t = trial_begin();
        operand *x = trial_input(&t, shape);
        cln_tensor y = cln_flatten(t.g, twice ? cln_add(t.g, x->whole, x->whole) : x->whole);
        ck_assert_int_eq(cln_tensor_shape(t.g, y).c, shape.c * shape.h * shape.w);
        trial_run(&t, y);
        for (int64_t i = 0; i < count_of(shape); i++) {
            ck_assert_float_eq(t.y.values[i], (float)(1 + twice) * x->values[i]);
            ck_assert_float_eq(x->gradient[i], (float)(1 + twice) * t.y.gradient[i]);
        }
        trial_end(&t);
    }
}

START_TEST(flatten_and_back) {
    configure(_i);
    each_form(check_flatten);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, concat_copies_what_it_must, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, concat_of_branches_takes_no_step, 0, CONFIGURATIONS);
    tcase_add_test(tests, concat_refuses);
    tcase_add_loop_test(tests, flatten_and_back, 0, CONFIGURATIONS);
}

int main(void) {
    return suite_run_on_device("concat", add_tests);
}
