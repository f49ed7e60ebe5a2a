/* Which kernel variants a plan uses: what decides the last bits of its results on a given device. */
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

/* Whether an earlier step has the same operator and variant. */
static bool seen(const cln__host_plan *plan, int index) {
    const cln__step *step = &plan->steps[index];
    for (int i = 0; i < index; i++)
        if (plan->graph->nodes[plan->steps[i].node].op == plan->graph->nodes[step->node].op &&
            strcmp(plan->steps[i].variant, step->variant) == 0)
            return true;
    return false;
}

int cln_plan_choices(const cln_plan *plan) {
    return plan->host.decisions.count;
}

cln_choice cln_plan_choice(const cln_plan *plan, int index) {
    const cln__decision *decision = &plan->host.decisions.of[index];
    return (cln_choice){decision->signature, decision->candidate};
}

char *cln_plan_variants(const cln_plan *plan) {
    const cln__host_plan *host = &plan->host;
    char *text = cln__format("%s", "");
    for (int i = 0; text && i < host->step_count; i++) {
        const cln__step *step = &host->steps[i];
        if (!*step->variant || seen(host, i))
            continue;
        char *longer =
            cln__format("%s%s%s %s", text, *text ? ", " : "", host->graph->nodes[step->node].op->name, step->variant);
        free(text);
        text = longer;
    }
    return text;
}
