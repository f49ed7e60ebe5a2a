/* Weights to safetensors, and from any file of weights. */
#include "clnet/plan.h"

#include "weights_table.h"

#include <stdlib.h>
#include <string.h>

cln_status cln_weights_save(cln_context *ctx, cln_weights *w, const char *path, const cln_metadata *metadata,
                            size_t metadata_count) {
    cln__collected c;
    cln_status status = cln__weights_collect(ctx, w, &c);
    if (status == CLN_OK)
        status = cln_safetensors_write(ctx, path, c.tensors, c.count, metadata, metadata_count);
    free(c.values);
    free(c.tensors);
    return status;
}

/* Whether `name` is a tensor of layer `head` (NULL: there is none). */
static bool is_of(const char *head, const char *name) {
    size_t length = head ? strlen(head) : 0;
    return length > 0 && strncmp(name, head, length) == 0 && name[length] == '.';
}

/* Compares the two but for layer `head`. */
static cln_status match(cln_context *ctx, const cln_weights *w, const cln_weights_file *file, const char *path,
                        const char *head) {
    int count = 0;
    size_t tensor_count = 0;
    cln_weight_info *infos = malloc(sizeof *infos * (size_t)(cln_weights_count(w) + 1));
    cln_file_tensor *tensors = malloc(sizeof *tensors * (cln_weights_file_count(file) + 1));
    for (int i = 0; infos && i < cln_weights_count(w); i++)
        if (!is_of(head, cln_weights_info(w, i).name))
            infos[count++] = cln_weights_info(w, i);
    for (size_t i = 0; tensors && i < cln_weights_file_count(file); i++)
        if (!is_of(head, cln_weights_file_at(file, i)->name))
            tensors[tensor_count++] = *cln_weights_file_at(file, i);
    cln_status status = infos && tensors ? cln__weights_match(ctx, path, infos, count, tensors, tensor_count)
                                         : cln__fail_memory(ctx, "loading the weights");
    free(infos);
    free(tensors);
    return status;
}

static cln_status set(cln_context *ctx, cln_weights *w, int index, const cln_file_tensor *t) {
    float *values = malloc((size_t)t->count * sizeof *values);
    if (!values)
        return cln__fail_memory(ctx, "loading the weights");
    cln_file_tensor_to_float(t, values);
    cln_status status = cln_weights_set(w, index, CLN_VALUE, values, t->count);
    free(values);
    return status;
}

/* All but layer `head`. */
static cln_status load(cln_context *ctx, cln_weights *w, const cln_weights_file *file, const char *path,
                       const char *head) {
    CLN_TRY(match(ctx, w, file, path, head));
    for (int i = 0; i < cln_weights_count(w); i++) {
        const char *name = cln_weights_info(w, i).name;
        if (!is_of(head, name))
            CLN_TRY(set(ctx, w, i, cln_weights_file_find(file, name)));
    }
    return CLN_OK;
}

cln_status cln_weights_load(cln_context *ctx, cln_weights *w, const cln_weights_file *file, const char *path) {
    return load(ctx, w, file, path, NULL);
}

/* --- of another head --- */

static bool fits(const cln_weights *w, const cln_weights_file *file, const char *head) {
    bool all = true;
    for (int i = 0; i < cln_weights_count(w); i++) {
        cln_weight_info info = cln_weights_info(w, i);
        all = all && (!is_of(head, info.name) || cln__weight_fits(&info, cln_weights_file_find(file, info.name)));
    }
    return all;
}

/* "output_net.2.weight (3x64 here, 10x64 there)", malloc'ed; `before` is freed, a list that it goes behind. */
static char *add_left(char *before, const cln_weight_info *info, const cln_file_tensor *t) {
    char here[100], there[100] = "missing";
    cln__axes_text(info->rank, info->shape, here, sizeof here);
    if (t)
        cln__axes_text(t->rank, t->shape, there, sizeof there);
    char *list =
        before ? cln__format("%s%s%s (%s here, %s there)", before, *before ? ", " : "", info->name, here, there) : NULL;
    free(before);
    return list;
}

static char *report_transfer(const cln_weights *w, const cln_weights_file *file, const char *path, const char *head) {
    int count = cln_weights_count(w), left = 0;
    char *list = cln__format("%s", "");
    for (int i = 0; i < count; i++) {
        cln_weight_info info = cln_weights_info(w, i);
        if (!is_of(head, info.name))
            continue;
        list = add_left(list, &info, cln_weights_file_find(file, info.name));
        left++;
    }
    char *text =
        !list       ? NULL
        : left == 0 ? cln__format("all %d tensors from '%s'", count, path)
                    : cln__format("%d of %d tensors from '%s'; left as they were: %s", count - left, count, path, list);
    free(list);
    return text;
}

cln_status cln_weights_transfer(cln_context *ctx, cln_weights *w, const cln_weights_file *file, const char *path,
                                const char *head, char **report) {
    const char *left = fits(w, file, head) ? NULL : head;
    *report = NULL;
    CLN_TRY(load(ctx, w, file, path, left));
    *report = report_transfer(w, file, path, left);
    return *report ? CLN_OK : cln__fail_memory(ctx, "the report of a transfer");
}
