/* Which images train and which validate: PyTorch's random_split, or a list. The former is torch.randperm on the CPU,
 * which draws from the Mersenne Twister MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998); only here: everything
 * else draws from counters. */
#include "../base/base.h"
#include "clnet/data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STATE = 624, SHIFT = 397, MAX_SHOWN = 30 };

typedef struct twister {
    uint32_t state[STATE];
    int next;
} twister;

/* The reference implementation's init_genrand. */
static void twister_seed(twister *t, uint32_t seed) {
    t->state[0] = seed;
    for (uint32_t i = 1; i < STATE; i++)
        t->state[i] = 1812433253u * (t->state[i - 1] ^ t->state[i - 1] >> 30) + i;
    t->next = STATE;
}

static void twister_refill(twister *t) {
    for (int i = 0; i < STATE; i++) {
        uint32_t y = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % STATE] & 0x7fffffffu);
        t->state[i] = t->state[(i + SHIFT) % STATE] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    t->next = 0;
}

static uint32_t twister_next(twister *t) {
    if (t->next == STATE)
        twister_refill(t);
    uint32_t y = t->state[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* From here on PyTorch draws 64 bits an element, to keep the remainder uniform. */
static const int64_t max_count = UINT32_MAX / 20;

/* PyTorch's generator takes the low 32 bits of a seed. */
static void permute(int64_t *order, int64_t count, uint64_t seed) {
    twister t;
    twister_seed(&t, (uint32_t)seed);
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    for (int64_t i = 0; i < count - 1; i++) {
        int64_t z = (int64_t)(twister_next(&t) % (uint32_t)(count - i));
        int64_t kept = order[i];
        order[i] = order[i + z];
        order[i + z] = kept;
    }
}

cln_status cln_split_indices(cln_context *ctx, int64_t count, int64_t validation_count, uint64_t seed, int64_t **train,
                             int64_t **validation) {
    *train = *validation = NULL;
    if (count < 1 || count >= max_count)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "validation split: %" PRId64 " samples, expected 1 to %" PRId64,
                         count, max_count - 1);
    if (validation_count < 0 || validation_count >= count)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "validation split: %" PRId64 " of %" PRId64
                         " samples for validation, expected 0 or more and at least one left for training",
                         validation_count, count);
    int64_t *order = malloc((size_t)count * sizeof *order), *tail = NULL;
    size_t tail_bytes = (size_t)validation_count * sizeof *tail;
    if (validation_count > 0)
        tail = malloc(tail_bytes);
    if (!order || (validation_count > 0 && !tail)) {
        free(order);
        free(tail);
        return cln__fail_memory(ctx, "the validation split");
    }
    permute(order, count, seed);
    if (tail)
        memcpy(tail, order + (count - validation_count), tail_bytes);
    *train = order;
    *validation = tail;
    return CLN_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A whole number below `count` from `length` characters; -1 if they are something else. */
static int64_t parse_index(const char *text, size_t length, int64_t count) {
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = 10 * value + (text[i] - '0');
        if (value >= count)
            return -1;
    }
    return value;
}

static cln_status parse_all(cln_context *ctx, const char *name, const char *text, size_t size, int64_t count,
                            bool *seen, int64_t *indices, int64_t *index_count) {
    int64_t used = 0;
    for (size_t at = 0, end;; at = end) {
        while (at < size && is_space(text[at]))
            at++;
        for (end = at; end < size && !is_space(text[end]);)
            end++;
        if (end == at)
            break;
        int64_t value = parse_index(text + at, end - at, count);
        if (value < 0)
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "split indices in '%s': number %" PRId64 " (counted from 1) is '%.*s', expected a whole "
                             "number from 0 to %" PRId64,
                             name, used + 1, end - at < MAX_SHOWN ? (int)(end - at) : MAX_SHOWN, text + at, count - 1);
        if (seen[value])
            return cln__fail(ctx, CLN_INVALID_FILE, "split indices in '%s': %" PRId64 " occurs twice", name, value);
        seen[value] = true;
        indices[used++] = value; /* fits: no more than `count` values differ */
    }
    if (used == 0)
        return cln__fail(ctx, CLN_INVALID_FILE, "split indices in '%s': there are none", name);
    *index_count = used;
    return CLN_OK;
}

cln_status cln_split_parse(cln_context *ctx, const char *name, const char *text, size_t size, int64_t count,
                           int64_t **indices, int64_t *index_count) {
    *indices = NULL;
    *index_count = 0;
    if (count < 1 || count > INT32_MAX)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "split indices: %" PRId64 " samples, expected 1 to %d", count,
                         INT32_MAX);
    int64_t *values = calloc((size_t)count, sizeof *values);
    bool *seen = calloc((size_t)count, sizeof *seen);
    cln_status status = values && seen ? parse_all(ctx, name, text, size, count, seen, values, index_count)
                                       : cln__fail_memory(ctx, "the split indices");
    free(seen);
    if (status != CLN_OK) {
        free(values);
        return status;
    }
    *indices = values;
    return CLN_OK;
}
