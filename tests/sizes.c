/* See sizes.h. */
#include "sizes.h"
#include "suite.h"

#include <math.h>
#include <string.h>

static void check(verify_case *c, bool made, const char *title) {
    bool passed = made && verify_run(c);
    ck_assert_msg(c->reason[0] == '\0', "%s: %s", title, c->reason);
    for (int i = 0; i < c->result_count; i++) {
        const verify_result *r = &c->results[i];
        ck_assert_msg(verify_within(r), "%s: %s %s is off by %g, not within %g", title, r->group, r->name, r->error,
                      r->tolerance);
    }
    ck_assert_msg(passed, "%s", title);
}

void sizes_check_op(const self_op *op) {
    verify_case c = {.ctx = ctx, .device = device};
    check(&c, self_make_op(&c, op), op->title);
    verify_free(&c);
}

double sizes_check_model(const self_model *model, const char *variant) {
    verify_case c = {.ctx = ctx, .device = device, .variant = variant};
    double largest = 0;
    check(&c, self_make_model(&c, model), model->title);
    for (int i = 0; i < c.result_count; i++)
        if (strcmp(c.results[i].group, "grad") == 0)
            largest = fmax(largest, c.results[i].error);
    verify_free(&c);
    return largest;
}
