/* The stack machine of pickles: https://github.com/python/cpython/blob/main/Lib/pickletools.py documents the opcodes.
 * Every length, index and number of operands comes from the file and is checked before it is used. */
#include "pickle.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PROTOCOL = 5, MAX_LINE = 4096 };

typedef struct machine {
    cln_context *ctx;
    const char *path;
    cln__arena *arena;
    const uint8_t *bytes;
    size_t size, at, opcode_at;
    cln__pickled **stack; /* NULL: a mark */
    size_t depth, stack_room;
    cln__pickled **memo;
    size_t memo_room, memo_count;
    int parameter; /* of the present instruction: see the table at the end */
    const cln__pickled *root;
    cln__pickled persistent; /* the list of persistent values */
} machine;

static cln_status malformed(const machine *m, const char *why) {
    return cln__fail(m->ctx, CLN_INVALID_FILE,
                     "'%s' is damaged or not a PyTorch checkpoint: its pickle, at byte %zu: %s", m->path, m->opcode_at,
                     why);
}

static cln_status no_memory(const machine *m) {
    return m->arena->full ? malformed(m, "it needs more memory than a file of this size should")
                          : cln__fail_memory(m->ctx, "the values of a pickle");
}

/* --- bytes --- */

static bool take(machine *m, size_t count, const uint8_t **out) {
    if (count > m->size - m->at)
        return false;
    *out = m->bytes + m->at;
    m->at += count;
    return true;
}

static cln_status truncated(const machine *m) {
    return malformed(m, "it ends within an instruction");
}

/* A little-endian number of `width` bytes. */
static cln_status take_number(machine *m, int width, uint64_t *out) {
    const uint8_t *p;
    if (!take(m, (size_t)width, &p))
        return truncated(m);
    *out = 0;
    for (int i = 0; i < width; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return CLN_OK;
}

/* A length of `width` bytes and so many bytes after it. */
static cln_status take_counted(machine *m, int width, const char **text, size_t *length) {
    uint64_t count = 0;
    const uint8_t *p;
    CLN_TRY(take_number(m, width, &count));
    if (count > m->size - m->at)
        return malformed(m, "a length reaches beyond the end of the file");
    take(m, (size_t)count, &p);
    *text = (const char *)p;
    *length = (size_t)count;
    return CLN_OK;
}

/* Up to a newline, which is taken and left out. */
static cln_status take_line(machine *m, const char **text, size_t *length) {
    size_t left = m->size - m->at, most = left < MAX_LINE ? left : MAX_LINE;
    const uint8_t *begin = m->bytes + m->at, *end = most ? memchr(begin, '\n', most) : NULL;
    if (!end)
        return malformed(m, "a line does not end");
    *text = (const char *)begin;
    *length = (size_t)(end - begin);
    m->at += *length + 1;
    return CLN_OK;
}

/* --- stack --- */

/* Room for one more: doubled, so that the stack is at most twice the number of instructions. */
static bool grow(cln__pickled ***array, size_t *room, size_t needed) {
    size_t larger = *room ? *room : 256;
    while (larger < needed)
        larger *= 2;
    cln__pickled **moved = realloc(*array, larger * sizeof **array);
    if (!moved)
        return false;
    memset(moved + *room, 0, (larger - *room) * sizeof *moved);
    *array = moved;
    *room = larger;
    return true;
}

static cln_status push(machine *m, cln__pickled *value) {
    if (m->depth == m->stack_room && !grow(&m->stack, &m->stack_room, m->depth + 1))
        return cln__fail_memory(m->ctx, "the stack of a pickle");
    m->stack[m->depth++] = value;
    return CLN_OK;
}

static cln_status push_new(machine *m, cln__pickled value) {
    cln__pickled *copy = cln__arena_new(m->arena, sizeof *copy);
    if (!copy)
        return no_memory(m);
    *copy = value;
    return push(m, copy);
}

/* Where the last `count` values begin; there must be so many, and no mark among them. */
static cln_status top(const machine *m, size_t count, size_t *first) {
    for (size_t i = 1; i <= count; i++)
        if (i > m->depth || !m->stack[m->depth - i])
            return malformed(m, "an operand is missing");
    *first = m->depth - count;
    return CLN_OK;
}

static cln_status pop(machine *m, cln__pickled **out) {
    CLN_TRY(top(m, 1, &m->depth));
    *out = m->stack[m->depth];
    return CLN_OK;
}

/* Where the values above the last mark begin; the mark is just below. */
static cln_status above_mark(machine *m, size_t *first) {
    size_t i = m->depth;
    while (i > 0 && m->stack[i - 1])
        i--;
    if (i == 0)
        return malformed(m, "there is no mark");
    *first = i;
    return CLN_OK;
}

/* --- numbers, texts --- */

static cln_status do_protocol(machine *m) {
    uint64_t protocol = 0;
    CLN_TRY(take_number(m, m->parameter, &protocol));
    return protocol <= MAX_PROTOCOL ? CLN_OK : malformed(m, "its protocol is unknown");
}

static cln_status do_frame(machine *m) {
    uint64_t length = 0;
    CLN_TRY(take_number(m, m->parameter, &length));
    return length <= m->size - m->at ? CLN_OK : malformed(m, "a frame reaches beyond the end of the file");
}

static cln_status do_bool(machine *m) {
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_BOOL, .integer = m->parameter});
}

static cln_status push_int(machine *m, int64_t value) {
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_INT, .integer = value});
}

static cln_status do_int(machine *m) {
    int width = m->parameter;
    uint64_t value = 0;
    CLN_TRY(take_number(m, width, &value));
    if (width == 4 && value > INT32_MAX) /* the only width that is signed */
        return push_int(m, (int64_t)value - ((int64_t)1 << 32));
    return push_int(m, (int64_t)value);
}

/* Two's complement of any length. */
static cln_status do_long(machine *m) {
    const char *text = NULL;
    size_t length = 0;
    CLN_TRY(take_counted(m, m->parameter, &text, &length));
    if (length > 8)
        return push_new(m, (cln__pickled){.kind = CLN__PICKLED_LONG, .text = text, .length = length});
    uint64_t bits = length > 0 && (uint8_t)text[length - 1] >= 128 ? UINT64_MAX : 0;
    for (size_t i = length; i-- > 0;)
        bits = bits << 8 | (uint8_t)text[i];
    int64_t value;
    memcpy(&value, &bits, sizeof value);
    return push_int(m, value);
}

static cln_status do_float(machine *m) {
    int width = m->parameter;
    uint64_t bits = 0;
    const uint8_t *p;
    double value;
    if (!take(m, (size_t)width, &p))
        return truncated(m);
    for (int i = 0; i < width; i++) /* the one big-endian number of the format */
        bits = bits << 8 | p[i];
    memcpy(&value, &bits, sizeof value);
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_FLOAT, .number = value});
}

static cln_status push_counted(machine *m, int width, cln__pickled_kind kind) {
    cln__pickled value = {.kind = kind};
    CLN_TRY(take_counted(m, width, &value.text, &value.length));
    return push_new(m, value);
}

static cln_status do_text(machine *m) {
    return push_counted(m, m->parameter, CLN__PICKLED_TEXT);
}

static cln_status do_bytes(machine *m) {
    return push_counted(m, m->parameter, CLN__PICKLED_BYTES);
}

/* --- containers --- */

static cln_status add(machine *m, cln__pickled *to, const cln__pickled *key, const cln__pickled *value) {
    cln__pickled_item *item = cln__arena_new(m->arena, sizeof *item);
    if (!item)
        return no_memory(m);
    *item = (cln__pickled_item){key, value, NULL};
    if (to->first)
        to->last->next = item;
    else
        to->first = item;
    to->last = item;
    to->count++;
    return CLN_OK;
}

/* Adds stack[first...depth-1] to a list or, in pairs, to a dict, and takes them off the stack. */
static cln_status add_all(machine *m, cln__pickled *to, size_t first) {
    bool dict = to->kind == CLN__PICKLED_DICT;
    if (dict && (m->depth - first) % 2 != 0)
        return malformed(m, "a key has no value");
    for (size_t i = first; i < m->depth; i += dict ? 2 : 1)
        CLN_TRY(add(m, to, dict ? m->stack[i] : NULL, m->stack[dict ? i + 1 : i]));
    m->depth = first;
    return CLN_OK;
}

static cln_status push_empty(machine *m, cln__pickled_kind kind) {
    return push_new(m, (cln__pickled){.kind = kind});
}

static cln_status do_empty(machine *m) {
    return push_empty(m, (cln__pickled_kind)m->parameter);
}

/* LIST, DICT, TUPLE, FROZENSET: of everything above the mark. */
static cln_status do_marked(machine *m) {
    size_t first = 0;
    cln__pickled *made = cln__arena_new(m->arena, sizeof *made);
    if (!made)
        return no_memory(m);
    made->kind = (cln__pickled_kind)m->parameter;
    CLN_TRY(above_mark(m, &first));
    CLN_TRY(add_all(m, made, first));
    m->depth--;
    return push(m, made);
}

static cln_status do_tuple(machine *m) {
    size_t first = 0;
    cln__pickled *made = cln__arena_new(m->arena, sizeof *made);
    if (!made)
        return no_memory(m);
    made->kind = CLN__PICKLED_TUPLE;
    CLN_TRY(top(m, (size_t)m->parameter, &first));
    CLN_TRY(add_all(m, made, first));
    return push(m, made);
}

static bool is_object(const cln__pickled *value) {
    return value->kind == CLN__PICKLED_CALL || value->kind == CLN__PICKLED_OPAQUE;
}

/* APPEND, APPENDS, ADDITEMS (`wanted` LIST), SETITEM, SETITEMS (DICT): adds stack[first...] to the value below it (or
 * below the mark). An object of an unknown class that is given keys and values is some kind of dict; what is appended
 * to one is of no use to us. */
static cln_status extend(machine *m, size_t first, size_t mark, cln__pickled_kind wanted) {
    size_t below = first - mark;
    cln__pickled *to = below > 0 ? m->stack[below - 1] : NULL;
    if (!to)
        return malformed(m, "there is nothing to add items to");
    if (is_object(to) && wanted == CLN__PICKLED_DICT)
        *to = (cln__pickled){.kind = CLN__PICKLED_DICT};
    if (to->kind == wanted)
        CLN_TRY(add_all(m, to, first));
    else if (!is_object(to))
        return malformed(m, "items are added to what cannot hold them");
    m->depth = below;
    return CLN_OK;
}

static cln_status do_add(machine *m) {
    size_t first = 0;
    CLN_TRY(top(m, m->parameter == CLN__PICKLED_DICT ? 2 : 1, &first));
    return extend(m, first, 0, (cln__pickled_kind)m->parameter);
}

static cln_status do_add_marked(machine *m) {
    size_t first = 0;
    CLN_TRY(above_mark(m, &first));
    return extend(m, first, 1, (cln__pickled_kind)m->parameter);
}

/* --- stack and memo --- */

static cln_status do_mark(machine *m) {
    return push(m, NULL);
}

static cln_status do_pop(machine *m) {
    if (m->depth == 0)
        return malformed(m, "an operand is missing");
    m->depth--;
    return CLN_OK;
}

static cln_status do_pop_mark(machine *m) {
    size_t first = 0;
    CLN_TRY(above_mark(m, &first));
    m->depth = first - 1;
    return CLN_OK;
}

static cln_status do_duplicate(machine *m) {
    size_t last = 0;
    CLN_TRY(top(m, 1, &last));
    return push(m, m->stack[last]);
}

/* Python numbers its entries from 0, and each takes an instruction, so an index is below the number of bytes so far. */
static cln_status remember(machine *m, uint64_t index) {
    size_t last = 0;
    CLN_TRY(top(m, 1, &last));
    if (index > m->at)
        return malformed(m, "an index of its memo is too large");
    if (index >= m->memo_room && !grow(&m->memo, &m->memo_room, (size_t)index + 1))
        return cln__fail_memory(m->ctx, "the memo of a pickle");
    m->memo_count += !m->memo[index];
    m->memo[index] = m->stack[last];
    return CLN_OK;
}

static cln_status do_put(machine *m) {
    uint64_t index = 0;
    CLN_TRY(take_number(m, m->parameter, &index));
    return remember(m, index);
}

static cln_status do_memoize(machine *m) {
    return remember(m, m->memo_count);
}

static cln_status do_get(machine *m) {
    uint64_t index = 0;
    CLN_TRY(take_number(m, m->parameter, &index));
    if (index >= m->memo_room || !m->memo[index])
        return malformed(m, "its memo has no such entry");
    return push(m, m->memo[index]);
}

/* --- what would run --- */

static cln_status push_global(machine *m, const cln__pickled *module, const cln__pickled *name) {
    if (module->kind != CLN__PICKLED_TEXT || name->kind != CLN__PICKLED_TEXT)
        return malformed(m, "the name of a global is not a text");
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_GLOBAL, .module = module, .name = name});
}

static cln_status do_global(machine *m) {
    cln__pickled *names[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        cln__pickled value = {.kind = CLN__PICKLED_TEXT};
        CLN_TRY(take_line(m, &value.text, &value.length));
        CLN_TRY(push_new(m, value));
        CLN_TRY(pop(m, &names[i]));
    }
    return push_global(m, names[0], names[1]);
}

static cln_status do_stack_global(machine *m) {
    cln__pickled *module = NULL, *name = NULL;
    CLN_TRY(pop(m, &name));
    CLN_TRY(pop(m, &module));
    return push_global(m, module, name);
}

/* The classes of dicts whose arguments say nothing of their items, or are a list of pairs. */
static bool is_dict_class(const cln__pickled *function) {
    return cln__pickled_is_global(function, "collections", "OrderedDict") ||
           cln__pickled_is_global(function, "collections", "defaultdict") ||
           cln__pickled_is_global(function, "builtins", "dict") ||
           cln__pickled_is_global(function, "__builtin__", "dict");
}

/* What is no pair becomes an item without a key: nothing finds it, but it costs memory, which has a limit, as the time
 * of going through one list again and again has none. */
static cln_status push_dict(machine *m, const cln__pickled *arguments) {
    const cln__pickled *list;
    CLN_TRY(push_empty(m, CLN__PICKLED_DICT));
    cln__pickled *dict = m->stack[m->depth - 1];
    if (cln__pickled_items(arguments, &list, 1) != 1 || !cln__pickled_is(list, CLN__PICKLED_LIST))
        return CLN_OK;
    for (const cln__pickled_item *item = list->first; item; item = item->next) {
        const cln__pickled *pair[2] = {NULL, item->value};
        bool is_pair = cln__pickled_items(item->value, pair, 2) == 2;
        CLN_TRY(add(m, dict, is_pair ? pair[0] : NULL, pair[1]));
    }
    return CLN_OK;
}

/* REDUCE and NEWOBJ; with `extra` operands on top that do not matter here (NEWOBJ_EX's named arguments). */
static cln_status do_call(machine *m) {
    int extra = m->parameter;
    cln__pickled *function = NULL, *arguments = NULL;
    for (int i = 0; i < extra; i++)
        CLN_TRY(pop(m, &arguments));
    CLN_TRY(pop(m, &arguments));
    CLN_TRY(pop(m, &function));
    if (is_dict_class(function))
        return push_dict(m, arguments);
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_CALL, .function = function, .arguments = arguments});
}

/* BUILD sets an object's attributes, which nothing here depends on. */
static cln_status do_build(machine *m) {
    size_t first = 0;
    CLN_TRY(top(m, 2, &first));
    m->depth--;
    return CLN_OK;
}

static cln_status do_persistent(machine *m) {
    cln__pickled *id = NULL;
    CLN_TRY(pop(m, &id));
    CLN_TRY(push_new(m, (cln__pickled){.kind = CLN__PICKLED_PERSISTENT, .id = id}));
    return add(m, &m->persistent, NULL, m->stack[m->depth - 1]);
}

/* A code of copyreg's registry, which stands for a global. */
static cln_status do_extension(machine *m) {
    uint64_t code = 0;
    CLN_TRY(take_number(m, m->parameter, &code));
    return push_new(m, (cln__pickled){.kind = CLN__PICKLED_OPAQUE});
}

static cln_status do_stop(machine *m) {
    cln__pickled *root = NULL;
    CLN_TRY(pop(m, &root));
    m->root = root;
    return CLN_OK;
}

/* --- the instructions --- */

static const struct {
    cln_status (*run)(machine *m);
    int parameter; /* bytes of the operand, values taken, or the kind that is made */
} instructions[256] = {
    [0x80] = {do_protocol, 1},                   /* PROTO */
    [0x95] = {do_frame, 8},                      /* FRAME */
    ['.'] = {do_stop, 0},                        /* STOP */
    ['N'] = {do_empty, CLN__PICKLED_NONE},       /* NONE */
    [0x88] = {do_bool, 1},                       /* NEWTRUE */
    [0x89] = {do_bool, 0},                       /* NEWFALSE */
    ['K'] = {do_int, 1},                         /* BININT1 */
    ['M'] = {do_int, 2},                         /* BININT2 */
    ['J'] = {do_int, 4},                         /* BININT */
    [0x8a] = {do_long, 1},                       /* LONG1 */
    [0x8b] = {do_long, 4},                       /* LONG4 */
    ['G'] = {do_float, 8},                       /* BINFLOAT */
    ['U'] = {do_text, 1},                        /* SHORT_BINSTRING: Python 2's str */
    ['T'] = {do_text, 4},                        /* BINSTRING */
    [0x8c] = {do_text, 1},                       /* SHORT_BINUNICODE */
    ['X'] = {do_text, 4},                        /* BINUNICODE */
    [0x8d] = {do_text, 8},                       /* BINUNICODE8 */
    ['C'] = {do_bytes, 1},                       /* SHORT_BINBYTES */
    ['B'] = {do_bytes, 4},                       /* BINBYTES */
    [0x8e] = {do_bytes, 8},                      /* BINBYTES8 */
    [0x96] = {do_bytes, 8},                      /* BYTEARRAY8 */
    [']'] = {do_empty, CLN__PICKLED_LIST},       /* EMPTY_LIST */
    [')'] = {do_empty, CLN__PICKLED_TUPLE},      /* EMPTY_TUPLE */
    ['}'] = {do_empty, CLN__PICKLED_DICT},       /* EMPTY_DICT */
    [0x8f] = {do_empty, CLN__PICKLED_LIST},      /* EMPTY_SET */
    ['l'] = {do_marked, CLN__PICKLED_LIST},      /* LIST */
    ['t'] = {do_marked, CLN__PICKLED_TUPLE},     /* TUPLE */
    ['d'] = {do_marked, CLN__PICKLED_DICT},      /* DICT */
    [0x91] = {do_marked, CLN__PICKLED_LIST},     /* FROZENSET */
    [0x85] = {do_tuple, 1},                      /* TUPLE1 */
    [0x86] = {do_tuple, 2},                      /* TUPLE2 */
    [0x87] = {do_tuple, 3},                      /* TUPLE3 */
    ['a'] = {do_add, CLN__PICKLED_LIST},         /* APPEND */
    ['s'] = {do_add, CLN__PICKLED_DICT},         /* SETITEM */
    ['e'] = {do_add_marked, CLN__PICKLED_LIST},  /* APPENDS */
    ['u'] = {do_add_marked, CLN__PICKLED_DICT},  /* SETITEMS */
    [0x90] = {do_add_marked, CLN__PICKLED_LIST}, /* ADDITEMS */
    ['('] = {do_mark, 0},                        /* MARK */
    ['0'] = {do_pop, 0},                         /* POP */
    ['1'] = {do_pop_mark, 0},                    /* POP_MARK */
    ['2'] = {do_duplicate, 0},                   /* DUP */
    ['q'] = {do_put, 1},                         /* BINPUT */
    ['r'] = {do_put, 4},                         /* LONG_BINPUT */
    [0x94] = {do_memoize, 0},                    /* MEMOIZE */
    ['h'] = {do_get, 1},                         /* BINGET */
    ['j'] = {do_get, 4},                         /* LONG_BINGET */
    ['c'] = {do_global, 0},                      /* GLOBAL */
    [0x93] = {do_stack_global, 0},               /* STACK_GLOBAL */
    ['R'] = {do_call, 0},                        /* REDUCE */
    [0x81] = {do_call, 0},                       /* NEWOBJ */
    [0x92] = {do_call, 1},                       /* NEWOBJ_EX */
    ['b'] = {do_build, 0},                       /* BUILD */
    ['Q'] = {do_persistent, 0},                  /* BINPERSID */
    [0x82] = {do_extension, 1},                  /* EXT1 */
    [0x83] = {do_extension, 2},                  /* EXT2 */
    [0x84] = {do_extension, 4},                  /* EXT4 */
};

static cln_status run(machine *m) {
    while (!m->root) {
        m->opcode_at = m->at;
        const uint8_t *opcode;
        if (!take(m, 1, &opcode))
            return malformed(m, "it is truncated");
        if (!instructions[*opcode].run)
            return malformed(m, "there is an instruction of an unknown kind");
        m->parameter = instructions[*opcode].parameter;
        CLN_TRY(instructions[*opcode].run(m));
    }
    return CLN_OK;
}

cln_status cln__pickle_read(cln_context *ctx, const char *path, cln__arena *arena, const uint8_t *bytes, size_t size,
                            size_t *at, cln__pickle *out) {
    machine m = {.ctx = ctx, .path = path, .arena = arena, .bytes = bytes, .size = size, .at = *at};
    m.persistent.kind = CLN__PICKLED_LIST;
    cln_status status = run(&m);
    free(m.stack);
    free(m.memo);
    *at = m.at;
    *out = (cln__pickle){m.root, m.persistent.first};
    return status;
}
