/* The pickle machine: the input is a pickle, and whatever follows it. */
#include "../../src/io/pickle.h"
#include "checkpoint.h"

/* Every value that hangs on `value`, each text to its end; `fuel` ends what holds itself. */
static unsigned walk(const cln__pickled *value, int depth, int *fuel) {
    unsigned sum = 0;
    if (!value || depth == 0 || --*fuel < 0)
        return 0;
    if (value->kind == CLN__PICKLED_TEXT || value->kind == CLN__PICKLED_BYTES || value->kind == CLN__PICKLED_LONG)
        for (size_t i = 0; i < value->length; i++)
            sum += (unsigned char)value->text[i];
    if (value->kind == CLN__PICKLED_LIST || value->kind == CLN__PICKLED_TUPLE || value->kind == CLN__PICKLED_DICT)
        for (const cln__pickled_item *i = value->first; i; i = i->next)
            sum += walk(i->key, depth - 1, fuel) + walk(i->value, depth - 1, fuel);
    if (value->kind == CLN__PICKLED_GLOBAL)
        sum += walk(value->module, depth - 1, fuel) + walk(value->name, depth - 1, fuel);
    if (value->kind == CLN__PICKLED_CALL)
        sum += walk(value->function, depth - 1, fuel) + walk(value->arguments, depth - 1, fuel);
    if (value->kind == CLN__PICKLED_PERSISTENT)
        sum += walk(value->id, depth - 1, fuel);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln__arena arena = {.limit_bytes = (size_t)64 << 20};
    cln__pickle pickle = {0};
    size_t at = 0;
    int fuel = 100000;
    if (cln_context_new(&ctx) != CLN_OK)
        return 0;
    cln_status status = cln__pickle_read(ctx, "x", &arena, data, size, &at, &pickle);
    fuzz_check_status(ctx, status);
    fuzz_check(at <= size, "a pickle that ends behind its bytes");
    if (status == CLN_OK) {
        fuzz_check(pickle.root != NULL, "a pickle of nothing");
        fuzz_use(walk(pickle.root, 200, &fuel));
        for (const cln__pickled_item *i = pickle.persistent; i; i = i->next)
            fuzz_check(cln__pickled_is(i->value, CLN__PICKLED_PERSISTENT), "a persistent value of another kind");
        (void)cln__pickled_get(pickle.root, "state_dict");
    }
    cln__arena_free(&arena);
    cln_context_free(ctx);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const char *const others[] = {
        "\x80\x02](K\x01J\xff\xff\xff\xffM\x01\x02\x8a\x02\xff\x7fG?\xb9\x99\x99\x99\x99\x99\x9aN\x88\x89"
        "e.",
        "\x80\x05\x8c\x01k\x94\x93h\x01\x85\x94R}(h\x01K\x02ub.",
        "\x80\x02]q\x01h\x01"
        "a.",
    };
    if (index < CHECKPOINT_KINDS)
        checkpoint_object(index, index % 2, out);
    else if (index < CHECKPOINT_KINDS + (int)(sizeof others / sizeof *others))
        fuzz_text(out, others[index - CHECKPOINT_KINDS]);
    else
        return false;
    return true;
}
