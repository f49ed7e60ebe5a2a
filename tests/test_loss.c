/* The loss, its gradient and the accuracy on a device: against naive references in double precision. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

typedef struct loss_case {
    int rows, classes;
    float smoothing, scale;
    int labelled; /* the first rows; the others have labels outside the classes */
    bool mixed;
} loss_case;

/* A row's labels; without mixing the first alone counts. */
typedef struct targets {
    int32_t first[64], second[64];
    float weight[64];
} targets;

static targets make_targets(const loss_case *p) {
    targets t;
    for (int n = 0; n < p->rows; n++) {
        int outside = n % 2 ? -1 - n : p->classes + n;
        t.first[n] = n < p->labelled ? n * 7 % p->classes : outside;
        t.second[n] = n < p->labelled || n % 3 == 0 ? n * 4 % p->classes : outside;
        t.weight[n] = p->mixed ? 1 - (float)(n % 5) / 8 : 1;
    }
    return t;
}

static void naive_loss(const loss_case *p, const float *x, const targets *labels, double *loss, double *dx) {
    double e = p->smoothing, total = 0;
    for (int n = 0; n < p->labelled; n++) {
        const float *row = x + n * p->classes;
        double largest = row[0], sum = 0, logs = 0, w = labels->weight[n];
        int first = labels->first[n], second = labels->second[n];
        for (int k = 1; k < p->classes; k++)
            largest = fmax(largest, row[k]);
        for (int k = 0; k < p->classes; k++)
            sum += exp(row[k] - largest);
        for (int k = 0; k < p->classes; k++) {
            logs += row[k] - largest - log(sum);
            dx[n * p->classes + k] = (exp(row[k] - largest) / sum -
                                      (1 - e) * ((k == first) * w + (k == second) * (1 - w)) - e / p->classes) /
                                     p->labelled;
        }
        total -= (1 - e) * (w * row[first] + (1 - w) * row[second] - largest - log(sum)) + e / p->classes * logs;
    }
    *loss = p->labelled ? total / p->labelled : 0;
}

/* The reference's loss along a direction against our gradient: second order in the step, hence the tolerance. */
static void check_slope(const loss_case *p, const operand *x, const targets *labels) {
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

static cln_tensor add_loss(trial *t, const loss_case *p, cln_tensor x, const targets *labels) {
    cln_tensor label = trial_labels(t, labels->first, p->rows);
    if (!p->mixed)
        return cln_softmax_ce(t->g, x, label, p->smoothing);
    trial_mixture(t, labels->second, labels->weight, p->rows);
    return cln_softmax_ce_mixed(t->g, x, label, t->others, t->shares, p->smoothing);
}

static void check_loss(const loss_case *p) {
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){p->rows, p->classes, 1, 1});
    int64_t count = count_of(x->shape);
    const targets labels = make_targets(p);
    for (int64_t i = 0; i < count; i++) /* coarse, so that there are ties */
        x->values[i] = p->scale * floorf(x->values[i] * 2);
    cln_tensor loss = add_loss(&t, p, x->whole, &labels);
    cln_tensor outputs[2] = {loss, cln_accuracy(t.g, x->whole, t.labels)};
    trial_build(&t, &(cln_plan_options){.training = true, .loss = outputs[0], .outputs = outputs, .output_count = 2});
    trial_step(&t, 0);
    float hits;
    double truth, *dx = zeros(count);
    ok(cln_plan_read(t.plan, outputs[1], &hits, 1));
    naive_loss(p, x->values, &labels, &truth, dx);
    check_close("loss", t.y.values, &truth, 1, 1e-6);
    check_close("gradient of the logits", x->gradient, dx, count, 1e-5);
    ck_assert_int_eq((int)hits, naive_hits(p, x->values, labels.first));
    if (p->scale < 10) /* beyond, the softmax is a step */
        check_slope(p, x, &labels);
    free(dx);
    trial_end(&t);
}

START_TEST(loss_and_accuracy_match_the_reference) {
    static const loss_case cases[] = {
        {1, 5, 0, 1, 1, 0},     {8, 10, 0, 1, 8, 0},   {5, 7, 0.1f, 2, 5, 0},  {13, 17, 0.3f, 1, 9, 0},
        {7, 25, 0.1f, 1, 4, 0}, {4, 10, 0, 500, 4, 0}, {6, 10, 0.1f, 1, 0, 0}, {3, 1, 0, 1, 3, 0},
    };
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            loss_case c = cases[i];
            c.mixed = mixed;
            check_loss(&c);
        }
}
END_TEST

/* By PyTorch 2.13 in float64: the mean over rows of w * cross_entropy(x, first, label_smoothing=e, reduction='none') +
 * (1 - w) * cross_entropy(x, second, ...), and its gradient by autograd. */
START_TEST(mixed_loss_is_pytorchs) {
    static const int32_t first[4] = {0, 3, 4, 1}, second[4] = {2, 3, 0, 4};
    static const float weights[4] = {0.5f, 0.7f, 1, 0.8125f}, smoothing[2] = {0, 0.1f};
    static const double losses[2] = {3.42078164, 3.34359414};
    static const double gradients[2][20] = {
        {-0.122867496,  0.00955721953, -0.0821675137, 0.191961886,  0.00351590458, 0.0329798997, 0.147805656,
         0.00270715502, -0.237867373,  0.0543746621,  0.009063282,  0.0406188119,  0.182040885,  0.00333419512,
         -0.235057174,  0.169489454,   -0.200020692,  0.0139125416, 0.0623516857,  -0.045732989},
        {-0.115367496,   0.00455721953, -0.0746675137, 0.186961886,   -0.00148409542, 0.0279798997, 0.142805656,
         -0.00229284498, -0.217867373,  0.0493746621,  0.004063282,   0.0356188119,   0.177040885,  -0.00166580488,
         -0.215057174,   0.164489454,   -0.184708192,  0.00891254161, 0.0573516857,   -0.046045489}};
    for (int i = 0; i < 2; i++) {
        trial t = trial_begin();
        operand *x = trial_plain_input(&t, (cln_shape){4, 5, 1, 1});
        for (int k = 0; k < 20; k++)
            x->values[k] = (float)((k / 5 * 7 + k % 5 * 3) % 11 - 5) * 0.5f;
        cln_tensor label = trial_labels(&t, first, 4);
        trial_mixture(&t, second, weights, 4);
        cln_tensor loss = cln_softmax_ce_mixed(t.g, x->whole, label, t.others, t.shares, smoothing[i]);
        trial_build(&t, &(cln_plan_options){.training = true, .loss = loss, .outputs = &loss, .output_count = 1});
        trial_step(&t, 0);
        check_close("loss", t.y.values, &losses[i], 1, 1e-6);
        check_close("gradient of the logits", x->gradient, gradients[i], 20, 1e-6);
        trial_end(&t);
    }
}
END_TEST

START_TEST(what_is_no_pair_of_labels_is_refused) {
    cln_graph *g[3];
    cln_tensor x[3], label[3], other[3], weight[3];
    for (int i = 0; i < 3; i++) {
        g[i] = cln_graph_new(ctx);
        x[i] = cln_global_avgpool(g[i], cln_input(g[i], "x", 2, 5, 4, 4));
        label[i] = cln_labels(g[i], "label", 2);
        other[i] = cln_labels(g[i], "other", i == 0 ? 3 : 2);
        weight[i] = cln_input(g[i], "weight", 2, i == 1 ? 2 : 1, 1, 1);
    }
    check_refused(g[0], cln_softmax_ce_mixed(g[0], x[0], label[0], other[0], weight[0], 0),
                  "softmax_ce 'softmax_ce': 2 rows of logits need as many labels (cln_labels)");
    check_refused(g[1], cln_softmax_ce_mixed(g[1], x[1], label[1], other[1], weight[1], 0),
                  "softmax_ce 'softmax_ce': 2 rows of logits need as many weights, theirs are 2x2x1x1");
    check_refused(g[2], cln_softmax_ce_mixed(g[2], x[2], label[2], other[2], label[2], 0),
                  "softmax_ce 'softmax_ce': input 3 is labels");
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
    tcase_add_test(tests, mixed_loss_is_pytorchs);
    tcase_add_test(tests, what_is_no_logits_or_labels_is_refused);
    tcase_add_test(tests, what_is_no_pair_of_labels_is_refused);
}

int main(void) {
    return suite_run_on_device("loss", add_tests);
}
