/* cltrain fit --json-lines: progress for programs, one JSON object a line on standard output and nothing else.
 * README.md lists the events and their members. */
#ifndef CLN_SRC_JSON_LINES_H
#define CLN_SRC_JSON_LINES_H

#include "clnet/train.h"

typedef struct json_lines {
    cln_context *ctx; /* whose warnings are shown */
    cln_device *device;
    const cln_fit_options *options;
    double shown_s; /* when something was printed last */
} json_lines;

/* cln_fit_options.on_event; `user` is a json_lines. */
void json_lines_show(void *user, const cln_fit_event *event);
/* The end of a run; `weights` is the file of those that were tested, or NULL. */
void json_lines_result(const cln_fit_result *result, const char *weights);
/* Of --pretrained: the score of a file; a validation of no images is left out. */
void json_lines_scores(const char *weights, const cln_score *validation, const cln_score *test);
/* A signal ended the run, after `result`; `command` goes on with it, unless it is NULL. */
void json_lines_stopped(const cln_fit_result *result, int epochs, int signal, const char *command);
void json_lines_error(cln_context *ctx, cln_status status);

#endif
