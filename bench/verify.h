/* One case being verified, a golden file or one of the same form in memory: what the four kinds share. A function that
 * ends with false has recorded the reason; everything a case holds, its arrays too, is freed at once when it is over.
 */
#ifndef CLN_BENCH_VERIFY_H
#define CLN_BENCH_VERIFY_H

#include "clnet/plan.h"
#include "clnet/tune.h"

#include <cjson/cJSON.h>

#if defined(__GNUC__)
#define VERIFY_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define VERIFY_PRINTF(text, first)
#endif

/* One compared tensor. It passes if error <= tolerance, so an error that is not a number fails. */
typedef struct verify_result {
    char group[24]; /* the results of one group share a place in the line: the worst is shown */
    char name[104]; /* "" if the group has one result only */
    double error, tolerance;
} verify_result;

enum { VERIFY_METADATA = 8 };

typedef struct verify_case {
    cln_context *ctx;
    cln_device *device;
    const char *variant;   /* as in cln_plan_options */
    cln_choices choices;   /* the tuner's results; not freed with the case */
    int tuned;             /* computations that followed them */
    cln_safetensors *file; /* NULL: the case is in memory */
    char reason[1200];     /* why it could not be run, or "", */
    bool lacks_memory;     /* which says nothing of the device's results */
    int result_count, result_capacity;
    verify_result *results;
    int tensor_count, tensor_capacity;
    cln_file_tensor **tensors;
    int metadata_count;
    cln_metadata metadata[VERIFY_METADATA];
    /* Freed with the case. */
    cJSON *tolerance;
    cln_graph *graph;
    cln_weights *weights;
    cln_plan *plan;
    int block_count, block_capacity;
    void **blocks;
    cJSON *attributes;
} verify_case;

bool verify_fail(verify_case *c, const char *format, ...) VERIFY_PRINTF(2, 3);
bool verify_fail_memory(verify_case *c);
/* Takes the context's message if `status` is a failure. */
bool verify_ok(verify_case *c, cln_status status);
/* Builds c->plan (one that is there is freed), with the case's variant or choices. */
bool verify_build(verify_case *c, const cln_graph *graph, cln_plan_options *options);
/* Zeroed memory that lives as long as the case; NULL (and the case has failed) where there is none. */
void *verify_alloc(verify_case *c, int64_t count, size_t size);

/* Room for one more element of an array that doubles; it is the caller's to free. */
bool verify_grow(verify_case *c, void **array, int *capacity, int count, size_t size);
void verify_free(verify_case *c);
/* Runs a case of any kind that has its tensors and metadata. False if it failed, or could not be run. */
bool verify_run(verify_case *c);

/* --- cases in memory (verify_memory.c) --- */

/* Adds a tensor, rounded to float32; labels; a metadata value. Everything is copied. */
bool verify_put(verify_case *c, const char *name, int rank, const int64_t *shape, const double *values);
bool verify_put_labels(verify_case *c, int64_t count, const int64_t *labels);
bool verify_put_metadata(verify_case *c, const char *key, const char *value);

/* --- what the case holds (verify_file.c) --- */

size_t verify_tensor_count(const verify_case *c);
const cln_file_tensor *verify_tensor_at(const verify_case *c, size_t index);
/* NULL, and no failure, if there is none. */
const cln_file_tensor *verify_lookup(const verify_case *c, const char *name);
const char *verify_find_metadata(const verify_case *c, const char *key);

/* The tensor whose name the format makes, or NULL and a failure: missing, or not of type `dtype`. */
const cln_file_tensor *verify_find(verify_case *c, cln_dtype dtype, const char *format, ...) VERIFY_PRINTF(3, 4);
/* As find, with the given rank and shape; a negative side may have any size. Its values, or NULL. */
float *verify_floats(verify_case *c, int rank, const int64_t *shape, const char *format, ...) VERIFY_PRINTF(4, 5);
int64_t *verify_int64s(verify_case *c, int rank, const int64_t *shape, const char *name);
/* The tensor's sides as n, c, h, w; those beyond its rank are 1. False if it has more than four, or an empty one. */
bool verify_shape(verify_case *c, const cln_file_tensor *tensor, cln_shape *out);
/* The elements of a tensor of a file or graph that has passed its checks. */
int64_t verify_count(cln_shape shape);
/* Labels as int32, checked to be one of `classes`; NULL otherwise. */
int32_t *verify_labels(verify_case *c, int64_t count, int64_t classes);

/* The metadata `key`, or NULL and a failure. */
const char *verify_metadata(verify_case *c, const char *key);
/* The JSON object in the metadata `key` becomes c->attributes. */
bool verify_parse(verify_case *c, const char *key);
/* Members of c->attributes; `fallback` where they are absent. Whole numbers are 0 or more; a list of two equal ones
 * counts as one. */
bool verify_int(verify_case *c, const char *name, int fallback, int *out);
bool verify_int_pair(verify_case *c, const char *name, int out[2]);
bool verify_real(verify_case *c, const char *name, double fallback, double *out);
bool verify_flag(verify_case *c, const char *name, bool fallback, bool *out);

/* The tolerance of `key` (its element `index`, if it is a list): 1e-5 if absent, negative if null (not compared). */
bool verify_tolerance(verify_case *c, const char *key, int index, double *out);

/* --- comparing --- */

/* ||ours - truth|| / ||truth||, or ||ours - truth|| where the truth is all zeros; not a number where either has one. */
double verify_error(const float *ours, const float *truth, int64_t count);
bool verify_within(const verify_result *r);
/* How many times its tolerance an error is; what is not a number is furthest. */
double verify_excess(const verify_result *r);
/* Records a comparison; a negative tolerance does not. */
bool verify_add(verify_case *c, const char *group, const char *name, double error, double tolerance);
bool verify_compare(verify_case *c, const char *group, const char *name, const float *ours, const float *truth,
                    int64_t count, double tolerance);

/* --- weights --- */

/* Makes c->weights for c->graph from the file's `param.<name>`, where `prefix` in front of the graph's names is left
 * out. Fails at the first tensor that is missing, unknown or of another shape. */
bool verify_load_weights(verify_case *c, const char *prefix);
/* Copies a slot of weight `index`; NULL and a failure where that fails. */
float *verify_weight(verify_case *c, int index, cln_slot slot);

/* --- optimisers (verify_optimizer.c) --- */

/* An optimiser with its numbers as the file has them, for applying it in float64. */
typedef struct verify_optimizer {
    cln_optimizer optimizer;
    double lr, momentum, weight_decay, eps, beta1, beta2;
} verify_optimizer;
/* Reads metadata `optimizer` and the object `key`: PyTorch's names and defaults. `adam` is what "Adam" means. */
bool verify_read_optimizer(verify_case *c, const char *key, cln_optimizer_kind adam, verify_optimizer *out);
/* The parameter `w` after its first update with gradient `g`; not of Muon, which updates a matrix as a whole. */
double verify_first_update(const verify_optimizer *o, double w, double g);

/* --- the kinds --- */

bool verify_op(verify_case *c);
bool verify_optimizer_file(verify_case *c);
bool verify_augment(verify_case *c);
bool verify_model(verify_case *c);

#endif
