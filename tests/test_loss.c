/* The loss, its gradient and the accuracy on a device: against naive references in double precision. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

typedef struct loss_case {
    int rows, classes;
    float smoothing, scale;
    int labelled; /* the first rows; the others have labels outside the classes */
} loss_case;

static void naive_loss(const loss_case *p, const float *x, const int32_t *labels, double *loss, double *dx) {
    double e = p->smoothing, total = 0;
    for (int n = 0; n < p->labelled; n++) {
        const float *row = x + n * p->classes;
        double largest = row[0], sum = 0, logs = 0;
        for (int k = 1; k < p->classes; k++)
            largest = fmax(largest, row[k]);
        for (int k = 0; k < p->classes; k++)
            sum += exp(row[k] - largest);
        for (int k = 0; k < p->classes; k++) {
            logs += row[k] - largest - log(sum);
            dx[n * p->classes + k] =
                (exp(row[k] - largest) / sum - (k == labels[n] ? 1 - e : 0) - e / p->classes) / p->labelled;
        }
        total -= (1 - e) * (row[labels[n]] - largest - log(sum)) + e / p->classes * logs;
    }
    *loss = p->labelled ? total / p->labelled : 0;
}

/* The reference's loss along a direction against our gradient: second order in the step, hence the tolerance. */
static void check_slope(const loss_case *p, const operand *x, const int32_t *labels) {
    const float e = 0.0078125f;
    int64_t count = count_of(x->shape);
    float *v = noises(3, count), *moved = floats(count);
    double losses[2], expected = 0, size = 0, *unused = zeros(count);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++)
            moved[i] = x->values[i] + (side ? e : -e) * v[i];
        naive_loss(p, moved, labels, &losses[side], unused);
    }
    for (int64_t i = 0; i < count; i++) {
        expected += (double)x->gradient[i] * v[i];
        size += (double)x->gradient[i] * x->gradient[i];
    }
    ck_assert_double_eq_tol((losses[1] - losses[0]) / (2 * e), expected, 1e-3 * sqrt(size) + 1e-12);
    free(v);
    free(moved);
    free(unused);
}

static int naive_hits(const loss_case *p, const float *x, const int32_t *labels) {
    int hits = 0;
    for (int n = 0; n < p->rows; n++) {
        int best = 0;
        for (int k = 1; k < p->classes; k++)
            best = x[n * p->classes + k] > x[n * p->classes + best] ? k : best;
        hits += best == labels[n];
    }
    return hits;
}

static void check_loss(const loss_case *p) {
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){p->rows, p->classes, 1, 1});
    int64_t count = count_of(x->shape);
    int32_t labels[64];
    for (int n = 0; n < p->rows; n++)
        labels[n] = n < p->labelled ? n * 7 % p->classes : n % 2 ? -1 - n : p->classes + n;
    for (int64_t i = 0; i < count; i++) /* coarse, so that there are ties */
        x->values[i] = p->scale * floorf(x->values[i] * 2);
    cln_tensor label = trial_labels(&t, labels, p->rows);
    cln_tensor outputs[2] = {cln_softmax_ce(t.g, x->whole, label, p->smoothing), cln_accuracy(t.g, x->whole, label)};
    trial_build(&t, &(cln_plan_options){.training = true, .loss = outputs[0], .outputs = outputs, .output_count = 2});
    trial_step(&t, 0);
    float hits;
    double truth, *dx = zeros(count);
    ok(cln_plan_read(t.plan, outputs[1], &hits, 1));
    naive_loss(p, x->values, labels, &truth, dx);
    check_close("loss", t.y.values, &truth, 1, 1e-6);
    check_close("gradient of the logits", x->gradient, dx, count, 1e-5);
    ck_assert_int_eq((int)hits, naive_hits(p, x->values, labels));
    if (p->scale < 10) /* beyond, the softmax is a step */
        check_slope(p, x, labels);
    free(dx);
    trial_end(&t);
}

START_TEST(loss_and_accuracy_match_the_reference) {
    static const loss_case cases[] = {
        {1, 5, 0, 1, 1},     {8, 10, 0, 1, 8},   {5, 7, 0.1f, 2, 5},  {13, 17, 0.3f, 1, 9},
        {7, 25, 0.1f, 1, 4}, {4, 10, 0, 500, 4}, {6, 10, 0.1f, 1, 0}, {3, 1, 0, 1, 3},
    };
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_loss(&cases[i]);
}
END_TEST

START_TEST(what_is_no_logits_or_labels_is_refused) {
    cln_graph *g[5];
    cln_tensor x[5], flat[5], labels[5];
    for (int i = 0; i < 5; i++) {
        g[i] = cln_graph_new(ctx);
        x[i] = cln_input(g[i], "x", 2, 5, 4, 4);
        flat[i] = cln_global_avgpool(g[i], x[i]);
        labels[i] = cln_labels(g[i], "label", i == 0 ? 3 : 2);
    }
    const char *unequal = "softmax_ce 'softmax_ce': 2 rows of logits need as many labels (cln_labels)";
    check_refused(g[0], cln_softmax_ce(g[0], flat[0], labels[0], 0), unequal);
    check_refused(g[1], cln_softmax_ce(g[1], flat[1], flat[1], 0), unequal);
    check_refused(g[2], cln_softmax_ce(g[2], flat[2], labels[2], 1.5f),
                  "softmax_ce 'softmax_ce': label smoothing 1.5 is not between 0 and 1");
    check_refused(g[3], cln_accuracy(g[3], x[3], labels[3]),
                  "accuracy 'accuracy': its logits have 4x4 pixels, they must be flat");
    check_refused(g[4], cln_softmax_ce(g[4], x[4], labels[4], 0),
                  "softmax_ce 'softmax_ce': its logits have 4x4 pixels, they must be flat");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, loss_and_accuracy_match_the_reference, 0, CONFIGURATIONS);
    tcase_add_test(tests, what_is_no_logits_or_labels_is_refused);
}

int main(void) {
    return suite_run_on_device("loss", add_tests);
}
