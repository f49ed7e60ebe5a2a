/* The tuner: measures which kernel variant does each computation of a plan best, keeps the results in a database, and
 * gives them back as choices for plans. Nothing here is done behind the caller's back: a plan uses the choices that it
 * is given. */
#ifndef CLNET_TUNE_H
#define CLNET_TUNE_H

#include "clnet/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- the database: an SQLite file, which several processes may use at once --- */

/* An opened database. */
typedef struct cln_tuning cln_tuning;

/* A result holds for one device, driver and state of the kernels' sources. */
typedef struct cln_tuning_record {
    const char *device, *driver;       /* names with versions */
    const char *kernels;               /* a hash of the sources */
    const char *signature, *candidate; /* as in cln_choice: the fastest */
    const char *rule;                  /* what is taken without a result */
    double seconds, rule_seconds;      /* of the candidate, and of the rule's beside it */
    int64_t time_s;                    /* when it was measured, since 1970 */
} cln_tuning_record;

/* Opens `path`, or by default $XDG_CACHE_HOME/clnet/tuning.sqlite (~/.cache/...). Where there is no such file, it is
 * made, or without `create` *out is NULL. A file that is damaged, of a later version or none of ours is
 * CLN_INVALID_FILE and is left alone; one that cannot be opened is CLN_IO. */
CLN_API cln_status cln_tuning_open(cln_context *ctx, const char *path, bool create, cln_tuning **out);
/* Everything saved is on disk already. */
CLN_API void cln_tuning_close(cln_tuning *tuning);
/* Of the file; lives as long as `tuning`. */
CLN_API const char *cln_tuning_path(const cln_tuning *tuning);
/* Everything, ordered by device, driver, kernels and signature, in one block that the caller frees with free. */
CLN_API cln_status cln_tuning_records(cln_tuning *tuning, cln_tuning_record **out, int *count);
/* Replaces what is there of the same device, driver, kernels and signature; on disk when it returns. */
CLN_API cln_status cln_tuning_save(cln_tuning *tuning, const cln_tuning_record *record);
/* Bytes for the texts of cln_tuning_key. */
enum { CLN_TUNING_KEY = 1024 };
/* Fills in device, driver and kernels of a record; `text`, which they point into, has CLN_TUNING_KEY bytes. */
CLN_API void cln_tuning_key(const cln_device *device, char *text, cln_tuning_record *record);

/* All records as JSON, malloc'ed. */
CLN_API cln_status cln_tuning_export(cln_tuning *tuning, char **json);
/* Saves what cln_tuning_export told, after checking all of it; *count: how many records. What is none is
 * CLN_INVALID_FILE, and nothing is changed. */
CLN_API cln_status cln_tuning_import(cln_tuning *tuning, const char *json, int *count);

/* --- using results --- */

/* A list of choices, for cln_plan_options.choices. */
typedef struct cln_choices {
    int count;      /* of them */
    cln_choice *of; /* owned, with their texts */
} cln_choices;
/* Frees what it owns and sets all to zero. */
CLN_API void cln_choices_free(cln_choices *choices);

/* The results for `device` in the database at `path` (NULL: the default). None if there is no file; a warning says if
 * it cannot be read. */
CLN_API cln_status cln_choices_load(cln_context *ctx, const cln_device *device, const char *path, cln_choices *out);
/* How many of the plan's computations are among the choices. */
CLN_API int cln_choices_count(const cln_choices *choices, const cln_plan *plan);
/* Choices as a JSON object {signature: candidate}, malloc'ed; NULL for lack of memory. */
CLN_API char *cln_choices_print(const cln_choice *choices, int count);
/* The other way; CLN_INVALID_FILE if it is no such object, CLN_OUT_OF_MEMORY, neither with a message. The caller frees
 * *out with cln_choices_free. */
CLN_API cln_status cln_choices_parse(const char *json, cln_choices *out);

/* --- tuning --- */

/* A plan to be tuned: as it would be built. */
typedef struct cln_tune_job {
    const cln_graph *graph;          /* borrowed, as are the options */
    const cln_plan_options *options; /* of which the choices do not count */
} cln_tune_job;

/* What on_event is told of. */
typedef enum cln_tune_stage {
    CLN_TUNE_BEGIN,     /* `count` computations are to be tuned, `known` have results */
    CLN_TUNE_CANDIDATE, /* a candidate was measured */
    CLN_TUNE_LOST,      /* a candidate failed, was wrong, or hung: see `message` */
    CLN_TUNE_SAVED,     /* a computation is done: its fastest candidate is in the database */
} cln_tune_stage;

/* How far the tuner is; texts live until on_event returns. */
typedef struct cln_tune_event {
    cln_tune_stage stage;         /* which members count besides */
    int index, count, known;      /* the computation, from 1; all that are tuned; those that had results */
    const char *signature;        /* of the computation */
    const char *candidate, *rule; /* the one that was measured, and what the rules choose */
    const char *message;          /* CLN_TUNE_LOST: what went wrong; else NULL */
    double seconds, rule_seconds; /* of the candidate, and of the rule's beside it; 0: not known */
    double elapsed_s, budget_s;   /* since the beginning, and in all */
} cln_tune_event;

/* How long, where and with what. */
typedef struct cln_tune_options {
    const char *path; /* of the database; NULL: the default */
    /* The command that runs cln_tune_worker, with what it gets appended as further arguments; ends with NULL.
     * Candidates run in such processes, so that one that crashes or hangs is lost alone. */
    const char *const *worker;
    double budget_s;  /* for everything; 0: 600 */
    double timeout_s; /* for building, checking and measuring one candidate; 0: 60 */
    bool again;       /* also measure what has a result */
    void (*on_event)(void *user, const cln_tune_event *event); /* NULL: none */
    bool (*should_stop)(void *user);                           /* NULL: never */
    void *user;                                                /* what both are given */
    const char *fault; /* for tests: "crash", "hang" or "wrong", a space, and the beginning of a candidate; or NULL */
} cln_tune_options;

/* What came of it. */
typedef struct cln_tune_result {
    int tuned;      /* computations done now */
    int known;      /* computations that had results before */
    int left;       /* computations without any: all candidates failed, the time was up, or should_stop said so */
    int lost;       /* candidates that failed, were wrong, or hung */
    double seconds; /* in all */
} cln_tune_result;

/* Measures the candidates for every computation of the jobs that has no result yet, those with the most arithmetic
 * first. Each is compared with the reference variant on noise before it is timed, side by side with what the rules
 * choose, and must be 3% faster than that to be preferred. Each result is saved at once: a tuner that was killed goes
 * on with the next computation. */
CLN_API cln_status cln_tune(cln_context *ctx, const cln_device *device, const cln_tune_job *jobs, int count,
                            const cln_tune_options *options, cln_tune_result *result);

/* What the worker process does: the arguments that cln_tune appended, after the command's own. Results go to standard
 * output. Returns the exit status. */
CLN_API int cln_tune_worker(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
