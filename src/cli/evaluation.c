/* The result of a test: scores, classes, and which are taken for which. */
#include "evaluation.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 12, MOST_CONFUSIONS = 10, NAME_WIDTH = 24, LEAST_WIDTH = 3 };

/* --- tables --- */

/* The name in `width` columns, cut where it is longer; a character of UTF-8 is taken to be one column wide. */
static void print_name(const char *name, int width) {
    int column = 0;
    for (; *name && (column < width || ((unsigned char)*name & 0xc0) == 0x80); name++) {
        column += ((unsigned char)*name & 0xc0) != 0x80;
        putchar((unsigned char)*name < ' ' ? ' ' : *name);
    }
    printf("%*s", width - column, "");
}

static void print_share(double share) {
    if (isnan(share))
        printf(" %10s", "-");
    else
        printf(" %9.2f%%", 100 * share);
}

static void print_classes(const cln_evaluation *e) {
    printf("\n%-*s %10s %10s %10s %10s\n", NAME_WIDTH, "class", "images", "accuracy", "precision", "F1");
    for (int i = 0; i < e->num_classes; i++) {
        char count[32];
        const cln_class_score *c = &e->classes[i];
        print_name(e->class_names[i], NAME_WIDTH);
        printf(" %10s", report_count(c->images, count));
        print_share(c->accuracy);
        print_share(c->precision);
        print_share(c->f1);
        printf("\n");
    }
}

/* Characters of UTF-8. */
static int width_of(const char *name) {
    int width = 0;
    for (; *name; name++)
        width += ((unsigned char)*name & 0xc0) != 0x80;
    return width;
}

/* The widths of the matrix's columns if names have at most `most` characters: the class, then what is predicted.
 * Numbers are never cut. Returns the width of all. */
static int set_widths(const cln_evaluation *e, int most, int widths[1 + MOST_COLUMNS]) {
    int n = e->num_classes, all = 0;
    widths[0] = 0;
    for (int j = 0; j < n; j++) {
        char count[32];
        int width = width_of(e->class_names[j]);
        widths[0] = width > widths[0] ? width : widths[0];
        widths[1 + j] = width < most ? width : most;
        for (int i = 0; i < n; i++) {
            int digits = snprintf(count, sizeof count, "%" PRId64, e->confusion[(int64_t)i * n + j]);
            widths[1 + j] = digits > widths[1 + j] ? digits : widths[1 + j];
        }
        all += 1 + widths[1 + j];
    }
    widths[0] = widths[0] < NAME_WIDTH ? widths[0] : NAME_WIDTH;
    return all + widths[0];
}

/* As wide as the names, if the terminal is. */
static void print_confusion(const cln_evaluation *e) {
    int n = e->num_classes, most = NAME_WIDTH, widths[1 + MOST_COLUMNS];
    while (set_widths(e, most, widths) > report_columns() && most > LEAST_WIDTH)
        most--;
    printf("\nconfusion matrix: a row for each true class, a column for each predicted one\n\n%*s", widths[0], "");
    for (int j = 0; j < n; j++) {
        printf(" ");
        print_name(e->class_names[j], widths[1 + j]);
    }
    printf("\n");
    for (int i = 0; i < n; i++) {
        print_name(e->class_names[i], widths[0]);
        for (int j = 0; j < n; j++)
            printf(" %-*" PRId64, widths[1 + j], e->confusion[(int64_t)i * n + j]);
        printf("\n");
    }
}

typedef struct confused {
    int64_t cell, count;
} confused;

static int compare(const void *a, const void *b) {
    const confused *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* Where there are too many classes for a matrix. */
static void print_most_frequent(const cln_evaluation *e) {
    int n = e->num_classes;
    int64_t cells = (int64_t)n * n, found = 0;
    confused *all = malloc((size_t)cells * sizeof *all);
    for (int64_t i = 0; all && i < cells; i++)
        if (i / n != i % n && e->confusion[i] > 0)
            all[found++] = (confused){i, e->confusion[i]};
    if (found > 0) {
        qsort(all, (size_t)found, sizeof *all, compare);
        printf("\nmost frequent confusions\n\n%-*s %-*s %10s\n", NAME_WIDTH, "true", NAME_WIDTH, "predicted", "images");
    }
    for (int64_t i = 0; i < found && i < MOST_CONFUSIONS; i++) {
        print_name(e->class_names[all[i].cell / n], NAME_WIDTH);
        printf(" ");
        print_name(e->class_names[all[i].cell % n], NAME_WIDTH);
        printf(" %10lld\n", (long long)all[i].count);
    }
    free(all);
}

void evaluation_print(const cln_evaluation *e) {
    char correct[32], count[32];
    printf("%s of %s correct: accuracy %.2f%%, loss %.4f\n", report_count(e->score.correct, correct),
           report_count(e->score.count, count), 100 * e->score.accuracy, e->score.loss);
    printf("top-%d accuracy %.2f%%; expected calibration error %.4f (%d bins)\n", e->top_k, 100 * e->top_k_accuracy,
           e->calibration_error, CLN_CALIBRATION_BINS);
    print_classes(e);
    if (e->num_classes <= MOST_COLUMNS)
        print_confusion(e);
    else
        print_most_frequent(e);
}

/* --- JSON --- */

static cJSON *class_json(const cln_evaluation *e, int i) {
    const cln_class_score *c = &e->classes[i];
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "name", cJSON_CreateString(e->class_names[i]));
    cln__json_add(object, "images", cJSON_CreateNumber((double)c->images));
    cln__json_add(object, "predicted", cJSON_CreateNumber((double)c->predicted));
    cln__json_add(object, "correct", cJSON_CreateNumber((double)c->correct));
    report_json_float(object, "accuracy", c->accuracy);
    report_json_float(object, "precision", c->precision);
    report_json_float(object, "f1", c->f1);
    return object;
}

static cJSON *row_json(const int64_t *counts, int n) {
    cJSON *row = cJSON_CreateArray();
    for (int i = 0; row && i < n; i++)
        cln__json_append(row, cJSON_CreateNumber((double)counts[i]));
    return row;
}

cJSON *evaluation_json(const cln_evaluation *e) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "correct", cJSON_CreateNumber((double)e->score.correct));
    cln__json_add(object, "count", cJSON_CreateNumber((double)e->score.count));
    report_json_float(object, "accuracy", e->score.accuracy);
    report_json_float(object, "loss", e->score.loss);
    cln__json_add(object, "top_k", cJSON_CreateNumber(e->top_k));
    report_json_float(object, "top_k_accuracy", e->top_k_accuracy);
    report_json_float(object, "calibration_error", e->calibration_error);
    cJSON *classes = cln__json_add(object, "classes", cJSON_CreateArray());
    cJSON *confusion = cln__json_add(object, "confusion", cJSON_CreateArray());
    for (int i = 0; i < e->num_classes; i++) {
        cln__json_append(classes, class_json(e, i));
        cln__json_append(confusion, row_json(e->confusion + (int64_t)i * e->num_classes, e->num_classes));
    }
    return object;
}
