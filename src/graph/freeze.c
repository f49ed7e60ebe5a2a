/* Parameters that are not trained, chosen by patterns of their names. */
#include "graph.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* A backslash is a character like any other, here and where patterns are told apart. */
static int freeze_matching(cln_graph *g, const char *pattern) {
    int found = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        cln__tensor *t = &g->tensors[i];
        bool matches = t->role == CLN__PARAM && fnmatch(pattern, t->name, FNM_NOESCAPE) == 0;
        t->frozen = t->frozen || matches;
        found += matches;
    }
    return found;
}

static const char *first_parameter(const cln_graph *g) {
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__PARAM)
            return g->tensors[i].name;
    return "";
}

/* Of the bracket expression at `text`, as fnmatch reads it; 0: it is not closed, so its bracket stands for itself. */
static size_t bracket_length(const char *text) {
    size_t at = text[1] == '!' || text[1] == '^' ? 2 : 1;
    if (text[at] == ']')
        at++;
    while (text[at] != '\0' && text[at] != ']') {
        const char *end = text[at] == '[' && text[at + 1] == ':' ? strstr(text + at, ":]") : NULL;
        at = end ? (size_t)(end - text) + 2 : at + 1;
    }
    return text[at] == ']' ? at + 1 : 0;
}

/* Of the pattern at `text`, to a comma that stands in no brackets. */
static size_t pattern_length(const char *text) {
    size_t at = 0;
    while (text[at] != '\0' && text[at] != ',') {
        size_t bracket = text[at] == '[' ? bracket_length(text + at) : 0;
        at += bracket > 0 ? bracket : 1;
    }
    return at;
}

cln_status cln_graph_freeze(cln_graph *g, const char *patterns) {
    for (const char *begin = patterns; g->status == CLN_OK; begin++) {
        size_t length = pattern_length(begin);
        char *pattern = cln__format("%.*s", (int)length, begin);
        if (!pattern)
            return g->status = cln__fail_memory(g->ctx, "the patterns of frozen parameters");
        if (freeze_matching(g, pattern) == 0)
            cln_graph_fail(g,
                           "freezing parameters: none matches '%s'; they have names like '%s', in which * matches "
                           "anything",
                           pattern, first_parameter(g));
        free(pattern);
        begin += length;
        if (*begin == '\0')
            break;
    }
    return g->status;
}

int64_t cln_graph_frozen(const cln_graph *g) {
    int64_t total = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        int64_t count = 0;
        if (g->tensors[i].frozen)
            cln__shape_count(g->tensors[i].shape, &count);
        total += count;
    }
    return total;
}
