/* clbench compare: two results, quantity by quantity, and which differences are more than noise. */
#include "compare.h"
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    double threshold;
    bool json, all;
} arguments;

static const char *const verdicts[] = {"worse", "", "better"};

comparison compare_quantities(const quantity *a, const quantity *b, double threshold) {
    comparison c = {.a = a, .b = b};
    if (a->accuracy) {
        double error = hypot(a->high - a->value, b->high - b->value);
        c.ratio = b->value - a->value;
        c.ratio_low = c.ratio - error;
        c.ratio_high = c.ratio + error;
        c.verdict = fabs(c.ratio) > 2 * error ? (c.ratio > 0 ? 1 : -1) : 0;
        return c;
    }
    c.ratio = b->value / a->value;
    c.ratio_low = a->spread && b->spread ? b->low / a->high : c.ratio;
    c.ratio_high = a->spread && b->spread ? b->high / a->low : c.ratio;
    bool apart = a->spread && b->spread && (b->low > a->high || b->high < a->low);
    if (apart && fabs(c.ratio - 1) > threshold)
        c.verdict = (c.ratio > 1 ? 1 : -1) * a->better;
    return c;
}

/* --- text --- */

static void print_value(const quantity *q) {
    if (q->accuracy)
        printf(" %8.2f%%", 100 * q->value);
    else if (q->value >= 1e6)
        printf(" %9.4g", q->value);
    else
        printf(" %9.*f", q->value < 100 ? 3 : 1, q->value);
}

static void print_row(const comparison *c) {
    printf("%-52s", c->a->name);
    print_value(c->a);
    print_value(c->b);
    if (c->a->accuracy)
        printf("  %+6.2f points (%+.2f to %+.2f)", 100 * c->ratio, 100 * c->ratio_low, 100 * c->ratio_high);
    else if (c->a->spread && c->b->spread)
        printf("  %6.3fx (%.3f to %.3f)", c->ratio, c->ratio_low, c->ratio_high);
    else
        printf("  %6.3fx (spread unknown)", c->ratio);
    printf("%s%s\n", c->verdict ? "  " : "", verdicts[c->verdict + 1]);
}

static void print_text(const arguments *a, const results *r, const comparison *all, int count, const int found[3]) {
    if (strcmp(r[0].device, r[1].device) != 0)
        printf("the devices differ: '%s' and '%s'\n", r[0].device, r[1].device);
    printf("%-52s %9s %9s  B against A\n", "", "A", "B");
    for (int i = 0; i < count; i++)
        if (a->all || strcmp(r[0].kind, "ops") != 0 || all[i].verdict != 0 || i == 0)
            print_row(&all[i]);
    printf("%d quantities in both; beyond noise: %d better, %d worse\n", count, found[2], found[0]);
}

/* --- JSON --- */

static void add_quantity(cJSON *object, const char *name, const quantity *q) {
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    report_json_float(item, "value", q->value);
    report_json_float(item, "low", q->spread ? q->low : NAN);
    report_json_float(item, "high", q->spread ? q->high : NAN);
}

static cJSON *row_json(const comparison *c) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "name", cJSON_CreateString(c->a->name));
    add_quantity(object, "a", c->a);
    add_quantity(object, "b", c->b);
    report_json_float(object, c->a->accuracy ? "difference" : "ratio", c->ratio);
    report_json_float(object, "low", c->ratio_low);
    report_json_float(object, "high", c->ratio_high);
    cln__json_add(object, "verdict", cJSON_CreateString(c->verdict ? verdicts[c->verdict + 1] : "within noise"));
    return object;
}

static int print_json(const arguments *a, const results *r, const comparison *all, int count, const int found[3]) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "a", cJSON_CreateString(r[0].path));
    cln__json_add(object, "b", cJSON_CreateString(r[1].path));
    cln__json_add(object, "device_a", cJSON_CreateString(r[0].device));
    cln__json_add(object, "device_b", cJSON_CreateString(r[1].device));
    report_json_float(object, "threshold", a->threshold);
    cln__json_add(object, "better", cJSON_CreateNumber(found[2]));
    cln__json_add(object, "worse", cJSON_CreateNumber(found[0]));
    cJSON *rows = cln__json_add(object, "quantities", cJSON_CreateArray());
    for (int i = 0; i < count; i++)
        cln__json_append(rows, row_json(&all[i]));
    return report_json("clbench", object);
}

/* --- the command --- */

static int compare(const arguments *a, const results *r) {
    int count = 0, found[3] = {0, 0, 0};
    comparison *all = malloc(((size_t)r[0].count + 1) * sizeof *all);
    if (!all)
        return report_no_memory("clbench");
    for (int i = 0; i < r[0].count; i++) {
        const quantity *q = results_find(&r[1], r[0].of[i].name);
        if (!q || q->accuracy != r[0].of[i].accuracy)
            continue;
        all[count] = compare_quantities(&r[0].of[i], q, a->threshold);
        found[all[count++].verdict + 1]++;
    }
    int exit_status = found[0] ? CLN_FAILED : CLN_OK;
    if (count == 0)
        exit_status = cli_misuse(&compare_command, "'%s' and '%s' have no quantity in common", r[0].path, r[1].path);
    else if (a->json)
        exit_status = print_json(a, r, all, count, found) == CLN_OK ? exit_status : CLN_OUT_OF_MEMORY;
    else
        print_text(a, r, all, count, found);
    free(all);
    return exit_status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"threshold", CLI_REAL, AT(threshold), "F", "smaller differences are noise, as a share (default 0.03)", 0, 10,
     NULL},
    {"all", CLI_FLAG, AT(all), NULL, "of clbench ops, also the launches that do not differ", 0, 0, NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON", 0, 0, NULL},
    {.name = NULL}};

static int run_command(int argc, char **argv) {
    arguments a = {.threshold = 0.03};
    results r[2] = {{.count = 0}, {.count = 0}};
    int operands, exit_status;
    if (!cli_parse(&compare_command, &a, argc, argv, &operands, &exit_status))
        return exit_status;
    if (operands != 2)
        return cli_misuse(&compare_command, "expected two files, found %d", operands);
    exit_status = (int)results_read(compare_command.name, argv[1], &r[0]);
    if (exit_status == CLN_OK)
        exit_status = (int)results_read(compare_command.name, argv[2], &r[1]);
    if (exit_status == CLN_OUT_OF_MEMORY)
        report_no_memory("clbench");
    if (exit_status == CLN_OK)
        exit_status = compare(&a, r);
    results_free(&r[0]);
    results_free(&r[1]);
    return exit_status;
}

const cli_command compare_command = {
    "clbench",
    "compare",
    "compare two results, and tell differences from noise",
    "Compares the JSON of clbench train, infer, ops (--json) and table (--format json, or table.json in its --runs) "
    "and\n"
    "of bench/peers/pytorch.py, of the same kind or of different ones: what both have measured. A difference is "
    "beyond\n"
    "noise if the quartiles of the samples (25% to 75%) do not overlap and it is more than --threshold; of accuracies, "
    "if\n"
    "it is more than two standard errors. What has no spread, such as memory, is compared without a verdict.\n"
    "The exit status is 0; 1 if something in B is worse beyond noise; 2 if nothing is in both; 3 or 4 for a file that "
    "is\n"
    "not such a result, or cannot be read.",
    "A.json B.json",
    CLI_ONE_GROUP(options),
    run_command};
