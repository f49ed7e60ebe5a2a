/* Reading a configuration file into the arguments of a command. */
#include "config.h"
#include "document.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const cli_command *command;
    cli_config *config;
    const bool *given;
    char *arguments, *message;
    yaml_document_t document;
    size_t lines[CLI_MAX_ARGUMENTS]; /* by offset: where it was set; 0: it was not */
} reader;

/* --- texts that the arguments borrow --- */

struct cli_text {
    struct cli_text *next;
    char text[];
};

static const char *keep(cli_config *config, const char *text) {
    size_t size = strlen(text) + 1;
    struct cli_text *kept = malloc(sizeof *kept + size);
    if (!kept)
        return NULL;
    kept->next = config->texts;
    config->texts = kept;
    return memcpy(kept->text, text, size);
}

void cli_config_free(cli_config *config) {
    for (struct cli_text *next; config->texts; config->texts = next) {
        next = config->texts->next;
        free(config->texts);
    }
}

/* --- failures --- */

static int no_memory(reader *r) {
    snprintf(r->message, CLI_MESSAGE, "not enough memory to read '%.400s'", r->config->path);
    return CLN_OUT_OF_MEMORY;
}

static int refuse_value(reader *r, const cli_option *o, const yaml_node_t *value) {
    char expected[CLI_EXPECTED];
    const char *text = document_text(value);
    cli_expected(o, expected);
    return document_refuse(r->config->path, document_line(value), r->message, "%s: expected %s, found %s%s%.200s%s",
                           o->name, expected, document_kind(value), text ? " '" : "", text ? text : "",
                           text ? "'" : "");
}

static int refuse_key(reader *r, const yaml_node_t *key, const char *text) {
    size_t length = strlen(text), line = document_line(key);
    const cli_option *negated = cli_find_negated(r->command, text, length);
    const char *nearest = cli_nearest(r->command, text, length);
    if (negated)
        return document_refuse(r->config->path, line, r->message, "unknown option '%s': write '%s: false'", text,
                               negated->name);
    return document_refuse(r->config->path, line, r->message, "unknown option '%.200s'%s%s%s", text,
                           nearest ? ": did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* --- mappings as JSON --- */

static cJSON *to_json(reader *r, const yaml_node_t *node);

static cJSON *scalar_to_json(const yaml_node_t *node) {
    const char *text = document_text(node);
    char *end;
    double number = strtod(text, &end);
    bool plain = document_is_plain(node);
    bool digits = *text && text[strspn(text, "+-.0123456789eE")] == '\0' && *end == '\0' && isfinite(number);
    return document_is_null(node)                ? cJSON_CreateNull()
           : plain && strcmp(text, "true") == 0  ? cJSON_CreateTrue()
           : plain && strcmp(text, "false") == 0 ? cJSON_CreateFalse()
           : plain && digits                     ? cJSON_CreateNumber(number)
                                                 : cJSON_CreateString(text);
}

static cJSON *list_to_json(reader *r, const yaml_node_t *node) {
    cJSON *array = cJSON_CreateArray();
    for (yaml_node_item_t *i = node->data.sequence.items.start; array && i < node->data.sequence.items.top; i++) {
        cJSON *item = to_json(r, yaml_document_get_node(&r->document, *i));
        if (item && cJSON_AddItemToArray(array, item))
            continue;
        cJSON_Delete(item);
        cJSON_Delete(array);
        return NULL;
    }
    return array;
}

static const char *text_of(reader *r, int node) {
    return document_text(yaml_document_get_node(&r->document, node));
}

/* Whether the key of `pair` is a text, and none before it is the same. */
static bool is_new_key(reader *r, const yaml_node_t *node, const yaml_node_pair_t *pair) {
    const char *name = text_of(r, pair->key);
    const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
    if (!name)
        document_refuse(r->config->path, document_line(key), r->message, "expected a name, found %s",
                        document_kind(key));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; name && p < pair; p++)
        if (strcmp(name, text_of(r, p->key)) == 0) {
            document_refuse(r->config->path, document_line(key), r->message, "'%.200s' is there twice", name);
            return false;
        }
    return name != NULL;
}

static cJSON *mapping_to_json(reader *r, const yaml_node_t *node) {
    cJSON *object = cJSON_CreateObject();
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; object && p < node->data.mapping.pairs.top; p++) {
        cJSON *value = is_new_key(r, node, p) ? to_json(r, yaml_document_get_node(&r->document, p->value)) : NULL;
        if (value && cJSON_AddItemToObject(object, text_of(r, p->key), value))
            continue;
        cJSON_Delete(value);
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

/* NULL: r->message says why, or is empty for lack of memory. The document has no cycles and little depth. */
static cJSON *to_json(reader *r, const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE     ? scalar_to_json(node)
           : node->type == YAML_SEQUENCE_NODE ? list_to_json(r, node)
                                              : mapping_to_json(r, node);
}

/* --- values --- */

/* A value as the command line would have it, to be kept. NULL: *status says why. */
static const char *json_text(reader *r, const yaml_node_t *value, int *status) {
    *r->message = '\0';
    cJSON *json = to_json(r, value);
    char *printed = json ? cJSON_PrintUnformatted(json) : NULL;
    const char *text = printed ? keep(r->config, printed) : NULL;
    *status = text ? CLN_OK : *r->message ? CLN_INVALID_FILE : no_memory(r);
    cJSON_free(printed);
    cJSON_Delete(json);
    return text;
}

/* The items with commas between them; "none" without any. */
static const char *list_text(reader *r, const cli_option *o, const yaml_node_t *value, int *status) {
    char joined[CLN_MAX_INTS * 24] = "none";
    size_t used = 0;
    *status = CLN_OK;
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&r->document, *i);
        const char *text = document_text(item);
        size_t length = text ? strlen(text) : 0;
        if (!document_is_plain(item) || length == 0 || strchr(text, ',') || used + length + 2 > sizeof joined) {
            *status = refuse_value(r, o, text ? item : value);
            return NULL;
        }
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s", used ? "," : "", text);
    }
    const char *text = keep(r->config, joined);
    *status = text ? CLN_OK : no_memory(r);
    return text;
}

static const char *value_text(reader *r, const cli_option *o, const yaml_node_t *value, int *status) {
    bool list = o->kind == CLI_INTS || o->kind == CLI_REALS;
    bool exact = list || o->kind == CLI_FLAG || o->kind == CLI_FLAG_INT || o->kind == CLI_INT || o->kind == CLI_REAL;
    const char *text = document_text(value);
    if (list && value->type == YAML_SEQUENCE_NODE)
        return list_text(r, o, value, status);
    if (o->kind == CLI_JSON && value->type == YAML_MAPPING_NODE)
        return json_text(r, value, status);
    if (!text || (exact && !document_is_plain(value))) {
        *status = refuse_value(r, o, value);
        return NULL;
    }
    text = keep(r->config, text);
    *status = text ? CLN_OK : no_memory(r);
    return text;
}

/* Every value is checked, also one that the command line overrides. */
static int set_value(reader *r, const cli_option *o, const yaml_node_t *value) {
    union {
        cln_ints ints;
        cli_reals reals;
        double real;
        int64_t whole;
        const void *pointer;
    } unused;
    char message[CLI_MESSAGE];
    int status;
    if (document_is_null(value))
        return CLN_OK;
    const char *text = value_text(r, o, value, &status);
    if (!text)
        return status;
    if (cli_read_value(o, text, r->given[o->offset] ? (void *)&unused : r->arguments + o->offset, message))
        return CLN_OK;
    return document_refuse(r->config->path, document_line(value), r->message, "%s: %s", o->name, message);
}

static int set_option(reader *r, const yaml_node_t *key, const yaml_node_t *value) {
    const char *name = document_text(key);
    if (!name)
        return document_refuse(r->config->path, document_line(key), r->message, "expected an option's name, found %s",
                               document_kind(key));
    const cli_option *o = cli_find(r->command, name, strlen(name));
    if (!o)
        return refuse_key(r, key, name);
    if (o->kind == CLI_CONFIG || o->kind == CLI_PRINT_CONFIG)
        return document_refuse(r->config->path, document_line(key), r->message, "'%s' is for the command line only",
                               o->name);
    if (r->lines[o->offset])
        return document_refuse(r->config->path, document_line(key), r->message, "%s was already set on line %zu",
                               o->name, r->lines[o->offset]);
    r->lines[o->offset] = document_line(key);
    return set_value(r, o, value);
}

static int set_options(reader *r) {
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);
    if (!root || document_is_null(root)) /* comments only */
        return CLN_OK;
    if (root->type != YAML_MAPPING_NODE)
        return document_refuse(r->config->path, document_line(root), r->message,
                               "expected lines of 'option: value', found %s", document_kind(root));
    int status = CLN_OK;
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; status == CLN_OK && p < root->data.mapping.pairs.top;
         p++)
        status =
            set_option(r, yaml_document_get_node(&r->document, p->key), yaml_document_get_node(&r->document, p->value));
    return status;
}

int cli_config_read(const cli_command *command, cli_config *config, const bool given[CLI_MAX_ARGUMENTS],
                    void *arguments, char message[CLI_MESSAGE]) {
    reader r = {.command = command, .config = config, .given = given, .arguments = arguments, .message = message};
    int status = document_read(config->path, &r.document, message);
    if (status != CLN_OK)
        return status;
    status = set_options(&r);
    yaml_document_delete(&r.document);
    return status;
}
