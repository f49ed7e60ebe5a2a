/* Training with cln_fit, watched and steered by callbacks: a line for each epoch, and an end as soon as the validation
 * is good enough. What it learns from is a data set in any format of `cltrain fit --data`; without one, it makes one.
 *
 * usage: watched_training [DATA [FOLDER]] */
#include "clnet/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { EPOCHS = 30, IMAGE_BYTES = 3 * 32 * 32, IMAGES = 320 };

/* What the callbacks know. They get a pointer to it, cln_fit_options.user, and run in the caller's thread. */
typedef struct watch {
    double good_enough; /* validation accuracy at which training ends */
    double best;
    bool reached;
} watch;

/* Called as the run goes on. An event carries what is known by then; the rest of it is zero. */
static void on_event(void *user, const cln_fit_event *e) {
    watch *w = user;
    switch (e->stage) {
    case CLN_FIT_LOADED:
        printf("%lld images to train on, %lld for validation, %lld to test\n", (long long)e->training_images,
               (long long)e->validation_images, (long long)e->test_images);
        break;
    case CLN_FIT_READY:
        printf("%lld parameters; built in %.1f s\n", (long long)e->parameters, e->build_s);
        break;
    case CLN_FIT_STEP: /* here a program would move its progress bar: e->step of e->steps, e->seconds_left */
        break;
    case CLN_FIT_EPOCH:
        printf("epoch %2d: lr %g, loss %.4f, validation accuracy %.1f%%%s\n", e->epoch, (double)e->learning_rate,
               e->train_loss, 100 * e->validation.accuracy, e->improved ? ", the best so far" : "");
        if (e->validation.accuracy > w->best)
            w->best = e->validation.accuracy;
        w->reached = w->best >= w->good_enough;
        break;
    case CLN_FIT_TEST:
        break;
    }
}

/* Asked after every step. True ends the run in order: its state is saved, and the same options with `resume` would go
 * on from it. A program with a stop button or a signal handler would look at its flag here. */
static bool should_stop(void *user) {
    const watch *w = user;
    return w->reached;
}

/* --- a data set to learn from, as CIFAR-10's files have it: a byte of label, then the red, green and blue planes ---
 */

static bool write_batch(const char *folder, const char *name) {
    static unsigned char record[1 + IMAGE_BYTES];
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    for (int i = 0; file && i < IMAGES; i++) {
        record[0] = (unsigned char)(i % 10);
        for (int p = 0; p < IMAGE_BYTES; p++) /* each class has a brightness of its own, in each colour */
            record[1 + p] = (unsigned char)(10 * ((i % 10) * (1 + p / 1024) % 10) + rand() % 160);
        fwrite(record, sizeof record, 1, file);
    }
    return file && fclose(file) == 0;
}

static bool make_data(const char *folder) {
    char name[32];
    bool made = (mkdir(folder, 0777) == 0) && write_batch(folder, "test_batch.bin");
    for (int i = 1; made && i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        made = write_batch(folder, name);
    }
    return made;
}

/* --- the run --- */

static cln_status train(cln_context *ctx, const char *data, const char *out, watch *w, cln_fit_result *result) {
    const cln_model *model = cln_model_find("ResNet");
    cln_device *device = NULL;
    void *hparams = NULL;
    cln_fit_options options = {
        .model = model,
        .recipe = *model->recipe, /* what is not changed below stays as the model's authors had it */
        .data = data,
        .validation = 0.1,
        .seed = 1,
        .workers = 2,
        .out = out,
        .should_stop = should_stop,
        .on_event = on_event,
        .user = w,
    };
    options.recipe.epochs = EPOCHS;
    options.recipe.batch_size = 32;
    options.recipe.learning_rate = 0.05f;
    options.recipe.milestones.count = 0;
    /* A small network: one block in each of two groups. */
    cln_status status = cln_hparams_new(ctx, model, "{\"num_blocks\": [1, 1], \"c_hidden\": [8, 16]}", &hparams);
    options.hparams = hparams;
    if (status == CLN_OK)
        status = cln_device_open(ctx, NULL, &device);
    if (status == CLN_OK)
        status = cln_fit(ctx, device, &options, result);
    cln_device_free(device);
    free(hparams);
    return status;
}

int main(int argc, char **argv) {
    const char *folder = argc > 2 ? argv[2] : "watched_training.out", *data = argc > 1 ? argv[1] : NULL;
    char own[256], *out = NULL;
    cln_context *ctx;
    cln_fit_result result;
    watch w = {.good_enough = 0.9};
    if (cln_context_new(&ctx) != CLN_OK)
        return CLN_OUT_OF_MEMORY;
    mkdir(folder, 0777); /* one that is there already serves as well */
    snprintf(own, sizeof own, "%s/data", folder);
    struct stat info;
    if (!data && stat(own, &info) != 0 && !make_data(own)) {
        fprintf(stderr, "watched_training: cannot write a data set into '%s'\n", own);
        return CLN_IO;
    }
    cln_status status = cln_run_folder_new(ctx, folder, "ResNet", &out); /* a new run needs a folder without one */
    if (status == CLN_OK)
        status = train(ctx, data ? data : own, out, &w, &result);
    if (status != CLN_OK)
        fprintf(stderr, "watched_training: %s\n", cln_context_error(ctx));
    else if (result.stopped)
        printf("good enough after %d epochs: the weights are in %s/best.safetensors\n", result.epochs, out);
    else
        printf("accuracy in the test: %.1f%%\n", 100 * result.test.accuracy);
    free(out);
    cln_context_free(ctx);
    return (int)status;
}
