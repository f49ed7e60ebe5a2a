/* The result of a race, as text and as JSON. */
#include "../src/cli/report.h"
#include "race.h"

#include <inttypes.h>
#include <math.h>

/* What a part of a run took. */
typedef struct cost {
    int epochs;
    int64_t images, updates;
    double training_s, validation_s; /* the latter NAN: unknown */
} cost;

static cost cost_of(const race_run *r, int epochs) {
    return (cost){epochs, r->images * epochs, r->updates * epochs, race_run_seconds(r, epochs), NAN};
}

/* Of the epochs whose validation was timed. */
static double sum_of(const cJSON *list, int epochs) {
    const cJSON *item;
    double sum = NAN;
    cJSON_ArrayForEach(item, list) {
        if (epochs-- > 0 && cJSON_IsNumber(item) && item->valuedouble >= 0)
            sum = (isnan(sum) ? 0 : sum) + item->valuedouble;
    }
    return sum;
}

/* Ours ends where the target is reached; `reached` 0: with the last epoch. */
static cost ours_of(const race *r, int *reached) {
    *reached = race_run_reaches(&r->run, r->target);
    cost c = cost_of(&r->run, *reached ? *reached : r->run.epochs);
    c.validation_s = sum_of(r->validation_s, c.epochs);
    return c;
}

static double accuracy_of(const race *r, int reached) {
    return reached ? r->run.val_acc[reached - 1] : race_run_best(&r->run);
}

/* --- text --- */

static const char *time_of(double seconds, char text[32]) {
    return isnan(seconds) ? "-" : report_time(seconds, text);
}

static void print_cost(const char *name, const cost *c) {
    char images[32], updates[32], training[32], validation[32];
    printf("%-28s %7d %13s %10s %10s %12s\n", name, c->epochs, report_count(c->images, images),
           report_count(c->updates, updates), time_of(c->training_s, training), time_of(c->validation_s, validation));
}

static void print_ratio(const char *name, const cost *ours, const cost *theirs) {
    printf("ratio to %s: %.3f of the images, %.3f of the training time\n", name,
           (double)ours->images / (double)theirs->images, ours->training_s / theirs->training_s);
}

static void print_against(const race *r, const cost *ours, bool reached) {
    const race_run *other = &r->against;
    int epoch = race_run_reaches(other, r->target);
    cost whole = cost_of(other, other->epochs), until = cost_of(other, epoch);
    if (epoch)
        print_cost("against, until the target", &until);
    print_cost("against, all of it", &whole);
    if (!epoch)
        printf("the run in '%s' never reached the target: its best is %.2f%%\n", other->folder,
               100 * race_run_best(other));
    if (reached && epoch)
        print_ratio("what it took until the target", ours, &until);
    if (reached)
        print_ratio("all of it", ours, &whole);
    if (*r->unequal)
        printf("not on equal terms: %s\n", r->unequal);
}

void race_print(const race *r) {
    int reached;
    cost ours = ours_of(r, &reached);
    if (reached)
        printf("%s reached %.2f%% in validation, target %.2f%%, after epoch %d of %d\n", r->o->fit.model->name,
               100 * accuracy_of(r, reached), 100 * r->target, reached, (int)r->o->fit.epochs);
    else
        printf("%s did not reach %.2f%% in validation within %d epochs: its best is %.2f%%\n", r->o->fit.model->name,
               100 * r->target, ours.epochs, 100 * accuracy_of(r, reached));
    printf("%-28s %7s %13s %10s %10s %12s\n", "", "epochs", "images", "updates", "training", "validation");
    print_cost("this run", &ours);
    if (r->o->against)
        print_against(r, &ours, reached > 0);
    printf("%s\n", r->o->fit.out);
}

/* --- JSON --- */

static void add_cost(cJSON *object, const cost *c) {
    cln__json_add(object, "epochs", cJSON_CreateNumber(c->epochs));
    cln__json_add(object, "images", cJSON_CreateNumber((double)c->images));
    cln__json_add(object, "updates", cJSON_CreateNumber((double)c->updates));
    report_json_float(object, "training_s", c->training_s);
    report_json_float(object, "validation_s", c->validation_s);
}

static void add_ratio(cJSON *object, const char *name, const cost *ours, const cost *theirs, bool there) {
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    add_cost(item, theirs);
    report_json_float(item, "ratio_images", there ? (double)ours->images / (double)theirs->images : NAN);
    report_json_float(item, "ratio_training", there ? ours->training_s / theirs->training_s : NAN);
}

static void add_against(const race *r, cJSON *object, const cost *ours, bool reached) {
    const race_run *other = &r->against;
    int epoch = race_run_reaches(other, r->target);
    cost whole = cost_of(other, other->epochs), until = cost_of(other, epoch);
    cJSON *item = cln__json_add(object, "against", cJSON_CreateObject());
    cln__json_add(item, "folder", cJSON_CreateString(other->folder));
    report_json_float(item, "accuracy", epoch ? other->val_acc[epoch - 1] : race_run_best(other));
    if (epoch)
        add_ratio(item, "until_target", ours, &until, reached);
    else
        cln__json_add(item, "until_target", cJSON_CreateNull());
    add_ratio(item, "whole", ours, &whole, reached);
    cln__json_add(item, "equal", cJSON_CreateBool(!*r->unequal));
    cln__json_add(item, "unequal", cJSON_CreateString(r->unequal));
}

int race_print_json(const race *r) {
    int reached;
    cost ours = ours_of(r, &reached);
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "model", cJSON_CreateString(r->o->fit.model->name));
    cln__json_add(object, "folder", cJSON_CreateString(r->o->fit.out));
    cln__json_add(object, "short_recipe", cJSON_CreateString(short_recipe(r->o->fit.model->name)));
    report_json_float(object, "target", r->target);
    cln__json_add(object, "reached", cJSON_CreateBool(reached > 0));
    report_json_float(object, "accuracy", accuracy_of(r, reached));
    add_cost(object, &ours);
    if (r->o->against)
        add_against(r, object, &ours, reached > 0);
    return report_json("clbench", object);
}
