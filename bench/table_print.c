/* The table as text, Markdown and CSV: one list of columns serves all of them. */
#include "../src/cli/report.h"
#include "table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- cells --- */

static void cell_accuracy(const table_accuracy *a, char cell[TABLE_CELL]) {
    *cell = '\0';
    if (a->count > 1)
        snprintf(cell, TABLE_CELL, "%.2f%% ± %.2f", 100 * a->mean, 100 * a->deviation);
    else if (a->count == 1)
        snprintf(cell, TABLE_CELL, "%.2f%%", 100 * a->mean);
}

static void cell_difference(const table_row *row, char cell[TABLE_CELL]) {
    const published *p = published_find(row->model);
    table_accuracy a = table_test(row);
    *cell = '\0';
    if (p && a.count)
        snprintf(cell, TABLE_CELL, "%+.2f ± %.2f", 100 * (a.mean - p->test), 100 * a.error);
}

static void cell_memory(double bytes, char cell[TABLE_CELL]) {
    *cell = '\0';
    if (bytes > 0)
        report_bytes((uint64_t)bytes, cell);
}

static void cell_speed(const table_speed *s, char cell[TABLE_CELL]) {
    *cell = '\0';
    if (s->images_per_s > 0)
        report_count((int64_t)(s->images_per_s + 0.5), cell);
}

typedef enum column {
    MODEL,
    PUBLISHED_VALIDATION,
    PUBLISHED_TEST,
    PUBLISHED_PARAMETERS,
    VALIDATION,
    TEST,
    PARAMETERS,
    DIFFERENCE,
    EPOCHS,
    TRAIN,
    INFER,
    PLANNED,
    PROCESS,
    START_UP,
} column;

static void cell_count(int64_t count, char cell[TABLE_CELL]) {
    *cell = '\0';
    if (count > 0)
        report_count(count, cell);
}

void table_cell(const table_row *r, int c, char cell[TABLE_CELL]) {
    const published *p = published_find(r->model);
    table_accuracy test = table_test(r), validation = table_validation(r);
    const table_measures *m = &r->measures;
    *cell = '\0';
    switch ((column)c) {
    case MODEL:
        snprintf(cell, TABLE_CELL, "%s", r->model);
        break;
    case PUBLISHED_VALIDATION:
    case PUBLISHED_TEST:
        if (p)
            snprintf(cell, TABLE_CELL, "%.2f%%", 100 * (c == PUBLISHED_TEST ? p->test : p->validation));
        break;
    case PUBLISHED_PARAMETERS:
        cell_count(p ? p->parameters : 0, cell);
        break;
    case VALIDATION:
        cell_accuracy(&validation, cell);
        break;
    case TEST:
        cell_accuracy(&test, cell);
        break;
    case PARAMETERS:
        cell_count(r->run_count ? r->runs[0].parameters : 0, cell);
        break;
    case DIFFERENCE:
        cell_difference(r, cell);
        break;
    case EPOCHS:
        cell_count(r->run_count ? r->runs[0].epochs : 0, cell);
        break;
    case TRAIN:
        cell_speed(&m->train, cell);
        break;
    case INFER:
        cell_speed(&m->infer, cell);
        break;
    case PLANNED:
        cell_memory(m->train.planned_bytes, cell);
        break;
    case PROCESS:
        cell_memory(m->train.process_bytes, cell);
        break;
    case START_UP:
        if (m->start_up_s > 0)
            snprintf(cell, TABLE_CELL, "%.2f s", m->start_up_s);
        break;
    }
}

static const table_heading accuracies[] = {{MODEL, "Model"},
                                           {PUBLISHED_VALIDATION, "Val Accuracy"},
                                           {PUBLISHED_TEST, "Test Accuracy"},
                                           {PUBLISHED_PARAMETERS, "Num Parameters"},
                                           {VALIDATION, "ours: Val"},
                                           {TEST, "ours: Test"},
                                           {DIFFERENCE, "Difference, points"},
                                           {PARAMETERS, "ours: Parameters"},
                                           {EPOCHS, "Epochs"}};
static const table_heading speeds[] = {{MODEL, "Model"},
                                       {TRAIN, "training, images/s"},
                                       {INFER, "inference, images/s"},
                                       {PLANNED, "memory planned"},
                                       {PROCESS, "of the process"},
                                       {START_UP, "start-up"}};
enum { ACCURACIES = sizeof accuracies / sizeof *accuracies, SPEEDS = sizeof speeds / sizeof *speeds };

const table_heading *table_headings(bool of_speeds, int *count) {
    *count = of_speeds ? SPEEDS : ACCURACIES;
    return of_speeds ? speeds : accuracies;
}

bool table_has_speeds(const table *t) {
    for (int i = 0; i < t->row_count; i++)
        if (*t->rows[i].measures.key)
            return true;
    return false;
}

/* --- text --- */

/* Characters, not bytes, of UTF-8. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_padded(FILE *to, const char *text, int width, bool left) {
    int padding = width - width_of(text);
    fprintf(to, "%*s%s%*s", left ? 0 : padding, "", text, left ? padding : 0, "");
}

static void print_text(const table *t, const table_heading *headings, int count, FILE *to) {
    int widths[ACCURACIES];
    char cell[TABLE_CELL];
    for (int c = 0; c < count; c++) {
        widths[c] = width_of(headings[c].name);
        for (int r = 0; r < t->row_count; r++) {
            table_cell(&t->rows[r], headings[c].column, cell);
            widths[c] = width_of(cell) > widths[c] ? width_of(cell) : widths[c];
        }
    }
    for (int r = -1; r < t->row_count; r++) {
        for (int c = 0; c < count; c++) {
            snprintf(cell, sizeof cell, "%s", headings[c].name);
            if (r >= 0)
                table_cell(&t->rows[r], headings[c].column, cell);
            fputs(c ? "  " : "", to);
            print_padded(to, *cell ? cell : "-", widths[c], c == 0);
        }
        fputc('\n', to);
    }
    fputc('\n', to);
}

/* --- Markdown --- */

/* What would be markup is not: '|' ends a cell. */
static void print_markdown_text(const char *text, FILE *to) {
    for (; *text; text++) {
        if (strchr("|\\`*_<>[]", *text))
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void print_markdown(const table *t, const table_heading *headings, int count, FILE *to) {
    char cell[TABLE_CELL];
    for (int c = 0; c < count; c++)
        fprintf(to, "%s%s |", c ? " " : "| ", headings[c].name);
    fprintf(to, "\n|");
    for (int c = 0; c < count; c++)
        fprintf(to, "%s|", c ? "---:" : "---");
    for (int r = 0; r < t->row_count; r++) {
        fprintf(to, "\n|");
        for (int c = 0; c < count; c++) {
            table_cell(&t->rows[r], headings[c].column, cell);
            fputc(' ', to);
            print_markdown_text(cell, to);
            fprintf(to, " |");
        }
    }
    fprintf(to, "\n\n");
}

/* --- CSV (RFC 4180): numbers, not cells for people --- */

static void print_number(double value, bool there, FILE *to) {
    fputc(',', to);
    if (there)
        fprintf(to, "%.7g", value);
}

static void print_csv_row(const table_row *r, FILE *to) {
    const published *p = published_find(r->model);
    table_accuracy test = table_test(r), validation = table_validation(r);
    const table_measures *m = &r->measures;
    fputc('"', to);
    for (const char *c = r->model; *c; c++)
        fprintf(to, *c == '"' ? "\"\"" : "%c", *c);
    fputc('"', to);
    print_number(p ? p->validation : 0, p, to);
    print_number(p ? p->test : 0, p, to);
    print_number(p ? (double)p->parameters : 0, p, to);
    print_number(test.count, true, to);
    print_number(validation.mean, validation.count, to);
    print_number(validation.deviation, validation.count > 1, to);
    print_number(test.mean, test.count, to);
    print_number(test.deviation, test.count > 1, to);
    print_number(p ? test.mean - p->test : 0, p && test.count, to);
    print_number(test.error, test.count, to);
    print_number((double)test.images, test.count, to);
    print_number(r->run_count ? (double)r->runs[0].parameters : 0, r->run_count, to);
    print_number(r->run_count ? r->runs[0].epochs : 0, r->run_count && r->runs[0].epochs, to);
    print_number(m->train.images_per_s, m->train.images_per_s > 0, to);
    print_number(m->infer.images_per_s, m->infer.images_per_s > 0, to);
    print_number(m->train.planned_bytes, m->train.planned_bytes > 0, to);
    print_number(m->train.process_bytes, m->train.process_bytes > 0, to);
    print_number(m->start_up_s, m->start_up_s > 0, to);
    fputc('\n', to);
}

static void print_csv(const table *t, FILE *to) {
    fprintf(to, "model,published_val_acc,published_test_acc,published_parameters,runs,val_acc,val_acc_deviation,"
                "test_acc,test_acc_deviation,test_acc_difference,test_acc_standard_error,test_images,parameters,epochs,"
                "train_images_per_s,infer_images_per_s,planned_bytes,peak_process_bytes,start_up_s\n");
    for (int i = 0; i < t->row_count; i++)
        print_csv_row(&t->rows[i], to);
}

/* --- notes --- */

static bool lacks_validation(const table *t) {
    for (int i = 0; i < t->row_count; i++)
        if (t->rows[i].run_count && table_validation(&t->rows[i]).count == 0)
            return true;
    return false;
}

static int most_runs(const table *t) {
    int most = 0;
    for (int i = 0; i < t->row_count; i++)
        most = t->rows[i].run_count > most ? t->rows[i].run_count : most;
    return most;
}

static bool is_trained_here(const table *t) {
    for (int i = 0; i < t->row_count; i++)
        if (t->rows[i].run_count && *t->rows[i].runs[0].folder)
            return true;
    return false;
}

static void note_data(const table *t, char *note) {
    char count[32], of[32];
    report_count(t->test_images, count);
    switch (table_data_of(t)) {
    case TABLE_WHOLE:
        snprintf(note, TABLE_NOTE, "Tested on all %s test images of CIFAR-10.", count);
        break;
    case TABLE_SAMPLE:
        snprintf(note, TABLE_NOTE, "Tested on a sample of the test set: %s of CIFAR-10's %s test images.", count,
                 report_count(PUBLISHED_TEST_IMAGES, of));
        break;
    case TABLE_OTHER_DATA:
        snprintf(note, TABLE_NOTE,
                 "Tested on %s images that are not CIFAR-10's binary files; the published numbers are of CIFAR-10.",
                 count);
        break;
    }
}

static void note_runs(const table *t, char *note) {
    if (most_runs(t) > 1)
        snprintf(note, TABLE_NOTE, "Accuracies are means ± standard deviations over %d seeds.", most_runs(t));
}

static void note_training(const table *t, char *note) {
    char images[32];
    if (is_trained_here(t))
        snprintf(note, TABLE_NOTE, "Trained here: %s, on %s images of which a part is held back for validation.",
                 t->recipe, report_count(t->train_images, images));
}

static void note_validation(const table *t, char *note) {
    if (lacks_validation(t))
        snprintf(note, TABLE_NOTE,
                 "No validation accuracy where it is not known which of these training images were held back: all "
                 "50,000 of CIFAR-10 tell it, or --split-indices.");
}

static void note_speed(const table *t, char *note) {
    if (table_has_speeds(t))
        snprintf(note, TABLE_NOTE,
                 "Speeds are medians of whole steps, batch %d; memory and start-up (to the end of the first training "
                 "step, kernels compiled before) are of a process that only trains.",
                 t->rows[0].measures.batch_size);
}

bool table_note(const table *t, int index, char note[TABLE_NOTE]) {
    static void (*const notes[])(const table *t, char *note) = {note_data, note_training, note_runs, note_validation,
                                                                note_speed};
    *note = '\0';
    for (int i = 0, found = -1; i < (int)(sizeof notes / sizeof *notes) + 2; i++) {
        char text[TABLE_NOTE] = "";
        if (i < (int)(sizeof notes / sizeof *notes))
            notes[i](t, text);
        else if (i == (int)(sizeof notes / sizeof *notes))
            snprintf(text, sizeof text,
                     "Difference: ours minus the published test accuracy, ± the binomial standard error of ours.");
        else
            snprintf(text, sizeof text, "Published: %s.", published_source);
        found += *text != '\0';
        if (found == index) {
            snprintf(note, TABLE_NOTE, "%s", text);
            return true;
        }
    }
    return false;
}

/* --- all --- */

static void print_both(const table *t, FILE *to, void (*print)(const table *, const table_heading *, int, FILE *)) {
    print(t, accuracies, ACCURACIES, to);
    if (table_has_speeds(t))
        print(t, speeds, SPEEDS, to);
}

void table_print(const table *t, table_format format, FILE *to) {
    char note[TABLE_NOTE];
    if (format == TABLE_AS_CSV) {
        print_csv(t, to);
        return;
    }
    print_both(t, to, format == TABLE_AS_MARKDOWN ? print_markdown : print_text);
    for (int i = 0; table_note(t, i, note); i++) {
        if (format == TABLE_AS_MARKDOWN) {
            fprintf(to, "- ");
            print_markdown_text(note, to);
            fputc('\n', to);
        } else {
            fprintf(to, "%s\n", note);
        }
    }
}
