/* summary.txt and config.yaml. */
#include "describe.h"

#include <stdlib.h>
#include <string.h>

static cln_status write_text(cln__trainer *t, const char *name, const char *text, size_t size) {
    char *path = cln__format("%s/%s", t->folder.path, name);
    cln_status status = path ? cln_file_write(t->ctx, path, text, size) : cln__fail_memory(t->ctx, "a file name");
    free(path);
    return status;
}

/* For one image, and without the loss: as cltrain summary shows it. */
static cln_status print(cln__trainer *t, FILE *out) {
    const cln_model *model = t->options->model;
    const cln_dataset *data = t->train;
    cln_graph *g = cln_graph_new(t->ctx);
    if (!g)
        return cln__fail_memory(t->ctx, "the graph");
    model->build(g, cln_input(g, "image", 1, data->channels, data->height, data->width), t->hparams);
    cln_status status = cln_graph_status(g);
    if (status == CLN_OK)
        cln_graph_print_summary(g, model->name, out);
    cln_graph_free(g);
    return status;
}

static cln_status write_summary(cln__trainer *t) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cln_status status = out ? print(t, out) : CLN_OK;
    bool whole = out && !ferror(out);
    whole = out && fclose(out) == 0 && whole;
    if (status == CLN_OK)
        status = whole ? write_text(t, "summary.txt", text, size) : cln__fail_memory(t->ctx, "the network's summary");
    free(text);
    return status;
}

cln_status cln__describe_run(cln__trainer *t) {
    const char *config = t->options->config;
    CLN_TRY(write_summary(t));
    return config ? write_text(t, "config.yaml", config, strlen(config)) : CLN_OK;
}
