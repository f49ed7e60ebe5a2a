/* What a checkpoint of PyTorch Lightning holds beside tensors, as text: how far the training had come, and as JSON the
 * arguments that the model was made with. */
#include "torch.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16, MAX_JSON = 1 << 20 };

/* --- to JSON --- */

typedef struct printer {
    size_t left; /* of MAX_JSON: a value that is in many places makes a small file look large */
    bool failed; /* too much, too deep, or no memory */
    bool lacks_memory;
} printer;

/* What was made, if there was memory for it. */
static void *check(printer *p, void *made) {
    if (!made)
        p->failed = p->lacks_memory = true;
    return made;
}

/* A value's share, so that sums of lengths stay bounded. */
static bool spend(printer *p, size_t amount) {
    if (amount >= p->left)
        p->failed = true;
    else
        p->left -= amount + 1;
    return !p->failed;
}

/* A NUL-terminated copy of a text; NULL if it cannot be one. */
static char *copy_text(printer *p, const cln__pickled *value) {
    bool good = spend(p, value->length) && cln__pickled_is_string(value);
    return good ? check(p, cln__format("%.*s", (int)value->length, value->text)) : NULL;
}

static cJSON *to_json(printer *p, const cln__pickled *value, int depth);

static cJSON *text_json(printer *p, const cln__pickled *value) {
    char *text = copy_text(p, value);
    cJSON *json = check(p, text ? cJSON_CreateString(text) : cJSON_CreateNull());
    free(text);
    return json;
}

/* Entries whose key is not a text are left out. */
static cJSON *container_json(printer *p, const cln__pickled *value, int depth) {
    bool dict = value->kind == CLN__PICKLED_DICT;
    cJSON *json = check(p, dict ? cJSON_CreateObject() : cJSON_CreateArray());
    for (const cln__pickled_item *item = value->first; json && item && spend(p, 0); item = item->next) {
        char *key = dict && cln__pickled_is(item->key, CLN__PICKLED_TEXT) ? copy_text(p, item->key) : NULL;
        if (dict && !key)
            continue;
        cJSON *inner = to_json(p, item->value, depth + 1);
        if (inner && !(dict ? cJSON_AddItemToObject(json, key, inner) : cJSON_AddItemToArray(json, inner))) {
            cJSON_Delete(inner);
            check(p, NULL);
        }
        free(key);
    }
    return json;
}

/* What JSON cannot say is null. */
static cJSON *to_json(printer *p, const cln__pickled *value, int depth) {
    if (depth > MAX_DEPTH)
        p->failed = true;
    if (p->failed)
        return NULL;
    switch (value->kind) {
    case CLN__PICKLED_BOOL:
        return check(p, cJSON_CreateBool(value->integer != 0));
    case CLN__PICKLED_INT:
        return check(p, cJSON_CreateNumber((double)value->integer));
    case CLN__PICKLED_FLOAT:
        return check(p, cJSON_CreateNumber(value->number)); /* printed as null if it is not finite */
    case CLN__PICKLED_TEXT:
        return text_json(p, value);
    case CLN__PICKLED_LIST:
    case CLN__PICKLED_TUPLE:
    case CLN__PICKLED_DICT:
        return container_json(p, value, depth);
    default:
        return check(p, cJSON_CreateNull());
    }
}

static char *print_json(printer *p, const cln__pickled *value) {
    cJSON *json = to_json(p, value, 0);
    char *printed = json && !p->failed ? check(p, cJSON_PrintUnformatted(json)) : NULL;
    char *text = printed ? check(p, cln__format("%s", printed)) : NULL; /* so that it can be freed with free */
    cJSON_free(printed);
    cJSON_Delete(json);
    return text;
}

/* --- the first level --- */

static char *print(printer *p, const cln__pickled *value) {
    switch (value->kind) {
    case CLN__PICKLED_INT:
        return check(p, cln__format("%" PRId64, value->integer));
    case CLN__PICKLED_TEXT:
        return copy_text(p, value);
    case CLN__PICKLED_DICT:
        return print_json(p, value);
    default:
        return NULL;
    }
}

cln_status cln__torch_list_metadata(cln__torch *t, cln_metadata **out, size_t *count) {
    static const char *const keys[] = {"epoch", "global_step", "pytorch-lightning_version", "hyper_parameters"};
    const size_t most = sizeof keys / sizeof *keys;
    *count = 0;
    *out = cln__arena_new(t->kept, most * sizeof **out);
    if (!*out)
        return cln__torch_no_memory(t, t->kept);
    for (size_t i = 0; i < most; i++) {
        const cln__pickled *value = cln__pickled_get(t->object.root, keys[i]);
        printer p = {.left = MAX_JSON};
        char *text = value ? print(&p, value) : NULL;
        if (p.lacks_memory)
            return cln__fail_memory(t->ctx, t->path);
        if (!text)
            continue;
        char *copy = cln__arena_text(t->kept, text, strlen(text));
        free(text);
        if (!copy)
            return cln__torch_no_memory(t, t->kept);
        (*out)[(*count)++] = (cln_metadata){keys[i], copy};
    }
    return CLN_OK;
}
