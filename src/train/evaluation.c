/* Accuracy by class, confusion, top-k, calibration and loss, all from logits: see clnet/evaluate.h. */
#include "evaluation.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOP_K = 5 };

/* --- one image --- */

double cln__softmax(const float *logits, int count, double *probabilities) {
    double largest = (double)logits[0], sum = 0;
    for (int i = 1; i < count; i++)
        largest = fmax(largest, (double)logits[i]);
    for (int i = 0; i < count; i++)
        sum += probabilities[i] = exp((double)logits[i] - largest);
    for (int i = 0; i < count; i++)
        probabilities[i] /= sum;
    return largest + log(sum);
}

/* By the rule of the operator that counts what is right in training. */
static int first_largest(const float *values, int count) {
    int best = 0;
    for (int i = 1; i < count; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

void cln_top_k(const float *values, int count, int k, int *indices) {
    int taken = 0;
    for (int i = 0; i < count; i++) {
        int at = taken < k ? taken++ : k;
        for (; at > 0 && values[i] > values[indices[at - 1]]; at--)
            if (at < k)
                indices[at] = indices[at - 1];
        if (at < k)
            indices[at] = i;
    }
}

/* How many classes come before `label` in the order of cln_top_k. */
static int rank_of(const float *values, int count, int label) {
    int before = 0;
    for (int i = 0; i < count; i++)
        before += !(values[i] <= values[label]) || (values[i] == values[label] && i < label);
    return before;
}

/* --- sums over the images --- */

static void add_to_bin(cln_evaluation *e, double probability, bool correct) {
    int i = (int)ceil(probability * CLN_CALIBRATION_BINS) - 1;
    cln_calibration_bin *bin = &e->bins[i < 0 ? 0 : i < CLN_CALIBRATION_BINS ? i : CLN_CALIBRATION_BINS - 1];
    bin->count++;
    bin->confidence += probability;
    bin->accuracy += correct;
}

/* The sums of this image; false if its probabilities are undefined. */
static bool add_image(cln_evaluation *e, int64_t index, const float *logits, int32_t label, double *probabilities,
                      cln_prediction *out) {
    int n = e->num_classes, prediction = first_largest(logits, n);
    double log_sum = cln__softmax(logits, n, probabilities);
    double p = probabilities[prediction];
    *out = (cln_prediction){index, label, prediction, (float)p};
    e->confusion[(int64_t)label * n + prediction]++;
    e->score.correct += prediction == label;
    e->score.loss += log_sum - (double)logits[label];
    e->top_k_accuracy += rank_of(logits, n, label) < e->top_k;
    if (!isfinite(p))
        return false;
    add_to_bin(e, p, prediction == label);
    return true;
}

static void finish_bins(cln_evaluation *e, bool defined) {
    double error = 0;
    for (int i = 0; i < CLN_CALIBRATION_BINS; i++) {
        cln_calibration_bin *bin = &e->bins[i];
        error += fabs(bin->accuracy - bin->confidence);
        bin->accuracy /= (double)bin->count; /* NaN if there are none */
        bin->confidence /= (double)bin->count;
    }
    e->calibration_error = defined ? error / (double)e->score.count : NAN;
}

static void score_classes(cln_evaluation *e) {
    int n = e->num_classes;
    for (int i = 0; i < n; i++) {
        cln_class_score *c = &e->classes[i];
        c->correct = e->confusion[(int64_t)i * n + i];
        for (int j = 0; j < n; j++) {
            c->images += e->confusion[(int64_t)i * n + j];
            c->predicted += e->confusion[(int64_t)j * n + i];
        }
        c->accuracy = (double)c->correct / (double)c->images;
        c->precision = (double)c->correct / (double)c->predicted;
        c->f1 = 2 * (double)c->correct / (double)(c->images + c->predicted);
    }
}

static void measure(cln_evaluation *e, const int32_t *labels, const int64_t *indices, double *probabilities) {
    bool defined = true;
    for (int64_t i = 0; i < e->score.count; i++) {
        const float *logits = e->logits + i * e->num_classes;
        defined &= add_image(e, indices ? indices[i] : i, logits, labels[i], probabilities, &e->predictions[i]);
    }
    e->score.accuracy = (double)e->score.correct / (double)e->score.count;
    e->score.loss /= (double)e->score.count;
    e->top_k_accuracy /= (double)e->score.count;
    finish_bins(e, defined);
    score_classes(e);
}

/* --- the whole --- */

static cln_status check(cln_context *ctx, const int32_t *labels, int64_t count, int num_classes,
                        const char *const *names, int top_k) {
    if (count < 1 || num_classes < 1 || top_k < 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "evaluation: %" PRId64 " images of %d classes, top %d: expected 1 or more of each", count,
                         num_classes, top_k);
    for (int64_t i = 0; i < count; i++)
        if (labels[i] < 0 || labels[i] >= num_classes)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT, "evaluation: image %" PRId64 " has label %d, expected 0 to %d",
                             i, (int)labels[i], num_classes - 1);
    for (int i = 0; names && i < num_classes; i++)
        if (!cln_is_utf8(names[i]))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT, "evaluation: the name of class %d, '%s', is not UTF-8", i,
                             names[i]);
    return CLN_OK;
}

static bool copy_names(cln_evaluation *e, const char *const *names) {
    e->class_names = calloc((size_t)e->num_classes, sizeof *e->class_names);
    bool good = e->class_names != NULL;
    for (int i = 0; good && i < e->num_classes; i++) {
        e->class_names[i] = names ? cln__format("%s", names[i]) : cln__format("%d", i);
        good = e->class_names[i] != NULL;
    }
    return good;
}

static bool make_room(cln_evaluation *e, const float *logits) {
    size_t classes = (size_t)e->num_classes, count = (size_t)e->score.count, cells, elements, bytes;
    if (!cln__mul_size(classes, classes, &cells) || !cln__mul_size(count, classes, &elements) ||
        !cln__mul_size(elements, sizeof *logits, &bytes))
        return false;
    e->classes = calloc(classes, sizeof *e->classes);
    e->confusion = calloc(cells, sizeof *e->confusion);
    e->predictions = calloc(count, sizeof *e->predictions);
    e->logits = malloc(bytes);
    if (e->logits)
        memcpy(e->logits, logits, bytes);
    return e->classes && e->confusion && e->predictions && e->logits;
}

cln_status cln__evaluation_measure(cln_context *ctx, const float *logits, const int32_t *labels, const int64_t *indices,
                                   int64_t count, int num_classes, const char *const *class_names, int top_k,
                                   cln_evaluation **out) {
    *out = NULL;
    CLN_TRY(check(ctx, labels, count, num_classes, class_names, top_k));
    cln_evaluation *e = calloc(1, sizeof *e);
    double *probabilities = calloc((size_t)num_classes, sizeof *probabilities);
    if (e)
        *e = (cln_evaluation){.score.count = count, .num_classes = num_classes};
    if (!e || !probabilities || !copy_names(e, class_names) || !make_room(e, logits)) {
        free(probabilities);
        cln_evaluation_free(e);
        return cln__fail_memory(ctx, "the evaluation");
    }
    e->top_k = (int)cln__least(top_k > 0 ? top_k : DEFAULT_TOP_K, num_classes);
    measure(e, labels, indices, probabilities);
    free(probabilities);
    *out = e;
    return CLN_OK;
}

cln_status cln_evaluation_from_logits(cln_context *ctx, const float *logits, const int32_t *labels, int64_t count,
                                      int num_classes, const char *const *class_names, int top_k,
                                      cln_evaluation **out) {
    return cln__evaluation_measure(ctx, logits, labels, NULL, count, num_classes, class_names, top_k, out);
}

void cln_evaluation_free(cln_evaluation *e) {
    if (!e)
        return;
    for (int i = 0; e->class_names && i < e->num_classes; i++)
        free(e->class_names[i]);
    free(e->class_names);
    free(e->classes);
    free(e->confusion);
    free(e->predictions);
    free(e->logits);
    cln_dataset_free(e->data);
    free(e);
}
