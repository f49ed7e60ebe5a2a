/* What the suites about plans share: a graph, a device as plain data, and the plan made of them. */
#ifndef CLN_TESTS_PLANNING_H
#define CLN_TESTS_PLANNING_H

#include "../src/ops/ops.h"
#include "suite.h"

#include <check.h>

static cln_graph *g;
static cln__caps caps;
static cln__host_plan plan;
static const char *variant; /* of kernels, where they are of interest; NULL: the rules choose */

static void setup(void) {
    g = cln_graph_new(ctx);
    ck_assert_ptr_nonnull(g);
    caps = cln__caps_default();
    plan = (cln__host_plan){0};
    variant = NULL;
}

static void teardown(void) {
    cln__plan_drop(&plan);
    cln_graph_free(g);
}

/* --- making graphs and plans --- */

static cln_tensor conv(cln_tensor x, const char *name, int channels, int kernel) {
    return cln_conv2d(
        g, x, name,
        &(cln_conv2d_options){.out_channels = channels, .kernel_h = kernel, .kernel_w = kernel, .padding = kernel / 2});
}

static cln_tensor classify(cln_tensor x, cln_tensor label) {
    cln_tensor features = cln_flatten(g, cln_global_avgpool(g, x));
    return cln_softmax_ce(g, cln_linear(g, features, "head", 10), label, 0);
}

static void make(const cln__plan_request *request) {
    cln__plan_drop(&plan);
    ok(cln__plan_make(ctx, g, &caps, request, 0, &plan));
}

/* An evaluation plan for one output; as the tests of failures need it, then as the others do. */
static cln_status try_plan(cln_tensor output) {
    cln__plan_drop(&plan);
    cln__plan_request request = {
        .loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &output, .output_count = 1, .variant = variant};
    return cln__plan_make(ctx, g, &caps, &request, 0, &plan);
}

static void make_evaluation(cln_tensor output) {
    ok(try_plan(output));
}

#endif
