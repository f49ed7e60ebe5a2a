/* The gradient comes first: it is what made the weight. */
#include "anomaly.h"

cln_status cln__anomaly_check(cln__trainer *t, int epoch, int64_t index) {
    static const struct {
        cln_slot slot;
        const char *what;
    } looks[] = {{CLN_GRADIENT, "the gradient of "}, {CLN_VALUE, ""}, {CLN_MOMENT1, "the optimiser's moment of "}};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        const char *name;
        CLN_TRY(cln_weights_find_nonfinite(t->weights, looks[i].slot, &name));
        if (name)
            return cln__fail(t->ctx, CLN_DIVERGED,
                             "training stopped: an anomaly in epoch %d, step %lld of %lld (learning rate %g): the loss "
                             "is finite, but %s'%s' has an infinite or undefined value; try a lower learning rate",
                             epoch + 1, (long long)index + 1, (long long)t->event.steps, (double)t->event.learning_rate,
                             looks[i].what, name);
    }
    return CLN_OK;
}
