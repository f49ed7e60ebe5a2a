/* See sizes.h. */
#include "sizes.h"
#include "suite.h"

static void check(verify_case *c, bool made, const char *title) {
    bool passed = made && verify_run(c);
    ck_assert_msg(c->reason[0] == '\0', "%s: %s", title, c->reason);
    for (int i = 0; i < c->result_count; i++) {
        const verify_result *r = &c->results[i];
        ck_assert_msg(verify_within(r), "%s: %s %s is off by %g, not within %g", title, r->group, r->name, r->error,
                      r->tolerance);
    }
    ck_assert_msg(passed, "%s", title);
    verify_free(c);
}

void sizes_check_op(const self_op *op, const char *variant) {
    verify_case c = {.ctx = ctx, .device = device, .variant = variant};
    check(&c, self_make_op(&c, op), op->title);
}

void sizes_check_model(const self_model *model) {
    verify_case c = {.ctx = ctx, .device = device};
    check(&c, self_make_model(&c, model), model->title);
}
