/* The report of clbench verify in Markdown. */
#include "self_report.h"
#include "../src/cli/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* --- Markdown --- */

/* In a cell of a table: on one line, and "|" is no border. */
static void print_cell(const char *text) {
    for (; *text; text++)
        if (*text == '|')
            printf("\\|");
        else
            putchar((unsigned char)*text < ' ' ? ' ' : *text);
}

static void print_row(const char *name, const char *value) {
    printf("| %s | ", name);
    print_cell(value[0] ? value : "unknown");
    printf(" |\n");
}

/* --- the device --- */

static void print_system(void) {
    struct utsname system;
    char text[sizeof system.sysname + sizeof system.release + sizeof system.machine + 8];
    if (uname(&system) != 0)
        return;
    snprintf(text, sizeof text, "%s %s, %s", system.sysname, system.release, system.machine);
    print_row("system", text);
}

static void print_limits(const cln_device_info *d) {
    char text[128], all[32], piece[32];
    snprintf(text, sizeof text, "%s, %s at most in one piece, %d-bit addresses", report_bytes(d->memory_bytes, all),
             report_bytes(d->max_alloc_bytes, piece), d->address_bits);
    print_row("memory", text);
    snprintf(text, sizeof text, "%s of local memory, %zu work-items", report_bytes(d->local_bytes, all),
             d->max_work_group);
    print_row("work-group", text);
    snprintf(text, sizeof text, "fp16 %s, fp64 %s, denormals of fp32 %s", d->fp16 ? "yes" : "no",
             d->fp64 ? "yes" : "no", d->denormals ? "kept" : "flushed to zero");
    print_row("arithmetic", text);
    print_row("extensions", d->extensions[0] ? d->extensions : "none that matter here");
}

static void print_device(const cln_device_info *d) {
    char text[sizeof d->name + sizeof d->vendor + 64];
    snprintf(text, sizeof text, "%d:%d, %s", d->platform, d->device, d->name);
    print_row("device", text);
    snprintf(text, sizeof text, "%s, %d compute units at %d MHz", report_device_type(d), d->compute_units,
             d->clock_mhz);
    print_row("type", text);
    print_row("vendor", d->vendor);
    print_row("platform", d->platform_name);
    snprintf(text, sizeof text, "%s; %s", d->version, d->opencl_c_version);
    print_row("OpenCL", text);
    print_row("driver", d->driver_version);
    print_limits(d);
}

void self_report_begin(const cln_device_info *device, const char *settings) {
    printf("### clnet %s: self-check\n\n| | |\n|---|---|\n", cln_version());
    print_device(device);
    print_system();
    if (settings[0])
        print_row("settings", settings);
    printf("\n| checks | passed | largest error | allowed | where | seconds |\n|---|---|---|---|---|---|\n");
    fflush(stdout);
}

/* --- the checks --- */

/* Takes over `note`; without memory for it, the count of failures still tells. */
static void add_note(self_report *r, char *note) {
    if (r->note_count == r->note_capacity) {
        int wider = r->note_capacity ? r->note_capacity * 2 : 16;
        char **moved = note ? realloc(r->notes, (size_t)wider * sizeof *moved) : NULL;
        if (!moved) {
            free(note);
            return;
        }
        r->notes = moved;
        r->note_capacity = wider;
    }
    if (note)
        r->notes[r->note_count++] = note;
}

static size_t write_result(char *to, size_t room, const verify_result *r) {
    return (size_t)snprintf(to, room, "%s%s%s %.2g not within %g; ", r->group, r->name[0] ? " " : "", r->name,
                            fabs(r->error), r->tolerance);
}

static void note_failure(self_report *r, const char *title, const verify_case *c) {
    size_t size = sizeof c->reason + 512, used;
    char *note = malloc(size);
    if (note) {
        used = (size_t)snprintf(note, size, "FAIL %.200s: ", title);
        for (int i = 0; i < c->result_count && used < 400; i++)
            if (!verify_within(&c->results[i]))
                used += write_result(note + used, size - used, &c->results[i]);
        snprintf(note + used, size - used, "%s", c->reason);
    }
    add_note(r, note);
}

static void print_group(const self_report *r) {
    if (!r->cases)
        return;
    printf("| %s | %d of %d | ", r->group, r->passed, r->cases);
    if (r->where[0]) {
        printf("%.1e | %.0e | %s %s%sof ", fabs(r->worst.error), r->worst.tolerance, r->worst.group, r->worst.name,
               r->worst.name[0] ? " " : "");
        print_cell(r->where);
    } else {
        printf("| | ");
    }
    printf(" | %.2f |\n", r->seconds);
    fflush(stdout);
}

void self_report_case(self_report *r, const char *group, const char *title, const verify_case *c, bool passed,
                      double seconds) {
    if (strcmp(r->group, group) != 0) {
        print_group(r);
        *r = (self_report){.notes = r->notes, .note_count = r->note_count, .note_capacity = r->note_capacity};
        snprintf(r->group, sizeof r->group, "%s", group);
    }
    r->cases++;
    r->passed += passed;
    r->seconds += seconds;
    for (int i = 0; i < c->result_count; i++) {
        if (r->where[0] && verify_excess(&c->results[i]) <= verify_excess(&r->worst))
            continue;
        r->worst = c->results[i];
        snprintf(r->where, sizeof r->where, "%.90s", title);
    }
    if (!passed)
        note_failure(r, title, c);
}

void self_report_warnings(self_report *r, cln_context *ctx) {
    char text[1024];
    while (cln_context_take_warning(ctx, text, sizeof text)) {
        char *note = malloc(sizeof text + 16);
        if (note)
            snprintf(note, sizeof text + 16, "warning: %s", text);
        add_note(r, note);
    }
}

void self_report_end(self_report *r, int passed, int failed, double seconds) {
    print_group(r);
    printf("\n**%d passed, %d failed** in %.1f s\n", passed, failed, seconds);
    if (r->note_count)
        printf("\n```\n");
    for (int i = 0; i < r->note_count; i++)
        printf("%s\n", r->notes[i]);
    if (r->note_count)
        printf("```\n");
}

void self_report_free(self_report *r) {
    for (int i = 0; i < r->note_count; i++)
        free(r->notes[i]);
    free(r->notes);
}
