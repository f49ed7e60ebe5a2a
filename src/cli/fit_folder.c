/* cltrain fit: the folder of a run, and the state that is gone on from. */
#include "fit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char root[] = "runs";

/* Without --out: with --resume last the latest run of the model, else a new one. */
static cln_status choose(cln_context *ctx, const fit_arguments *a, fit_paths *p) {
    cln_status status = CLN_OK;
    if (a->resume && strcmp(a->resume, "last") == 0)
        status = cln_run_folder_latest(ctx, root, a->model->name, &p->numbered);
    if (status != CLN_OK || p->numbered)
        return status;
    p->made = true;
    return cln_run_folder_new(ctx, root, a->model->name, &p->numbered);
}

cln_status fit_paths_choose(cln_context *ctx, const fit_arguments *a, fit_paths *p) {
    bool by_path = a->resume && strcmp(a->resume, "last") != 0;
    *p = (fit_paths){.out = a->out};
    if (!p->out && by_path)
        p->out = interrupt_folder(a->resume, p->folder);
    if (a->fast_dev_run > 0) {
        p->out = NULL;
        return CLN_OK;
    }
    cln_status status = p->out ? CLN_OK : choose(ctx, a, p);
    if (status != CLN_OK)
        return status;
    p->out = p->out ? p->out : p->numbered;
    p->resume = a->resume ? interrupt_state(a->resume, p->out, p->state) : NULL;
    if (a->resume && !p->resume)
        fprintf(stderr, "%s: warning: there is nothing to resume in '%s': starting from the beginning\n", CLI_PROGRAM,
                p->out);
    return CLN_OK;
}

void fit_paths_free(fit_paths *p) {
    if (p->made && p->numbered)
        rmdir(p->numbered);
    free(p->numbered);
}
