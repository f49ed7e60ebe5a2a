/* Which computations a plan has, and which candidate (a kernel variant, with or without parameters) each got: what the
 * tuner works on, and what a run records. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

const char *cln__choice_find(const cln__lowering *l, const char *signature) {
    for (int i = 0; i < l->choice_count; i++)
        if (strcmp(l->choices[i].signature, signature) == 0)
            return l->choices[i].candidate;
    return NULL;
}

static cln__decision *find(cln__lowering *l, const char *signature) {
    for (int i = 0; i < l->decisions.count; i++)
        if (strcmp(l->decisions.of[i].signature, signature) == 0)
            return &l->decisions.of[i];
    return NULL;
}

cln_status cln__decision_add(cln__lowering *l, cln__decision decision) {
    cln__decisions *all = &l->decisions;
    bool given = decision.signature && decision.candidate;
    cln__decision *same = given ? find(l, decision.signature) : NULL, *wider = NULL;
    if (given && !same)
        wider = realloc(all->of, sizeof *wider * ((size_t)all->count + 1));
    if (wider) {
        all->of = wider;
        all->of[all->count++] = decision;
        return CLN_OK;
    }
    if (same) {
        same->uses += decision.uses;
        same->flops += decision.flops;
    }
    free(decision.signature);
    free(decision.candidate);
    free(decision.candidates);
    return same ? CLN_OK : cln__lower_fail(l, CLN_OUT_OF_MEMORY, "not enough memory to record its variant");
}

void cln__decisions_free(cln__decisions *decisions) {
    for (int i = 0; i < decisions->count; i++) {
        free(decisions->of[i].signature);
        free(decisions->of[i].candidate);
        free(decisions->of[i].candidates);
    }
    free(decisions->of);
    *decisions = (cln__decisions){0};
}
