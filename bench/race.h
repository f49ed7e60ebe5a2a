/* clbench race: how soon a network reaches a validation accuracy, and how soon another run did. */
#ifndef CLN_BENCH_RACE_H
#define CLN_BENCH_RACE_H

#include "../src/cli/fit.h"
#include "clnet/plot.h"

#include <cjson/cJSON.h>

/* What is given and what comes from the short recipe. --out, --seed and all that concerns the training are in `fit`. */
typedef struct race_options {
    fit_arguments fit; /* first, since the tables of cltrain fit set its members */
    double target;     /* NAN: that of `against` */
    const char *against;
    bool json;
} race_options;

/* --- short_recipe.c --- */

/* Options of cltrain fit that train a network of that name as well as we know in a few epochs. */
const char *short_recipe(const char *model);

/* --- race_run.c: a run, from what it left in its folder --- */

typedef struct race_run {
    const char *folder;                   /* borrowed */
    cln_safetensors *state;               /* whose metadata says which run it is */
    cln_metrics *metrics;                 /* a row an epoch */
    const double *val_acc, *images_per_s; /* of metrics */
    int epochs;                           /* rows of it */
    int64_t images, updates;              /* of each epoch */
    bool *told;                           /* borrowed; becomes true where what is wrong is printed */
} race_run;

/* Reads the folder of a run of cltrain fit, clbench table or clbench race. What is wrong is in the context, or printed
 * if *told becomes true. Free it even after a failure. */
cln_status race_run_read(cln_context *ctx, const char *folder, bool *told, race_run *out);
void race_run_free(race_run *r);
/* The first epoch, from 1, with at least that validation accuracy; 0: there is none. */
int race_run_reaches(const race_run *r, double target);
/* The best validation accuracy of all epochs; 0: there is none. */
double race_run_best(const race_run *r);
/* Seconds of training in the first `epochs` epochs, from the speeds in metrics.csv; NAN: none is known. */
double race_run_seconds(const race_run *r, int epochs);
/* What makes a race of the two unequal, in words, be it the network, the data, the split or the device; "": nothing. */
enum { RACE_TEXT = 512 };
void race_run_compare(const race_run *a, const race_run *b, char text[RACE_TEXT]);

/* --- race_fit.c --- */

/* A race that is run. */
typedef struct race {
    cln_context *ctx;
    const race_options *o;
    double target;
    race_run run, against; /* the latter empty without --against */
    char unequal[RACE_TEXT];
    cJSON *validation_s; /* seconds of each validation, by epoch; null: it was not timed */
    double epoch_end_s;  /* of the clock: when the last training step ended */
    bool over, stopped;  /* the target is reached; a signal asked for the end */
    cln_status status;   /* of what callbacks did */
    bool told;           /* what is wrong was printed, where the context has no message */
} race;

/* Trains in o->fit.out, or goes on there, until the target is reached or the epochs are over; then r->run is read. */
cln_status race_fit(race *r, cln_device *device);

/* --- race_print.c --- */

void race_print(const race *r);
/* The exit status. */
int race_print_json(const race *r);

#endif
