/* Looking at the values of a pickle. */
#include "pickle.h"

#include <string.h>

bool cln__pickled_is(const cln__pickled *value, cln__pickled_kind kind) {
    return value && value->kind == kind;
}

bool cln__pickled_is_text(const cln__pickled *value, const char *text) {
    size_t length = strlen(text);
    return cln__pickled_is(value, CLN__PICKLED_TEXT) && value->length == length &&
           memcmp(value->text, text, length) == 0;
}

bool cln__pickled_is_string(const cln__pickled *value) {
    if (!cln__pickled_is(value, CLN__PICKLED_TEXT))
        return false;
    for (size_t i = 0, step; i < value->length; i += step) {
        step = cln__utf8_length(value->text + i, value->length - i);
        if (step == 0 || value->text[i] == '\0')
            return false;
    }
    return true;
}

bool cln__pickled_is_global(const cln__pickled *value, const char *module, const char *name) {
    return cln__pickled_is(value, CLN__PICKLED_GLOBAL) && cln__pickled_is_text(value->module, module) &&
           cln__pickled_is_text(value->name, name);
}

bool cln__pickled_to_int(const cln__pickled *value, int64_t *out) {
    if (!cln__pickled_is(value, CLN__PICKLED_INT))
        return false;
    *out = value->integer;
    return true;
}

const cln__pickled *cln__pickled_get(const cln__pickled *dict, const char *key) {
    const cln__pickled *found = NULL;
    if (cln__pickled_is(dict, CLN__PICKLED_DICT))
        for (const cln__pickled_item *item = dict->first; item; item = item->next)
            if (cln__pickled_is_text(item->key, key))
                found = item->value;
    return found;
}

size_t cln__pickled_items(const cln__pickled *list, const cln__pickled **items, size_t room) {
    if (!cln__pickled_is(list, CLN__PICKLED_LIST) && !cln__pickled_is(list, CLN__PICKLED_TUPLE))
        return 0;
    const cln__pickled_item *item = list->first;
    for (size_t i = 0; i < room && item; i++, item = item->next)
        items[i] = item->value;
    return list->count;
}
