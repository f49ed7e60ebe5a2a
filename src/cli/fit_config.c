/* cltrain fit: the run's configuration, printed or kept. */
#include "config.h"
#include "fit.h"

#include <stdlib.h>

cln_status fit_print_config(cln_context *ctx, const fit_arguments *a, FILE *to) {
    void *hparams = NULL;
    fit_arguments complete = *a;
    cln_status status = a->model ? cln_hparams_new(ctx, a->model, a->hparams, &hparams) : CLN_OK;
    char *text = hparams ? cln_hparams_print(a->model, hparams) : NULL;
    if (hparams && !text)
        status = CLN_OUT_OF_MEMORY;
    if (text)
        complete.hparams = text;
    if (status == CLN_OK && !cli_config_print(&fit_command, &complete, to))
        status = CLN_OUT_OF_MEMORY;
    free(text);
    free(hparams);
    return status;
}

/* Without the folder: whoever runs it again means another one. */
cln_status fit_config_text(cln_context *ctx, const fit_arguments *a, char **out) {
    size_t size;
    fit_arguments kept = *a;
    kept.out = NULL;
    *out = NULL;
    FILE *memory = open_memstream(out, &size);
    if (!memory)
        return CLN_OUT_OF_MEMORY;
    cln_status status = fit_print_config(ctx, &kept, memory);
    return fclose(memory) == 0 || status != CLN_OK ? status : CLN_OUT_OF_MEMORY;
}
