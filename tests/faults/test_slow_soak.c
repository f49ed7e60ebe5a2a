/* What a long run keeps: 100,000 steps of a small network, and 1,000 plans that come and go. After a tenth of them
 * everything is there that will be; at the end as many blocks of memory and OpenCL objects of ours must be alive, as
 * wrap.c counts them, and the process must hold as much memory, so that what drivers and libraries keep counts too. On
 * a CPU the device's memory is the process's. Speeds are printed, not judged. */
#include "../files.h"
#include "../suite.h"
#include "clnet/models.h"
#include "clnet/train.h"
#include "track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 100000, PLANS = 1000, TENTHS = 10, SIDE = 8, TRAIN = 1100, TEST = 100, HELD_BACK = 100, BATCH = 2 };
/* Of blocks and objects: what is under way when they are counted. One a plan would be 900, one a step 90,000. */
static const long allowed = 16;
/* Of memory: what an allocator and a driver may move by. A block of the least size a step would be 2,800 KiB. */
static const double allowed_kib = 128;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* /proc/self/status has it too, but off by what each thread counted last. */
static double resident_kib(void) {
    return proc_number("/proc/self/smaps_rollup", "Rss:");
}

/* --- what is alive after each tenth --- */

typedef struct tenth {
    double kib, seconds;
    long blocks, objects[LIVE_KINDS];
} tenth;

static tenth look(void) {
    tenth t = {.kib = resident_kib(), .seconds = now_s(), .blocks = live_blocks()};
    for (int kind = 0; kind < LIVE_KINDS; kind++)
        t.objects[kind] = live_objects(kind);
    return t;
}

static void print(const tenth t[TENTHS + 1], const char *what, int count) {
    printf("resident before and after each tenth of %d %s, MiB:", count, what);
    for (int i = 0; i <= TENTHS; i++)
        printf(" %.2f", t[i].kib / 1024);
    printf("\n%s a second in each tenth:", what);
    for (int i = 1; i <= TENTHS; i++)
        printf(" %.0f", count / TENTHS / (t[i].seconds - t[i - 1].seconds));
    printf("; in the last four at %.3f of the speed of those from the second on\n",
           (t[5].seconds - t[1].seconds) / (t[TENTHS].seconds - t[TENTHS - 4].seconds));
    printf("alive after a tenth and at the end: blocks of memory %ld, %ld", t[1].blocks, t[TENTHS].blocks);
    for (int kind = 0; kind < LIVE_KINDS; kind++)
        printf("; %ss %ld, %ld", live_names[kind], t[1].objects[kind], t[TENTHS].objects[kind]);
    printf("\n");
    fflush(stdout);
}

static void check(const tenth t[TENTHS + 1]) {
    const tenth *first = &t[1], *last = &t[TENTHS];
    ck_assert_msg(last->blocks <= first->blocks + allowed, "%ld blocks, after a tenth %ld", last->blocks,
                  first->blocks);
    for (int kind = 0; kind < LIVE_KINDS; kind++)
        ck_assert_msg(last->objects[kind] <= first->objects[kind] + allowed, "%ld %ss, after a tenth %ld",
                      last->objects[kind], live_names[kind], first->objects[kind]);
    ck_assert_msg(last->kib <= first->kib + allowed_kib, "%.0f KiB more than after a tenth", last->kib - first->kib);
}

/* --- a run --- */

static void put(unsigned char *at, unsigned value) {
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* Grey images whose class shows in how bright they are, in IDX files. */
static void write_images(const char *folder, const char *images, const char *labels, unsigned count) {
    static unsigned char image[16 + TRAIN * SIDE * SIDE], label[8 + TRAIN];
    put(image, 0x803);
    put(image + 4, count);
    put(image + 8, SIDE);
    put(image + 12, SIDE);
    put(label, 0x801);
    put(label + 4, count);
    for (unsigned i = 0; i < count * SIDE * SIDE; i++)
        image[16 + i] = (unsigned char)(i / (SIDE * SIDE) % 10 * 20 + i * 2654435761u % 61);
    for (unsigned i = 0; i < count; i++)
        label[8 + i] = (unsigned char)(i % 10);
    file_write(folder, images, image, 16 + (size_t)count * SIDE * SIDE);
    file_write(folder, labels, label, 8 + (size_t)count);
}

typedef struct soak {
    int64_t step;
    tenth after[TENTHS + 1];
} soak;

static void watch(void *user, const cln_fit_event *e) {
    soak *s = user;
    if (e->stage == CLN_FIT_READY)
        s->after[0] = look();
    if (e->stage == CLN_FIT_STEP && ++s->step % (STEPS / TENTHS) == 0)
        s->after[s->step / (STEPS / TENTHS)] = look();
}

START_TEST(a_long_run_keeps_its_memory) {
    char *root = folder_new(), *out = path_of(root, "out");
    write_images(root, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", TRAIN);
    write_images(root, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", TEST);
    const cln_model *model = cln_model_find("ResNet");
    soak s = {.step = 0};
    void *hparams;
    cln_fit_result result;
    ok(cln_hparams_new(ctx, model, "{\"num_blocks\": [1], \"c_hidden\": [4]}", &hparams));
    cln_fit_options o = {.model = model, .hparams = hparams, .data = root, .out = out, .seed = 42, .workers = 1};
    o.validation = HELD_BACK;
    o.recipe = *model->recipe;
    o.recipe.learning_rate = 0.01f;
    o.recipe.batch_size = BATCH;
    o.recipe.epochs = STEPS / ((TRAIN - HELD_BACK) / BATCH);
    o.recipe.milestones.count = 0;
    o.on_event = watch;
    o.user = &s;
    ok(cln_fit(ctx, device, &o, &result));
    ck_assert_int_eq(s.step, STEPS);
    print(s.after, "steps", STEPS);
    check(s.after);
    free(hparams);
    free(out);
    folder_remove(root);
}
END_TEST

/* --- plans --- */

static void one_plan(void) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor x = cln_input(g, "x", BATCH, 3, SIDE, SIDE), label = cln_labels(g, "label", BATCH);
    cln_conv2d_options conv = {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    x = cln_activate(g, cln_batchnorm(g, cln_conv2d(g, x, "conv", &conv), "norm", NULL), CLN_RELU);
    x = cln_linear(g, cln_flatten(g, cln_global_avgpool(g, x)), "head", 4);
    cln_tensor loss = cln_softmax_ce(g, x, label, 0);
    cln_weights *weights;
    cln_plan *plan;
    float value;
    cln_plan_options options = {
        .training = true, .loss = loss, .optimizer = {.kind = CLN_ADAM}, .outputs = &loss, .output_count = 1};
    ok(cln_weights_new(device, g, 1, &weights));
    ok(cln_plan_build(device, g, weights, &options, &plan));
    ok(cln_plan_step(plan, 0.1f));
    ok(cln_plan_read(plan, loss, &value, 1));
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(g);
}

START_TEST(plans_come_and_go) {
    tenth after[TENTHS + 1] = {look()};
    for (int i = 1; i <= PLANS; i++) {
        one_plan();
        if (i % (PLANS / TENTHS) == 0)
            after[i / (PLANS / TENTHS)] = look();
    }
    print(after, "plans", PLANS);
    check(after);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, plans_come_and_go);
    tcase_add_test(tests, a_long_run_keeps_its_memory);
}

int main(void) {
    live_settle();
    return suite_run_on_device("slow_soak", add_tests);
}
