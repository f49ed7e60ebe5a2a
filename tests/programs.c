/* Running the programs: see programs.h. */
#include "programs.h"
#include "files.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

char program_output[1 << 18], program_errors[1 << 16];

static void read_text(const char *folder, const char *name, char *text, size_t size) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
    free(path);
}

int program_run(const char *folder, const char *before, const char *format, ...) {
    char arguments[2048], command[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "cd '%s' && %s '%s'/%s >output 2>errors </dev/null", folder, before,
             getenv("CLNET_BIN_DIR"), arguments);
    int status = system(command);
    ck_assert_msg(WIFEXITED(status), "%s ended abnormally", arguments);
    read_text(folder, "output", program_output, sizeof program_output);
    read_text(folder, "errors", program_errors, sizeof program_errors);
    return WEXITSTATUS(status);
}

cJSON *program_json(void) {
    cJSON *json = cJSON_Parse(program_output);
    ck_assert_msg(json != NULL, "not JSON: %s", program_output);
    return json;
}

double json_number(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    ck_assert_msg(cJSON_IsNumber(item), "no number '%s'", name);
    return item->valuedouble;
}
