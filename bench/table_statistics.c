/* Accuracies of a row of the table: means over its runs, and how sure they are. */
#include "table.h"

#include <math.h>
#include <string.h>

static table_accuracy statistics(const table_row *row, bool test) {
    table_accuracy a = {.count = 0};
    double sum = 0, squares = 0;
    for (int i = 0; i < row->run_count; i++) {
        table_score s = test ? row->runs[i].test : row->runs[i].validation;
        if (s.count == 0)
            continue;
        double x = (double)s.correct / (double)s.count;
        sum += x;
        a.count++;
        a.images = s.count;
    }
    if (a.count == 0)
        return a;
    a.mean = sum / a.count;
    for (int i = 0; i < row->run_count; i++) {
        table_score s = test ? row->runs[i].test : row->runs[i].validation;
        double x = s.count ? (double)s.correct / (double)s.count - a.mean : 0;
        squares += x * x;
    }
    a.deviation = a.count > 1 ? sqrt(squares / (a.count - 1)) : 0;
    a.error = sqrt(a.mean * (1 - a.mean) / (double)a.images);
    return a;
}

table_accuracy table_test(const table_row *row) {
    return statistics(row, true);
}

table_accuracy table_validation(const table_row *row) {
    return statistics(row, false);
}

table_data table_data_of(const table *t) {
    if (strcmp(t->format, "cifar10") != 0)
        return TABLE_OTHER_DATA;
    return t->test_images == PUBLISHED_TEST_IMAGES ? TABLE_WHOLE : TABLE_SAMPLE;
}
