/* How much memory the training plans of the networks need, against one buffer for every tensor of their graphs. Needs
 * no device. */
#include "../src/ops/ops.h"
#include "clnet/models.h"
#include "suite.h"

/* At most this much of it: they need 0.12 to 0.31, and 0.26 to 0.48 if what lives at different times shares none. */
static const double most = 0.35;

START_TEST(training_shares_memory) {
    int count;
    const cln_model *model = cln_models(&count)[_i];
    const cln__caps caps = cln__caps_default();
    cln_graph *g = cln_graph_new(ctx);
    cln__host_plan plan;
    cln_tensor image = cln_input(g, "image", 128, 3, 32, 32), label = cln_labels(g, "label", 128);
    cln_tensor loss = cln_softmax_ce(g, model->build(g, image, model->defaults), label, 0);
    const cln__plan_request request = {.training = true,
                                       .loss = loss,
                                       .upstream = CLN_NO_TENSOR,
                                       .outputs = &loss,
                                       .output_count = 1,
                                       .optimizer = model->recipe->optimizer};
    ok(cln__plan_make(ctx, g, &caps, &request, 0, &plan));
    double part = (double)plan.planned_bytes / (double)plan.unshared_bytes;
    ck_assert_msg(part > 0 && part <= most, "%s needs %.0f%% of %llu bytes", model->name, 100 * part,
                  (unsigned long long)plan.unshared_bytes);
    cln__plan_drop(&plan);
    cln_graph_free(g);
}
END_TEST

static void add_tests(TCase *tests) {
    int count;
    (void)cln_models(&count);
    tcase_add_loop_test(tests, training_shares_memory, 0, count);
}

int main(void) {
    return suite_run("memory", add_tests);
}
