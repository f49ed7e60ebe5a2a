/* What several threads, or several processes, may do at once: each computes the same bits as it does alone. Also run
 * under ThreadSanitizer, by scripts/sanitize_threads.sh. */
#include "clnet/models.h"
#include "clnet/plan.h"
#include "clnet/train.h"
#include "files.h"
#include "runs.h"
#include "suite.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { STEPS = 12, BATCH = 6, SIDE = 8, CLASSES = 5, KINDS = 2, MAX_WEIGHTS = 1 << 14 };

typedef struct network {
    cln_graph *graph;
    cln_tensor image, label, loss;
} network;

/* A training, in a thread or not. Check's assertions are for the main thread only. */
typedef struct job {
    int kind;         /* which of the networks */
    cln_context *ctx; /* NULL: context and device are the thread's own */
    cln_device *device;
    const network *net; /* NULL: the thread's own */
    cln_status status;
    char message[512];
    float loss[STEPS], weights[MAX_WEIGHTS];
    int64_t count;
} job;

/* Different layers and optimisers, so that what went astray between two of them would show. CLBlast does the last. */
static network make_network(cln_context *at, int kind) {
    network n = {.graph = cln_graph_new(at)};
    if (!n.graph)
        return n;
    n.image = cln_input(n.graph, "image", BATCH, 3, SIDE, SIDE);
    n.label = cln_labels(n.graph, "label", BATCH);
    cln_tensor x = n.image;
    for (int i = 0; i < 2 + kind; i++) {
        cln_conv2d_options conv = {.out_channels = 8 + 5 * i + kind, .kernel_h = 3, .kernel_w = 3, .padding = 1};
        x = cln_conv2d(n.graph, x, cln_name(n.graph, "conv%d", i), &conv);
        x = cln_batchnorm(n.graph, x, cln_name(n.graph, "norm%d", i), NULL);
        x = cln_activate(n.graph, x, kind ? CLN_GELU : CLN_RELU);
    }
    x = cln_dropout(n.graph, cln_flatten(n.graph, cln_global_avgpool(n.graph, x)), 0.2f);
    n.loss = cln_softmax_ce(n.graph, cln_linear(n.graph, x, "head", CLASSES), n.label, 0);
    return n;
}

static cln_status take_step(job *j, cln_plan *plan, int step) {
    enum { PIXELS = BATCH * 3 * SIDE * SIDE };
    float images[PIXELS];
    int32_t labels[BATCH];
    int ticket;
    for (int i = 0; i < PIXELS; i++)
        images[i] = sinf((float)((i + 1) * (step + 3) % 1009 + j->kind));
    for (int i = 0; i < BATCH; i++)
        labels[i] = (i + step) % CLASSES;
    cln_status status = cln_plan_write(plan, j->net->image, images, PIXELS);
    if (status == CLN_OK)
        status = cln_plan_write_labels(plan, j->net->label, labels, BATCH);
    if (status == CLN_OK)
        status = cln_plan_step(plan, j->kind ? 0.01f : 0.1f);
    if (status == CLN_OK)
        status = cln_plan_request_scalar(plan, j->net->loss, &ticket);
    return status == CLN_OK ? cln_plan_fetch(plan, ticket, &j->loss[step]) : status;
}

static cln_status copy_weights(job *j, cln_weights *weights) {
    j->count = 0;
    for (int i = 0; i < cln_weights_count(weights); i++) {
        int64_t count = cln_weights_info(weights, i).count;
        if (j->count + count > MAX_WEIGHTS)
            return CLN_INTERNAL;
        cln_status status = cln_weights_get(weights, i, CLN_VALUE, j->weights + j->count, count);
        if (status != CLN_OK)
            return status;
        j->count += count;
    }
    return CLN_OK;
}

static cln_status train(job *j) {
    cln_weights *weights = NULL;
    cln_plan *plan = NULL;
    cln_plan_options options = {.training = true,
                                .loss = j->net->loss,
                                .optimizer = {.kind = j->kind ? CLN_ADAM : CLN_SGD, .momentum = j->kind ? 0 : 0.9f},
                                .outputs = &j->net->loss,
                                .output_count = 1};
    cln_status status = cln_weights_new(j->device, j->net->graph, 7, &weights);
    if (status == CLN_OK)
        status = cln_plan_build(j->device, j->net->graph, weights, &options, &plan);
    for (int s = 0; status == CLN_OK && s < STEPS; s++)
        status = take_step(j, plan, s);
    if (status == CLN_OK)
        status = copy_weights(j, weights);
    cln_plan_free(plan);
    cln_weights_free(weights);
    return status;
}

/* Makes what is the thread's own, trains, and frees it. */
static void *run_job(void *argument) {
    job *j = argument;
    cln_context *own = NULL;
    cln_device *own_device = NULL;
    network own_net = {.graph = NULL};
    j->status = j->ctx ? CLN_OK : cln_context_new(&own);
    if (own)
        j->status = cln_device_open(own, NULL, &own_device);
    j->ctx = own ? own : j->ctx;
    j->device = own ? own_device : j->device;
    if (j->status == CLN_OK && !j->net) {
        own_net = make_network(j->ctx, j->kind);
        j->status = own_net.graph ? cln_graph_status(own_net.graph) : CLN_OUT_OF_MEMORY;
        j->net = &own_net;
    }
    if (j->status == CLN_OK)
        j->status = train(j);
    if (j->status != CLN_OK && j->ctx)
        snprintf(j->message, sizeof j->message, "%s", cln_context_error(j->ctx));
    cln_graph_free(own_net.graph);
    cln_device_free(own_device);
    cln_context_free(own);
    return NULL;
}

static void check(const job *alone, const job *j) {
    ck_assert_msg(j->status == CLN_OK, "kind %d: status %d, %s", j->kind, (int)j->status, j->message);
    ck_assert_msg(isfinite(j->loss[STEPS - 1]) && j->loss[STEPS - 1] != j->loss[0], "it does not train");
    ck_assert_msg(memcmp(alone->loss, j->loss, sizeof j->loss) == 0, "kind %d: other losses than alone", j->kind);
    ck_assert_int_eq(alone->count, j->count);
    ck_assert_msg(memcmp(alone->weights, j->weights, sizeof *j->weights * (size_t)j->count) == 0,
                  "kind %d: other weights than alone", j->kind);
}

/* Two of each kind at once, as `like` says, against one of each kind alone. */
static void run_together(job like) {
    enum { THREADS = 2 * KINDS };
    job *alone = calloc(KINDS, sizeof *alone), *jobs = calloc(THREADS, sizeof *jobs);
    pthread_t thread[THREADS];
    ck_assert(alone && jobs);
    for (int i = 0; i < KINDS; i++) {
        alone[i] = (job){.kind = i};
        run_job(&alone[i]);
        check(&alone[i], &alone[i]);
    }
    ck_assert_float_ne(alone[0].loss[1], alone[1].loss[1]);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = like;
        jobs[i].kind = like.net ? like.kind : i % KINDS;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        check(&alone[jobs[i].kind], &jobs[i]);
    free(alone);
    free(jobs);
}

START_TEST(threads_share_a_context_and_a_device) {
    cln_device *shared;
    ok(cln_device_open(ctx, NULL, &shared));
    run_together((job){.ctx = ctx, .device = shared});
    cln_device_free(shared);
}
END_TEST

START_TEST(threads_share_a_graph) {
    cln_device *shared;
    network net = make_network(ctx, 1);
    ok(cln_graph_status(net.graph));
    ok(cln_device_open(ctx, NULL, &shared));
    run_together((job){.ctx = ctx, .device = shared, .net = &net, .kind = 1});
    cln_device_free(shared);
    cln_graph_free(net.graph);
}
END_TEST

START_TEST(threads_have_contexts_of_their_own) {
    run_together((job){.ctx = NULL});
}
END_TEST

/* --- whole runs, with workers that prepare their batches --- */

typedef struct whole_run {
    const char *data;
    char *out;
    cln_status status;
    char message[512];
} whole_run;

static void *run_whole(void *argument) {
    whole_run *r = argument;
    cln_context *own;
    cln_device *own_device = NULL;
    void *hparams = NULL;
    const cln_model *model = cln_model_find("ResNet");
    cln_fit_options o = {.model = model, .data = r->data, .out = r->out, .seed = 42, .validation = 20, .workers = 2};
    cln_fit_result result;
    o.recipe = *model->recipe;
    o.recipe.epochs = 2;
    o.recipe.batch_size = 16;
    o.recipe.milestones.count = 0;
    r->status = cln_context_new(&own);
    if (r->status != CLN_OK)
        return NULL;
    r->status = cln_hparams_new(own, model, "{\"num_blocks\": [1], \"c_hidden\": [8]}", &hparams);
    o.hparams = hparams;
    if (r->status == CLN_OK)
        r->status = cln_device_open(own, NULL, &own_device);
    if (r->status == CLN_OK)
        r->status = cln_fit(own, own_device, &o, &result);
    snprintf(r->message, sizeof r->message, "%s", cln_context_error(own));
    free(hparams);
    cln_device_free(own_device);
    cln_context_free(own);
    return NULL;
}

START_TEST(whole_runs_in_threads) {
    enum { RUNS = 3 }; /* the first alone */
    char *root = run_folder_new(), *data = path_of(root, "data"), name[RUNS][8];
    whole_run runs[RUNS];
    pthread_t thread[RUNS];
    for (int i = 0; i < RUNS; i++) {
        snprintf(name[i], sizeof name[i], "run%d", i);
        runs[i] = (whole_run){.data = data, .out = path_of(root, name[i])};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_whole, &runs[i]), 0);
        if (i == 0)
            pthread_join(thread[0], NULL);
    }
    for (int i = 1; i < RUNS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < RUNS; i++)
        ck_assert_msg(runs[i].status == CLN_OK, "run %d: %s", i, runs[i].message);
    for (int i = 1; i < RUNS; i++)
        runs_same(name[0], name[i]);
    for (int i = 0; i < RUNS; i++)
        free(runs[i].out);
    free(data);
    folder_remove(root);
}
END_TEST

/* --- processes --- */

static FILE *start_process(const char *root, const char *out) {
    char command[2048];
    snprintf(command, sizeof command, "cd '%s' && '%s/cltrain' " RUN_FIT "--epochs 2 --workers 2 --out %s 2>&1", root,
             getenv("CLNET_BIN_DIR"), out);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    return pipe;
}

static void end_process(FILE *pipe) {
    char text[8192];
    size_t used = fread(text, 1, sizeof text - 1, pipe);
    text[used] = '\0';
    while (fgetc(pipe) != EOF)
        ;
    int status = pclose(pipe);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", text);
}

START_TEST(processes_share_a_device) {
    char *root = run_folder_new();
    end_process(start_process(root, "alone"));
    FILE *one = start_process(root, "one"), *two = start_process(root, "two");
    end_process(one);
    end_process(two);
    runs_same("alone", "one");
    runs_same("alone", "two");
    folder_remove(root);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_device())
        return;
    tcase_add_test(tests, threads_share_a_context_and_a_device);
    tcase_add_test(tests, threads_share_a_graph);
    tcase_add_test(tests, threads_have_contexts_of_their_own);
    tcase_add_test(tests, whole_runs_in_threads);
    tcase_add_test(tests, processes_share_a_device);
}

int main(void) {
    return suite_run("threads", add_tests);
}
