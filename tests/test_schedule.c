/* Learning rates and momenta, step by step, against those of PyTorch 2.13's schedulers.
 *
 * The tables are what `opt.param_groups[0]` has before each step of
 *
 *   for _ in range(24): opt.step(); scheduler.step()
 *
 * with opt = SGD([p], lr=0.1, momentum=0.9) (AdamW for the steep cycle) and, for epochs of 4 steps,
 *
 *   multistep        MultiStepLR(opt, [2*4, 5*4], gamma=0.1)
 *   cosine           CosineAnnealingLR(opt, T_max=24, eta_min=1e-4)
 *   warm_cosine      SequentialLR(opt, [LinearLR(opt, 0.01, total_iters=8), CosineAnnealingLR(opt, T_max=16)], [8])
 *   warm_multistep   SequentialLR(opt, [LinearLR(opt, 0.2, total_iters=3),
 *                                       MultiStepLR(opt, [2*4-3, 5*4-3], gamma=0.1)], [3])
 *   cycle            OneCycleLR(opt, max_lr=0.1, total_steps=24)
 *   cycle_steep      OneCycleLR(opt, max_lr=0.004, total_steps=24, pct_start=0.4, div_factor=10,
 *                               final_div_factor=100, base_momentum=0.8, max_momentum=0.9)
 */
#include "../src/train/schedule.h"
#include "suite.h"

#include <math.h>

enum { EPOCH = 4, EPOCHS = 6, STEPS = EPOCH * EPOCHS };

static const double multistep_lr[STEPS] = {0.1,  0.1,  0.1,  0.1,  0.1,  0.1,  0.1,  0.1,  0.01,  0.01,  0.01,  0.01,
                                           0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001};
static const double cosine_lr[STEPS] = {
    0.1,      0.0995726708, 0.098297995,  0.0961977826, 0.0933079689,  0.0896779993,  0.0853699837,  0.0804576334,
    0.075025, 0.0691650374, 0.0629780113, 0.0565697833, 0.05005,       0.0435302167,  0.0371219887,  0.0309349626,
    0.025075, 0.0196423666, 0.0147300163, 0.0104220007, 0.00679203108, 0.00390221735, 0.00180200498, 0.000527329174};
static const double warm_cosine_lr[STEPS] = {
    0.001, 0.013375,     0.02575,      0.038125,     0.0505,       0.062875,      0.07525,       0.087625,
    0.1,   0.099039264,  0.0961939766, 0.0915734806, 0.0853553391, 0.0777785117,  0.0691341716,  0.0597545161,
    0.05,  0.0402454839, 0.0308658284, 0.0222214883, 0.0146446609, 0.00842651938, 0.00380602337, 0.00096073598};
static const double warm_multistep_lr[STEPS] = {0.02, 0.0466666667, 0.0733333333, 0.1,  0.1,   0.1,   0.1,   0.1,
                                                0.01, 0.01,         0.01,         0.01, 0.01,  0.01,  0.01,  0.01,
                                                0.01, 0.01,         0.01,         0.01, 0.001, 0.001, 0.001, 0.001};
static const double cycle_lr[STEPS] = {
    0.004,        0.0100313624, 0.0266097275, 0.0495688399, 0.0731389193,  0.0913966452,  0.0997537275,   0.0994415435,
    0.0971941777, 0.093301297,  0.0878986346, 0.0811745654, 0.073363538,   0.0647378998,  0.0555984014,   0.0462637103,
    0.0370592995, 0.0283060998, 0.0203093095, 0.013347753,  0.00766415938, 0.00345669874, 0.000872072852, 4e-07};
static const double cycle_momentum[STEPS] = {
    0.95,        0.943717331, 0.926448201, 0.902532458, 0.877980292, 0.858961828, 0.850256534, 0.850558459,
    0.852805833, 0.85669873,  0.862101414, 0.86882551,  0.876636569, 0.885262241, 0.894401776, 0.903736505,
    0.912940952, 0.921694187, 0.929691009, 0.936652594, 0.94233621,  0.946543687, 0.949128324, 0.95};
static const double cycle_steep_lr[STEPS] = {
    0.0004,        0.000518771004, 0.000859410071, 0.00137696382,  0.00200313182,  0.00265528009,
    0.00324734605, 0.00370119607,  0.00395693658,  0.00399239701,  0.00390752647,  0.00373231876,
    0.00347508012, 0.00314800572,  0.0027666015,   0.00234894906,  0.00191484846,  0.00148487955,
    0.00107942627, 0.000717710356, 0.000416880026, 0.000191197042, 5.13605778e-05, 4e-06};
static const double cycle_steep_momentum[STEPS] = {
    0.9,         0.896700805, 0.887238609, 0.872862116, 0.85546856,  0.837353331, 0.820907054, 0.808300109,
    0.801196206, 0.800190265, 0.802314152, 0.80669873,  0.813136133, 0.821321178, 0.830865828, 0.841317591,
    0.852180969, 0.862940952, 0.873087431, 0.88213938,  0.889667667, 0.895315389, 0.8988148,   0.9};

static const struct {
    const char *name;
    cln_recipe recipe;
    const double *lr, *momentum; /* NULL: the optimiser's own */
} cases[] = {
    {"multistep", {.gamma = 0.1f, .milestones = {2, {2, 5}}}, multistep_lr, NULL},
    {"cosine", {.lr_scheduler = CLN_LR_COSINE, .min_lr = 1e-4f}, cosine_lr, NULL},
    {"warm cosine", {.lr_scheduler = CLN_LR_COSINE, .warmup_epochs = 2}, warm_cosine_lr, NULL},
    {"warm multistep",
     {.gamma = 0.1f, .milestones = {2, {2, 5}}, .warmup_steps = 3, .warmup_lr = 0.02f},
     warm_multistep_lr,
     NULL},
    {"cycle", {.lr_scheduler = CLN_LR_ONECYCLE}, cycle_lr, cycle_momentum},
    {"steep cycle",
     {.learning_rate = 0.004f,
      .lr_scheduler = CLN_LR_ONECYCLE,
      .onecycle =
          {.pct_start = 0.4f, .div_factor = 10, .final_div_factor = 100, .base_momentum = 0.8f, .max_momentum = 0.9f}},
     cycle_steep_lr,
     cycle_steep_momentum},
};

static cln_recipe recipe_of(int index) {
    cln_recipe r = cases[index].recipe;
    r.learning_rate = r.learning_rate > 0 ? r.learning_rate : 0.1f;
    r.gamma = r.gamma > 0 ? r.gamma : 1;
    r.epochs = EPOCHS;
    return r;
}

/* 1e-6 of the highest rate: the recipe's numbers, such as 0.3, are floats. */
START_TEST(every_step_is_pytorchs) {
    cln_recipe r = recipe_of(_i);
    ok(cln__schedule_check(ctx, &r));
    ok(cln__schedule_check_length(ctx, &r, EPOCH));
    for (int i = 0; i < STEPS; i++) {
        cln_rates now = cln_recipe_rates(&r, i, EPOCH);
        double momentum = cases[_i].momentum ? cases[_i].momentum[i] : 0;
        double off = fabs((double)now.learning_rate - cases[_i].lr[i]);
        ck_assert_msg(off <= 1e-6 * (double)r.learning_rate, "%s, step %d: lr %.9g, expected %.9g", cases[_i].name, i,
                      (double)now.learning_rate, cases[_i].lr[i]);
        ck_assert_msg(fabs((double)now.momentum - momentum) <= 1e-6, "%s, step %d: momentum %.9g, expected %.9g",
                      cases[_i].name, i, (double)now.momentum, momentum);
    }
}
END_TEST

START_TEST(constant_and_fixed_momentum) {
    cln_recipe r = {.learning_rate = 0.3f, .gamma = 0.1f, .milestones = {1, {1}}, .epochs = 3};
    r.lr_scheduler = CLN_LR_CONSTANT;
    ck_assert_float_eq(cln_recipe_rates(&r, 11, 4).learning_rate, 0.3f);
    ck_assert_float_eq(cln__schedule_optimizer(&r).momentum, 0);
    r.lr_scheduler = CLN_LR_ONECYCLE;
    r.optimizer.kind = CLN_SGD;
    ck_assert_float_eq(cln__schedule_optimizer(&r).momentum, 0.95f);
    r.onecycle.fixed_momentum = true;
    ck_assert_float_eq(cln__schedule_optimizer(&r).momentum, 0);
    ck_assert_float_eq(cln_recipe_rates(&r, 5, 4).momentum, 0);
}
END_TEST

/* A cycle of few steps has phases of none, which divide by zero in PyTorch. */
START_TEST(short_cycles_are_finite) {
    for (int total = 1; total <= 12; total++)
        for (int share = 1; share <= 10; share++)
            for (int i = 0; i < total; i++) {
                cln_recipe r = {.learning_rate = 1, .gamma = 1, .epochs = 1, .lr_scheduler = CLN_LR_ONECYCLE};
                r.onecycle.pct_start = (float)share / 10;
                cln_rates now = cln_recipe_rates(&r, i, total);
                ck_assert(now.learning_rate > 0 && now.learning_rate <= 1.000001f);
                ck_assert(now.momentum > 0.849f && now.momentum < 0.951f);
            }
}
END_TEST

/* Whatever comes behind, the warm-up ends where that begins. */
START_TEST(a_warmup_leads_to_what_follows) {
    for (cln_lr_scheduler s = CLN_LR_MULTISTEP; s <= CLN_LR_CONSTANT; s++) {
        cln_recipe r = {.learning_rate = 1, .gamma = 0.5f, .milestones = {1, {1}}, .epochs = 10, .warmup_steps = 100};
        r.lr_scheduler = s;
        double goal = (double)cln_recipe_rates(&r, 100, 50).learning_rate;
        for (int i = 0; i < 100; i++)
            ck_assert_double_eq_tol((double)cln_recipe_rates(&r, i, 50).learning_rate, goal * (0.01 + 0.99 * i / 100),
                                    1e-6);
    }
}
END_TEST

static void fails(cln_recipe r, const char *message) {
    cln_status status = cln__schedule_check(ctx, &r);
    if (status == CLN_OK)
        status = cln__schedule_check_length(ctx, &r, EPOCH);
    ck_assert_int_eq(status, CLN_INVALID_ARGUMENT);
    expect_message(message);
}

START_TEST(what_is_out_of_range_is_told) {
    cln_recipe good = {.learning_rate = 0.1f, .gamma = 0.1f, .epochs = EPOCHS}, r = good;
    ok(cln__schedule_check(ctx, &r));
    r.learning_rate = NAN;
    fails(r, "learning rate nan, gamma 0.1, expected more than 0");
    r = good;
    r.min_lr = 0.2f;
    fails(r, "lowest learning rate 0.2, at the warm-up's beginning 0, expected 0 to 0.1");
    r = good;
    r.onecycle.pct_start = 1.5f;
    fails(r, "one-cycle with pct_start 1.5,");
    r = good;
    r.onecycle.max_momentum = 1;
    fails(r, "momenta 0.85 and 1: out of range");
    r = good;
    r.warmup_epochs = r.warmup_steps = 1;
    fails(r, "a warm-up of 1 epochs and 1 steps: expected one of the two");
    r = good;
    r.warmup_epochs = EPOCHS;
    fails(r, "a warm-up of 24 steps leaves nothing of the 6 epochs of 4 steps: shorten it");
    r = good;
    r.milestones = (cln_ints){2, {3, 3}};
    fails(r, "found 3 after 3");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, every_step_is_pytorchs, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, constant_and_fixed_momentum);
    tcase_add_test(tests, short_cycles_are_finite);
    tcase_add_test(tests, a_warmup_leads_to_what_follows);
    tcase_add_test(tests, what_is_out_of_range_is_told);
}

int main(void) {
    return suite_run("schedule", add_tests);
}
