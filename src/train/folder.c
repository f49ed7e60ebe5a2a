/* Making the folder of a run, and metrics.csv in it. */
#include "folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static cln_status fail_errno(cln_context *ctx, const char *attempt, const char *path) {
    char text[128];
    int code = errno;
    if (strerror_r(code, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", code);
    return cln__fail(ctx, CLN_IO, "%s '%s': %s", attempt, path, text);
}

static cln_status make(cln_context *ctx, const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return CLN_OK;
    if (errno != EEXIST)
        return fail_errno(ctx, "cannot make the folder", path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return CLN_OK;
    return cln__fail(ctx, CLN_IO, "cannot make the folder '%s': there is a file of that name", path);
}

static cln_status make_all(cln_context *ctx, char *path) {
    for (char *slash = path + 1; *path && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        cln_status status = make(ctx, path);
        *slash = '/';
        if (status != CLN_OK)
            return status;
    }
    return make(ctx, path);
}

cln_status cln__folder_open(cln_context *ctx, const char *path, cln__folder *out) {
    *out = (cln__folder){.csv = NULL};
    char *copy = cln__format("%s", path);
    out->best = cln__format("%s/best.safetensors", path);
    out->last = cln__format("%s/last.safetensors", path);
    out->metrics = cln__format("%s/metrics.csv", path);
    cln_status status =
        copy && out->best && out->last && out->metrics ? make_all(ctx, copy) : cln__fail_memory(ctx, "file names");
    free(copy);
    CLN_TRY(status);
    out->csv = fopen(out->metrics, "w");
    if (!out->csv)
        return fail_errno(ctx, "cannot write", out->metrics);
    fprintf(out->csv, "epoch,lr,train_loss,train_acc,val_loss,val_acc,images_per_s\n");
    return fflush(out->csv) == 0 ? CLN_OK : fail_errno(ctx, "cannot write", out->metrics);
}

void cln__folder_close(cln__folder *folder) {
    if (folder->csv)
        fclose(folder->csv);
    free(folder->best);
    free(folder->last);
    free(folder->metrics);
    *folder = (cln__folder){.csv = NULL};
}

cln_status cln__folder_log(cln_context *ctx, cln__folder *folder, const cln_fit_event *e) {
    char validation[64] = ",";
    if (e->validation.count > 0)
        snprintf(validation, sizeof validation, "%.6f,%.6f", e->validation.loss, e->validation.accuracy);
    fprintf(folder->csv, "%d,%g,%.6f,%.6f,%s,%.1f\n", e->epoch, (double)e->learning_rate, e->train_loss,
            e->train_accuracy, validation, e->images_per_s);
    return fflush(folder->csv) == 0 ? CLN_OK : fail_errno(ctx, "cannot write", folder->metrics);
}
