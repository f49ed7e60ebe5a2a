/* The comparison table: what clbench table measures, keeps as JSON and prints, and what clbench report shows. */
#ifndef CLN_BENCH_TABLE_H
#define CLN_BENCH_TABLE_H

#include "../src/cli/tuning.h"
#include "clnet/device.h"
#include "clnet/models.h"
#include "published.h"

#include <cjson/cJSON.h>
#include <stdio.h>

enum { TABLE_MAX_RUNS = 64, TABLE_MAX_ROWS = 16, TABLE_PATH = 1024, TABLE_TEXT = 256, TABLE_MAX_POINTS = 4096 };

/* Correct answers; count 0: not tested. */
typedef struct table_score {
    int64_t correct, count;
} table_score;

/* Weights that were trained here, or found, and tested. */
typedef struct table_run {
    char key[2 * TABLE_PATH];                     /* all that the result depends on: another key is another result */
    char weights[TABLE_PATH], folder[TABLE_PATH]; /* folder: of the training; "": it was not here */
    int64_t seed;
    int epochs; /* that the weights have been trained; 0: unknown */
    int64_t parameters;
    table_score validation, test;
} table_run;

/* Median and quartiles of images a second; 0: not measured. */
typedef struct table_speed {
    double images_per_s, low, high;
    double planned_bytes, process_bytes; /* the latter 0 where the system does not tell */
} table_speed;

/* A kernel launch of a training step. */
typedef struct table_point {
    char op[32], layer[96];
    double ms, flops, bytes;
} table_point;

typedef struct table_measures {
    char key[TABLE_PATH]; /* of table_run's kind; "": nothing was measured */
    table_speed train, infer;
    int batch_size;
    double start_up_s; /* 0: not measured */
    double step_ms;    /* a training step, launch by launch; 0: not measured */
    table_point *points;
    int point_count;
} table_measures;

typedef struct table_row {
    char model[64];
    table_run runs[TABLE_MAX_RUNS]; /* seeds; one, for weights that were found */
    int run_count;
    table_measures measures;
} table_row;

typedef struct table_machine {
    char device[TABLE_TEXT], type[32], platform[TABLE_TEXT], version[TABLE_TEXT], driver[TABLE_TEXT];
    char processor[TABLE_TEXT], system[TABLE_TEXT];
    int compute_units;
    double memory_bytes, peak_gflops, bandwidth_gbs; /* peaks: 0: not measured */
} table_machine;

typedef struct table {
    char version[32], date[32], command[TABLE_PATH]; /* of clnet; of the last change; how to make it */
    char data[TABLE_PATH], format[32];
    int64_t train_images, test_images;
    char recipe[TABLE_TEXT]; /* in words: what was trained here */
    table_machine machine;
    table_row *rows; /* TABLE_MAX_ROWS of them, owned */
    int row_count;
} table;

/* An empty table; CLN_OUT_OF_MEMORY without a message. Free it even after a failure. */
cln_status table_new(table *out);
void table_free(table *t);
/* The row of that model, which is added if it is not there; NULL: there is no room. */
table_row *table_find(table *t, const char *model);

/* --- table_json.c --- */

cJSON *table_to_json(const table *t);
/* From a file, whatever it holds; a failure is printed for `command`. */
cln_status table_read(const char *command, const char *path, table *out);

/* --- table_statistics.c: of a row, from its runs --- */

typedef struct table_accuracy {
    int count;              /* of runs that have it; 0: none */
    int64_t images;         /* in each */
    double mean, deviation; /* the sample's deviation over the runs; 0 for one */
    double error;           /* the binomial standard error of one test: sqrt(mean (1 - mean) / images) */
} table_accuracy;
table_accuracy table_test(const table_row *row);
table_accuracy table_validation(const table_row *row);
/* Of the test set: whether it is CIFAR-10's, a part of that, or something else. */
typedef enum table_data { TABLE_WHOLE, TABLE_SAMPLE, TABLE_OTHER_DATA } table_data;
table_data table_data_of(const table *t);

/* --- table_rows.c: making it --- */

typedef struct table_options {
    const char *pretrained, *data, *runs, *models, *split_indices, *device, *out;
    int64_t epochs, seed, seeds, batch_size, workers, timed_steps;
    double validation;
    int format;
    bool quick, speed;
    tuning_options tuning;
    const char *program; /* clbench itself */
} table_options;

/* Fills `t`, which may hold an earlier state, and writes the state after each result. *stopped: a signal asked for the
 * end. The exit status is that of the first failure; what is there then stays in `t`. */
int table_make(cln_context *ctx, const table_options *o, table *t, bool *stopped);
/* Whether `name` is among the names with commas between them; NULL: all are. */
bool table_is_listed(const char *list, const char *name);
/* Writes the table as JSON. */
cln_status table_save(cln_context *ctx, const table *t, const char *path);

/* --- table_speed.c --- */

/* Measures what `row` lacks, in processes of their own; the exit status of the first that failed. */
int table_measure(const table_options *o, table *t, table_row *row);
/* Fills in what the device and the system say of themselves. */
void table_describe_machine(const cln_device_info *info, table_machine *out);

/* --- table_print.c, html_table.c --- */

typedef enum table_format { TABLE_AS_TEXT, TABLE_AS_MARKDOWN, TABLE_AS_CSV, TABLE_AS_JSON, TABLE_AS_HTML } table_format;
void table_print(const table *t, table_format format, FILE *to);
/* The two tables and their notes, as elements of an HTML page, or a page of them alone. */
void table_print_html(const table *t, FILE *to);
void table_print_page(const table *t, FILE *to);
enum { TABLE_CELL = 96 };
/* Columns: see table_print.c. */
typedef struct table_heading {
    int column;
    const char *name;
} table_heading;
/* Those of the accuracies, or of the speeds: *count of them. */
const table_heading *table_headings(bool speeds, int *count);
/* What stands in that column for people; "": nothing. */
void table_cell(const table_row *row, int column, char cell[TABLE_CELL]);
bool table_has_speeds(const table *t);

enum { TABLE_NOTE = 2048 };
/* The next note below the table, from `index` 0 on; false: there are no more. */
bool table_note(const table *t, int index, char note[TABLE_NOTE]);

#endif
