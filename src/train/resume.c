/* Saving a run between two steps and setting it up again. */
#include "resume.h"
#include "../io/file.h"
#include "identity.h"
#include "parts.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Of these, in this order, and of the tensors the checksum is made. */
static const char *const summed[] = {
    "library", "model", "hparams", "image_shape", "class_names", "normalization", "recipe",  "augmentation",
    "seed",    "split", "epoch",   "data",        "monitor",     "progress",      "choices", "init_weights"};

/* A text counts with its final zero, so that neighbours cannot trade characters. */
static uLong add_text(uLong crc, const char *text) {
    return text ? crc32_z(crc, (const unsigned char *)text, strlen(text) + 1) : crc;
}

static uLong add_tensor(uLong crc, const cln_file_tensor *t) {
    size_t bytes = (size_t)t->count * cln_dtype_size(t->dtype);
    return bytes > 0 ? crc32_z(crc, t->data, bytes) : crc;
}

/* --- saving --- */

static cln_status fetch_all(const cln__parts *p) {
    for (size_t i = 0; i < p->count; i++)
        CLN_TRY(cln_weights_get(p->of[i].of, p->of[i].weight, p->of[i].slot, p->of[i].values, p->tensors[i].count));
    return CLN_OK;
}

static cln_status describe(const cln__trainer *t, const cln__parts *p, cln__entries *e) {
    cln__identity_describe(t, e);
    cln__entries_put(e, "progress", cln__progress_print(t));
    uLong crc = 0;
    for (size_t i = 0; i < sizeof summed / sizeof *summed; i++)
        crc = add_text(crc, cln__entries_find(e, summed[i]));
    for (size_t i = 0; i < p->count; i++)
        crc = add_tensor(crc, &p->tensors[i]);
    cln__entries_put(e, "crc32", cln__format("%08lx", (unsigned long)crc));
    return e->failed ? cln__fail_memory(t->ctx, "the state of the run") : CLN_OK;
}

cln_status cln__resume_save(cln__trainer *t) {
    cln__parts p;
    cln__entries e = {.count = 0};
    CLN_TRY(cln__parts_new(t, &p));
    cln_status status = fetch_all(&p);
    if (status == CLN_OK)
        status = describe(t, &p, &e);
    if (status == CLN_OK)
        status = cln_safetensors_write(t->ctx, t->folder.resume, p.tensors, p.count, e.at, e.count);
    cln__entries_free(&e);
    cln__parts_free(&p);
    t->saved_s = cln__now_s();
    if (status == CLN_OK) {
        t->is_saved = true;
        t->saved = t->position;
    }
    return status;
}

/* --- going on --- */

static cln_status check_sum(const cln__trainer *t) {
    const cln_safetensors *file = t->resumed;
    uLong crc = 0;
    char text[16];
    for (size_t i = 0; i < sizeof summed / sizeof *summed; i++)
        crc = add_text(crc, cln_safetensors_metadata(file, summed[i]));
    for (size_t i = 0; i < cln_safetensors_count(file); i++)
        crc = add_tensor(crc, cln_safetensors_at(file, i));
    snprintf(text, sizeof text, "%08lx", (unsigned long)crc);
    if (strcmp(text, cln_safetensors_metadata(file, "crc32")) == 0)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE, "cannot resume from '%s': it is damaged (its checksum is wrong)",
                     t->options->resume);
}

cln_status cln__resume_check_epoch(const cln__trainer *t, const char *found, const char *path, int epoch) {
    if (found && atoi(found) == epoch)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE,
                     "'%s' has the weights of epoch %.20s, but those of epoch %d belong there by the state of the run",
                     path, found ? found : "unknown", epoch);
}

/* Of the best weights, a later epoch's will do: they are those of a process that was killed before it saved the state,
 * or the state is an older one that was put back; either way the run comes to that epoch again. */
static cln_status check_origin(const cln__trainer *t, const cln_safetensors *file, const char *path, int epoch) {
    const char *found = cln_safetensors_metadata(file, "epoch");
    CLN_TRY(cln__identity_check_options(t, file, path));
    bool later = found && atoi(found) > t->position.epochs && epoch == cln__ranking_best(&t->ranking);
    return later ? CLN_OK : cln__resume_check_epoch(t, found, path, epoch);
}

/* Weights to which the state refers. */
static cln_status check_weights(const cln__trainer *t, const char *path, int epoch) {
    cln_safetensors *file;
    if (access(path, F_OK) != 0)
        return cln__fail(t->ctx, CLN_IO,
                         "cannot resume from '%s': '%s' with the weights of epoch %d, one of the best so far, is not "
                         "there",
                         t->options->resume, path, epoch);
    CLN_TRY(cln_safetensors_read(t->ctx, path, &file));
    cln_status status = check_origin(t, file, path, epoch);
    cln_safetensors_free(file);
    return status;
}

static cln_status check_ranked(const cln__trainer *t, const char *format, int epoch) {
    char *path = cln__format(format, t->options->out, epoch);
    cln_status status = path ? check_weights(t, path, epoch) : cln__fail_memory(t->ctx, "a file name");
    free(path);
    return status;
}

static cln_status check_all_ranked(const cln__trainer *t) {
    int best = cln__ranking_best(&t->ranking);
    if (best > 0)
        CLN_TRY(check_ranked(t, "%s/best.safetensors", best));
    for (int i = 0; t->ranking.capacity > 1 && i < t->ranking.count; i++)
        CLN_TRY(check_ranked(t, "%s/epoch=%02d.safetensors", t->ranking.at[i].epoch));
    return CLN_OK;
}

/* A run goes on where its state lies: all that the state refers to is there, and nothing of another run. */
static cln_status check_folder(const cln__trainer *t) {
    const char *path = t->options->resume, *out = t->options->out;
    struct stat given, own;
    char *expected = cln__format("%s/resume.safetensors", out);
    if (!expected)
        return cln__fail_memory(t->ctx, "a file name");
    errno = 0;
    bool found = stat(path, &given) == 0;
    bool same = found && stat(expected, &own) == 0 && given.st_dev == own.st_dev && given.st_ino == own.st_ino;
    bool unknown = errno != 0 && errno != ENOENT && errno != ENOTDIR;
    cln_status status = unknown ? cln__fail_errno(t->ctx, "cannot resume from", found ? expected : path) : CLN_OK;
    free(expected);
    if (same || unknown)
        return status;
    return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                     "cannot resume from '%s' in '%s': a run goes on in the folder that holds its state, as "
                     "resume.safetensors; to continue elsewhere, copy the run's folder",
                     path, out);
}

static cln_status read_state(cln__trainer *t) {
    const char *path = t->options->resume;
    cln_safetensors_free(t->resumed);
    CLN_TRY(cln_safetensors_read(t->ctx, path, &t->resumed));
    if (cln_safetensors_metadata(t->resumed, "progress") && cln_safetensors_metadata(t->resumed, "crc32"))
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE,
                     "cannot resume from '%s': it holds no state of a run (weights alone do not; the file to give is "
                     "resume.safetensors of the run's folder)",
                     path);
}

cln_status cln__resume_read(cln__trainer *t) {
    CLN_TRY(read_state(t));
    CLN_TRY(check_folder(t));
    CLN_TRY(cln__folder_open(t->ctx, t->options->out, &t->folder));
    /* Again, since until the folder was claimed a process that was ending may have saved a later state. */
    CLN_TRY(read_state(t));
    return check_sum(t);
}

cln_status cln__resume_open(cln__trainer *t) {
    const char *path = t->options->resume, *progress = cln_safetensors_metadata(t->resumed, "progress");
    CLN_TRY(cln__identity_check(t, t->resumed, path));
    CLN_TRY(cln__progress_read(t, path, progress));
    return check_all_ranked(t);
}

static cln_status check_tensors(const cln__trainer *t, const cln__parts *p) {
    const char *path = t->options->resume;
    for (size_t i = 0; i < p->count; i++) {
        const cln_file_tensor *expected = &p->tensors[i], *found = cln_safetensors_find(t->resumed, expected->name);
        if (!found || found->dtype != CLN_F32 || found->rank != expected->rank ||
            memcmp(found->shape, expected->shape, sizeof(int64_t) * (size_t)expected->rank) != 0)
            return cln__fail(t->ctx, CLN_INVALID_FILE,
                             "cannot resume from '%s': tensor '%s' is missing or not of the network's shape", path,
                             expected->name);
    }
    if (cln_safetensors_count(t->resumed) != p->count)
        return cln__fail(t->ctx, CLN_INVALID_FILE, "cannot resume from '%s': it has %zu tensors, expected %zu", path,
                         cln_safetensors_count(t->resumed), p->count);
    return CLN_OK;
}

static cln_status restore(cln__trainer *t, const cln__parts *p) {
    CLN_TRY(check_tensors(t, p));
    CLN_TRY(cln__identity_warn(t, t->resumed, t->options->resume));
    for (size_t i = 0; i < p->count; i++) {
        cln_file_tensor_to_float(cln_safetensors_find(t->resumed, p->tensors[i].name), p->of[i].values);
        CLN_TRY(cln_weights_set(p->of[i].of, p->of[i].weight, p->of[i].slot, p->of[i].values, p->tensors[i].count));
    }
    t->saved_s = cln__now_s();
    cln_plan_set_updates(t->train_plan, cln__trainer_updates_done(t));
    cln_plan_set_steps(t->train_plan, cln__trainer_steps_done(t));
    return CLN_OK;
}

cln_status cln__resume_apply(cln__trainer *t) {
    cln__parts p;
    CLN_TRY(cln__parts_new(t, &p));
    cln_status status = restore(t, &p);
    cln__parts_free(&p);
    cln_safetensors_free(t->resumed);
    t->resumed = NULL;
    return status;
}
