/* Which of conv2d's variants, and with which parameters, does a computation: what the rules say, unless the plan's
 * choices say otherwise. Here are the candidates among which the tuner chooses, and the choice is looked up. */
#include "conv2d_choice.h"
#include "conv2d_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cln__conv2d_parameter(const char *parameters, const char *name, int own) {
    size_t length = strlen(name);
    for (const char *at = parameters; at && *at; at += *at != '\0') {
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return atoi(at + length + 1);
        at += strcspn(at, " ");
    }
    return own;
}

bool cln__conv2d_alternative(const char *const *list, int index, char text[CLN__PARAMETERS]) {
    for (int i = 0; list[i]; i++)
        if (i == index) {
            snprintf(text, CLN__PARAMETERS, "%s", list[i]);
            return true;
        }
    return false;
}

/* Whether nothing is fused into a forward pass, so that variants that do not fuse can do it too. */
static bool is_plain(const cln__conv2d *p) {
    return p->load_scale.id < 0 && p->load_shift.id < 0 && p->load_act == CLN_IDENTITY && !p->accumulate &&
           p->act == CLN_IDENTITY && !p->moments && !p->pooled;
}

/* Whether `v` can do what the rules gave to `rule`; what is around it was planned for that one. */
static bool can_replace(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *rule,
                        const cln__conv2d_variant *v) {
    bool alike = v->fuses == rule->fuses || (p->pass == CLN__FORWARD && (v->fuses || is_plain(p)));
    return alike && !cln__conv2d_refusal(l, p, v);
}

/* The next alternative from *index on that the variant does not refuse. */
static bool next_alternative(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *v, int *index,
                             char text[CLN__PARAMETERS]) {
    while (v->alternative && v->alternative(l, p, (*index)++, text)) {
        cln__conv2d with = *p;
        with.parameters = text;
        if (!v->refuses(l, &with))
            return true;
    }
    return false;
}

static void append(char **text, const char *name, const char *parameters) {
    char *longer = *text ? cln__format("%s%s%s%s\n", *text, name, *parameters ? " " : "", parameters) : NULL;
    free(*text);
    *text = longer;
}

static void append_variant(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *v, char **text) {
    char parameters[CLN__PARAMETERS];
    int index = 0;
    append(text, v->name, "");
    while (next_alternative(l, p, v, &index, parameters))
        append(text, v->name, parameters);
}

/* The rule's own first. The reference variant serves everything and is the slowest. */
static char *list(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *const *variants, int count,
                  const cln__conv2d_variant *rule) {
    char *text = cln__format("%s", "");
    append_variant(l, p, rule, &text);
    for (int i = 0; i < count; i++)
        if (variants[i] != rule && variants[i] != &cln__conv2d_reference && can_replace(l, p, rule, variants[i]))
            append_variant(l, p, variants[i], &text);
    return text;
}

/* Finds the candidate by its text: true if it can do `p`. */
static bool take(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *const *variants, int count,
                 const char *candidate, cln__conv2d_choice *choice) {
    size_t name = strcspn(candidate, " ");
    const char *parameters = candidate[name] ? candidate + name + 1 : "";
    for (int i = 0; i < count; i++) {
        const cln__conv2d_variant *v = variants[i];
        int index = 0;
        if (strlen(v->name) != name || strncmp(v->name, candidate, name) != 0 ||
            (v != choice->variant && !can_replace(l, p, choice->variant, v)))
            continue;
        bool found = *parameters == '\0';
        choice->parameters[0] = '\0';
        while (!found && next_alternative(l, p, v, &index, choice->parameters))
            found = strcmp(choice->parameters, parameters) == 0;
        if (found)
            choice->variant = v;
        return found;
    }
    return false;
}

static cln_status fail_choice(cln__lowering *l, const char *signature, const char *candidate) {
    return cln__lower_fail(l, CLN_UNSUPPORTED,
                           "the kernel variant '%.100s' that is to be used again is not there, or no longer does this "
                           "(%s): this library is not the one that chose it",
                           candidate, signature);
}

static cln_status follow(cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *const *variants, int count,
                         const char *signature, cln__conv2d_choice *choice) {
    const char *asked = l->forced_variant ? NULL : cln__choice_find(l, signature);
    cln__conv2d_choice taken = *choice;
    if (asked && take(l, p, variants, count, asked, &taken))
        *choice = taken;
    else if (asked && l->choices_required)
        return fail_choice(l, signature, asked);
    return CLN_OK;
}

cln_status cln__conv2d_choose(cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *const *variants,
                              int count, const cln__conv2d_variant *rule, cln__conv2d_choice *choice) {
    *choice = (cln__conv2d_choice){.variant = rule};
    cln__conv2d_case c = cln__conv2d_case_of(l, p);
    char *signature = cln__conv2d_case_print(&c);
    cln_status status = signature ? follow(l, p, variants, count, signature, choice)
                                  : cln__lower_fail(l, CLN_OUT_OF_MEMORY, "not enough memory to choose its variant");
    char *candidates = status == CLN_OK && l->lists_candidates ? list(l, p, variants, count, rule) : NULL;
    if (status == CLN_OK && l->lists_candidates && !candidates)
        status = cln__lower_fail(l, CLN_OUT_OF_MEMORY, "not enough memory to list its variants");
    if (status != CLN_OK) {
        free(signature);
        return status;
    }
    bool both = p->pass == CLN__BACKWARD && p->dx.id >= 0;
    const char *parameters = choice->parameters;
    return cln__decision_add(l, (cln__decision){.signature = signature,
                                                .candidate = cln__format("%s%s%s", choice->variant->name,
                                                                         *parameters ? " " : "", parameters),
                                                .candidates = candidates,
                                                .uses = 1,
                                                .flops = (both ? 2 : 1) * cln__conv2d_flops(l, p)});
}
