/* Printing: failures, warnings, devices, numbers, JSON. */
#include "report.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

void report_warnings(const char *program, cln_context *ctx) {
    char text[1024];
    while (cln_context_take_warning(ctx, text, sizeof text))
        fprintf(stderr, "%s: warning: %s\n", program, text);
}

int report_end(const char *program, cln_context *ctx, cln_status status) {
    report_warnings(program, ctx);
    if (status != CLN_OK) {
        const char *message = cln_context_error(ctx);
        fflush(stdout);
        fprintf(stderr, "%s: %s\n", program, message[0] ? message : cln_status_text(status));
    }
    return (int)status;
}

int report_no_memory(const char *program) {
    fprintf(stderr, "%s: %s\n", program, cln_status_text(CLN_OUT_OF_MEMORY));
    return CLN_OUT_OF_MEMORY;
}

const char *report_device_type(const cln_device_info *info) {
    switch (info->type) {
    case CLN_DEVICE_CPU:
        return "CPU";
    case CLN_DEVICE_GPU:
        return info->discrete ? "discrete GPU" : "integrated GPU";
    case CLN_DEVICE_OTHER:
        break;
    }
    return "accelerator";
}

void report_device(FILE *out, const cln_device_info *info) {
    char memory[32];
    fprintf(out, "device %d:%d: %s (%s, %d compute units, %s; %s)\n", info->platform, info->device, info->name,
            report_device_type(info), info->compute_units, report_bytes(info->memory_bytes, memory),
            info->platform_name);
    fflush(out);
}

cln_status report_open_device(cln_context *ctx, const char *spec, FILE *out, cln_device **device) {
    cln_status status = cln_device_open(ctx, spec, device);
    if (status == CLN_OK)
        report_device(out, cln_device_get_info(*device));
    return status;
}

char *report_json_string(cJSON *object) {
    char *printed = object ? cJSON_PrintUnformatted(object) : NULL;
    char *text = printed ? cln_utf8_repair(printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

int report_json(const char *program, cJSON *object) {
    char *text = report_json_string(object);
    if (!text)
        return report_no_memory(program);
    printf("%s\n", text);
    free(text);
    return CLN_OK;
}

void report_json_float(cJSON *object, const char *name, double value) {
    char text[32];
    if (!isfinite(value)) { /* JSON has no such numbers */
        cln__json_add(object, name, cJSON_CreateNull());
        return;
    }
    snprintf(text, sizeof text, "%.7g", value);
    cln__json_add(object, name, cJSON_CreateNumber(strtod(text, NULL)));
}

double report_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int report_columns(void) {
    const char *given = getenv("COLUMNS");
    struct winsize size;
    long columns = given ? strtol(given, NULL, 10) : 0;
    if (columns <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    return columns > 0 && columns <= INT_MAX ? (int)columns : 80;
}

char *report_count(int64_t value, char text[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

char *report_time(double seconds, char text[32]) {
    long long whole = seconds > 0 && seconds < 1e15 ? (long long)(seconds + 0.5) : 0;
    if (isnan(seconds))
        snprintf(text, 32, "?");
    else if (whole < 3600)
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
}

char *report_bytes(uint64_t bytes, char text[32]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}
