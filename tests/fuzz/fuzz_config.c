/* Configuration files (YAML). What is read is printed and read again, which must give the same. */
#include "../../src/cli/config.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *text, *json, *once;
    int64_t whole;
    double real;
    bool flag;
    cln_ints ints;
    int choice;
    const cln_model *model;
    cli_config config;
} arguments;

/* In place of the library's models, which need all of it. */
static const cln_model model = {.name = "ResNet"}, *const models[] = {&model};

const cln_model *const *cln_models(int *count) {
    *count = 1;
    return models;
}

const cln_model *cln_model_find(const char *name) {
    return strcmp(name, model.name) == 0 ? &model : NULL;
}

#define AT(member) offsetof(arguments, member)

static const char *const choices[] = {"sgd", "adam", "null", NULL};
static const cli_option options[] = {
    {"data", CLI_TEXT, AT(text), "PATH", "", 0, 0, NULL},
    {"hparams", CLI_JSON, AT(json), "JSON", "", 0, 0, NULL},
    {"resume", CLI_ONCE, AT(once), "PATH", "", 0, 0, NULL},
    {"epochs", CLI_INT, AT(whole), "N", "", 1, 1000000, NULL},
    {"max-epochs", CLI_INT, AT(whole), "N", NULL, 1, 1000000, NULL},
    {"lr", CLI_REAL, AT(real), "X", "", 1e-30, 1e38, NULL},
    {"quiet", CLI_FLAG, AT(flag), NULL, "", 0, 0, NULL},
    {"milestones", CLI_INTS, AT(ints), "N,N", "", 1, 1000000, NULL},
    {"optimizer", CLI_CHOICE, AT(choice), "NAME", "", 0, 0, choices},
    {"model", CLI_MODEL, AT(model), "NAME", "", 0, 0, NULL},
    CLI_CONFIG_ROWS(arguments, config),
    {.name = NULL},
};
static const cli_command command = {.program = "fuzz", .name = "config", .groups = CLI_ONE_GROUP(options)};
static const arguments defaults = {.choice = -1, .ints = {.count = -1}};

/* What is printed of the file `name`, malloc'ed; NULL: it is refused. */
static char *print(const char *name) {
    static const bool given[CLI_MAX_ARGUMENTS];
    arguments a = defaults;
    char message[CLI_MESSAGE] = "", *path = fuzz_path(name), *out = NULL;
    size_t size;
    a.config.path = path;
    int status = cli_config_read(&command, &a.config, given, &a, message);
    if (status == CLN_OK) {
        FILE *memory = open_memstream(&out, &size);
        fuzz_check(memory != NULL, "memory");
        cli_config_print(&command, &a, memory);
        fclose(memory);
    } else {
        fuzz_check(status == CLN_INVALID_FILE, "the status says that the file is wrong");
        fuzz_check(strstr(message, name) && strlen(message) > strlen(path) + 4, "the message names the file, and why");
        fuzz_check(message[strcspn(message, "\n\033")] == '\0', "the message is one line of plain text");
    }
    cli_config_free(&a.config);
    free(path);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_write("config.yaml", data, size);
    char *first = print("config.yaml");
    fuzz_remove("config.yaml");
    if (!first)
        return 0;
    fuzz_write("again.yaml", (const uint8_t *)first, strlen(first));
    char *second = print("again.yaml");
    fuzz_remove("again.yaml");
    fuzz_check(second != NULL, "what is printed can be read");
    fuzz_check(strcmp(first, second) == 0, "what is printed is what was read");
    free(first);
    free(second);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const char *const seeds[] = {
        "model: ResNet\nepochs: 10\nlr: 1e-3\nquiet: true\n",
        "{\"model\": \"ResNet\", \"max_epochs\": 3, \"hparams\": {\"c_hidden\": [8, 8, 8], \"act_fn_name\": \"gelu\"}}",
        "# a comment\ndata: \"a \\\"quoted\\\" \\u2028 \\x07 text\"\nmilestones: [1, 2, 3]\nresume: ~\n",
        "milestones:\n  - 4\n  - 5\nhparams:\n  a: {b: [1.5, -2e300, null, true, \"true\"]}\n  \"\": ''\n",
        "data: |\n  two\n  lines\noptimizer: 'null'\n",
        "data: &a [x, x]\nhparams: *a\n",
        "--- !!map\ndata: !!str 1\n...\n---\n",
        "hparams: '{\"a\": 1, \"a\": 2, \"b\": [[[[[[[[[[[[[[[[[1e999]]]]]]]]]]]]]]]]]}'\n",
        "hparams: '{\"a\": 1e999}'\n",
        "hparams: '{\"a\": [[[[1]]]]}'\nlr: .5\nmilestones: none\nepochs: 0x10\n",
    };
    if (index >= (int)(sizeof seeds / sizeof *seeds))
        return false;
    fuzz_text(out, seeds[index]);
    return true;
}
