/* Where the tensors of a checkpoint are, and what they are called. A file holds a state_dict (a dict of tensors by
 * name), or a dict with a state_dict in it, beside epochs, optimisers and the like. */
#include "torch.h"

#include <string.h>

enum { MAX_DEPTH = 16, MAX_NAME = 1024 };

static const char lightning_prefix[] = "model.";

typedef struct walk {
    cln__torch *t;
    char name[MAX_NAME];
    size_t items; /* seen so far: a dict that is in many places makes a small file look large */
} walk;

static const cln__pickled *find_dict(const cln__torch *t) {
    static const char *const names[] = {"state_dict", "model_state_dict", "model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cln__pickled *inner = cln__pickled_get(t->object.root, names[i]);
        if (cln__pickled_is(inner, CLN__PICKLED_DICT))
            return inner;
    }
    return t->object.root;
}

/* Sets the name from its character `length` on to the key; false if that is not a possible name. */
static bool append(walk *w, size_t length, const cln__pickled *key, size_t *end) {
    if (key->length > MAX_NAME - 1 - length || !cln__pickled_is_string(key))
        return false;
    memcpy(w->name + length, key->text, key->length);
    *end = length + key->length;
    w->name[*end] = '\0';
    return true;
}

static cln_status add_tensor(walk *w, const cln__pickled *value, size_t end) {
    bool is_tensor;
    if (!cln__pickled_is(value, CLN__PICKLED_CALL))
        return CLN_OK;
    char *name = cln__arena_text(w->t->kept, w->name, end);
    if (!name)
        return cln__torch_no_memory(w->t, w->t->kept);
    return cln__torch_add_tensor(w->t, value, name, &is_tensor);
}

/* Adds what is in a dict whose entries' names begin with w->name[0...length-1]; dicts in it are `depth` deep. */
static cln_status descend(walk *w, const cln__pickled *dict, size_t length, int depth) {
    for (const cln__pickled_item *item = dict->first; item; item = item->next) {
        size_t end;
        if (++w->items > w->t->object_bytes)
            return cln__fail(w->t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "its dicts hold one another too often",
                             w->t->path);
        bool inner = cln__pickled_is(item->value, CLN__PICKLED_DICT);
        if (!cln__pickled_is(item->key, CLN__PICKLED_TEXT) || (!inner && item->value->kind != CLN__PICKLED_CALL))
            continue;
        if (!append(w, length, item->key, &end) || end == MAX_NAME - 1)
            return cln__fail(w->t->ctx, CLN_INVALID_FILE,
                             CLN__TORCH_INVALID "a name behind '%.*s' is not UTF-8 text of less than %d bytes",
                             w->t->path, length < 200 ? (int)length : 200, w->name, MAX_NAME - 1);
        if (!inner) {
            CLN_TRY(add_tensor(w, item->value, end));
            continue;
        }
        if (depth == MAX_DEPTH)
            return cln__fail(w->t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "its dicts are more than %d deep",
                             w->t->path, MAX_DEPTH);
        w->name[end] = '.';
        CLN_TRY(descend(w, item->value, end + 1, depth + 1));
    }
    return CLN_OK;
}

static bool has_prefix(const cln__torch_tensor *d) {
    return strncmp(d->tensor.name, lightning_prefix, sizeof lightning_prefix - 1) == 0;
}

/* Lightning calls what it trains "model"; its state_dict may have been saved bare. */
static void take_prefix_off(cln__torch *t) {
    bool all = true;
    for (const cln__torch_tensor *d = t->first; d && all; d = d->next)
        all = has_prefix(d);
    if (!all && !cln__pickled_get(t->object.root, "pytorch-lightning_version") &&
        !cln__pickled_get(t->object.root, "hyper_parameters"))
        return;
    for (cln__torch_tensor *d = t->first; d; d = d->next)
        if (has_prefix(d))
            d->tensor.name += sizeof lightning_prefix - 1;
}

cln_status cln__torch_list_tensors(cln__torch *t) {
    const cln__pickled *dict = find_dict(t);
    walk w = {.t = t};
    if (cln__pickled_is(dict, CLN__PICKLED_DICT))
        CLN_TRY(descend(&w, dict, 0, 1));
    if (t->tensor_count == 0) /* a module as a whole is an object of the user's own class, and would have to be run */
        return cln__fail(t->ctx, CLN_UNSUPPORTED,
                         "'%s' is a PyTorch file without a state_dict: save model.state_dict(), not the model itself",
                         t->path);
    take_prefix_off(t);
    return CLN_OK;
}
