/* See torch_maker.h. */
#include "torch_maker.h"
#include "../src/io/weights_read.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void bytes_add(bytes *b, const void *more, size_t size) {
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->at = realloc(b->at, b->room);
        ck_assert_ptr_nonnull(b->at);
    }
    if (size > 0)
        memcpy(b->at + b->size, more, size);
    b->size += size;
}

void bytes_add_number(bytes *b, uint64_t value, int width) {
    for (int i = 0; i < width; i++)
        bytes_add(b, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

void bytes_free(bytes *b) {
    free(b->at);
    *b = (bytes){NULL, 0, 0};
}

/* --- pickles --- */

static void add_text(bytes *b, const char *text, size_t length) {
    bytes_add(b, "X", 1);
    bytes_add_number(b, length, 4);
    bytes_add(b, text, length);
}

static void add_int(bytes *b, int64_t value) {
    if (value >= 0 && value < 256) {
        bytes_add(b, "K", 1);
        bytes_add_number(b, (uint64_t)value, 1);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        bytes_add(b, "J", 1);
        bytes_add_number(b, (uint64_t)value, 4);
    } else {
        bytes_add(b, "\x8a\x08", 2);
        bytes_add_number(b, (uint64_t)value, 8);
    }
}

static void add_float(bytes *b, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bytes_add(b, "G", 1);
    for (int i = 7; i >= 0; i--)
        bytes_add_number(b, bits >> (8 * i), 1);
}

static void add_global(bytes *b, const char *module, const char *name) {
    char text[256];
    int length = snprintf(text, sizeof text, "c%s\n%s\n", module, name);
    bytes_add(b, text, (size_t)length);
}

/* "2,3" as a tuple; "" is one, too. */
static void add_sizes(bytes *b, const char *list) {
    bytes_add(b, "(", 1);
    while (*list) {
        char *end;
        add_int(b, strtoll(list, &end, 10));
        list = *end == ',' ? end + 1 : end;
    }
    bytes_add(b, "t", 1);
}

/* "key:12:Float" */
static void add_storage(bytes *b, const char *word) {
    char key[64], type[64], storage[80];
    long long count;
    ck_assert_int_eq(sscanf(word, "%63[^:]:%lld:%63[A-Za-z0-9]", key, &count, type), 3);
    snprintf(storage, sizeof storage, "%sStorage", type);
    bytes_add(b, "(", 1);
    add_text(b, "storage", 7);
    add_global(b, "torch", storage);
    add_text(b, key, strlen(key));
    add_text(b, "cuda:0", 6);
    add_int(b, count);
    bytes_add(b, "NtQ", 3);
}

/* "key:12:Float@4:2,3:3,1" */
static void add_tensor(bytes *b, const char *word) {
    char sizes[256] = "", *end;
    const char *at = strchr(word, '@');
    ck_assert_ptr_nonnull(at);
    add_global(b, "torch._utils", "_rebuild_tensor_v2");
    bytes_add(b, "(", 1);
    add_storage(b, word);
    add_int(b, strtoll(at + 1, &end, 10));
    ck_assert_int_eq(*end, ':');
    strncpy(sizes, end + 1, sizeof sizes - 1);
    char *strides = strchr(sizes, ':');
    ck_assert_ptr_nonnull(strides);
    *strides = '\0';
    add_sizes(b, sizes);
    add_sizes(b, strides + 1);
    bytes_add(b, "\x89", 1);
    add_global(b, "collections", "OrderedDict");
    bytes_add(b, ")RtR", 4);
}

static void add_word(bytes *b, const char *word) {
    char *colon = strchr(word, ':');
    switch (word[0]) {
    case '\'':
        add_text(b, word + 1, strlen(word + 1));
        break;
    case '#':
        add_int(b, strtoll(word + 1, NULL, 10));
        break;
    case '%':
        add_float(b, strtod(word + 1, NULL));
        break;
    case '/':
        ck_assert_ptr_nonnull(colon);
        *colon = '\0';
        add_global(b, word + 1, colon + 1);
        break;
    case '$':
        add_storage(b, word + 1);
        break;
    case '~':
        add_tensor(b, word + 1);
        break;
    case '\\':
        bytes_add_number(b, strtoul(word + 1, NULL, 16), 1);
        break;
    default:
        bytes_add(b, word, 1);
        if (word[1])
            bytes_add_number(b, strtoul(word + 1, NULL, 10), 1);
    }
}

void pickle_add(bytes *b, const char *program) {
    bytes_add(b, "\x80\x02", 2);
    while (*program) {
        char word[2048];
        size_t length = 0; /* not by strcspn: a sanitizer looks at all that is left for each word */
        while (program[length] && program[length] != ' ')
            length++;
        ck_assert_uint_lt(length, sizeof word);
        memcpy(word, program, length);
        word[length] = '\0';
        if (length > 0)
            add_word(b, word);
        program += length + (program[length] == ' ');
    }
}

/* --- containers --- */

void legacy_add(bytes *b, const char *object, const char *keys) {
    bytes_add(b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    pickle_add(b, "#1001 .");
    pickle_add(b, "} ( 'protocol_version #1001 'little_endian \\88 u .");
    pickle_add(b, object);
    pickle_add(b, keys);
}

static size_t deflate_all(const member *m, uint8_t *out, size_t room) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)m->data, .avail_in = (uInt)m->size};
    z.next_out = out;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    ck_assert_int_eq(deflateEnd(&z), Z_OK);
    return z.total_out;
}

/* What the local and the central header of a member have in common: version needed to name's length. */
static void add_common(bytes *b, const member *m, size_t stored) {
    bytes_add_number(b, 20, 2);
    bytes_add_number(b, m->flags, 2);
    bytes_add_number(b, (uint64_t)((m->deflated ? 8 : 0) + m->method_error), 2);
    bytes_add_number(b, 0x00210000, 4); /* 1980-01-01 */
    bytes_add_number(b, crc32(0, m->data, (uInt)m->size) + (uint64_t)m->crc_error, 4);
    bytes_add_number(b, stored + (uint64_t)m->stored_error, 4);
    bytes_add_number(b, m->size + (uint64_t)m->size_error, 4);
    bytes_add_number(b, strlen(m->name), 2);
    bytes_add_number(b, 0, 2);
}

void zip_add(bytes *b, const member *members, int count) {
    bytes central = {NULL, 0, 0};
    for (int i = 0; i < count; i++) {
        const member *m = &members[i];
        size_t room = m->size + 64, offset = b->size, stored = m->size;
        uint8_t *packed = malloc(room);
        ck_assert_ptr_nonnull(packed);
        if (m->deflated)
            stored = deflate_all(m, packed, room);
        bytes_add(b, "PK\3\4", 4);
        add_common(b, m, stored);
        bytes_add(b, m->name, strlen(m->name));
        bytes_add(b, m->deflated ? packed : m->data, stored);
        free(packed);
        bytes_add(&central, "PK\1\2\x14\0", 6);
        add_common(&central, m, stored);
        bytes_add(&central, "\0\0\0\0\0\0\0\0\0\0", 10); /* comment, disk, attributes */
        bytes_add_number(&central, offset + (uint64_t)m->offset_error, 4);
        bytes_add(&central, m->name, strlen(m->name));
    }
    size_t offset = b->size;
    bytes_add(b, central.at, central.size);
    bytes_add(b, "PK\5\6\0\0\0\0", 8);
    bytes_add_number(b, (uint64_t)count, 2);
    bytes_add_number(b, (uint64_t)count, 2);
    bytes_add_number(b, central.size, 4);
    bytes_add_number(b, offset, 4);
    bytes_add_number(b, 0, 2);
    bytes_free(&central);
}

/* --- whole files --- */

const float storage_values[STORAGE_ELEMENTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

cln_status read_bytes(const bytes *b, cln_weights_file **out) {
    uint8_t *copy = malloc(b->size ? b->size : 1); /* of the exact size, so that the sanitizers see what lies beyond */
    ck_assert_ptr_nonnull(copy);
    if (b->size > 0)
        memcpy(copy, b->at, b->size);
    return cln__weights_file_take(ctx, "x.ckpt", copy, b->size, out);
}

bytes legacy_file(const char *object) {
    bytes b = {NULL, 0, 0};
    legacy_add(&b, object, "] '0 a .");
    bytes_add_number(&b, STORAGE_ELEMENTS, 8);
    bytes_add(&b, storage_values, sizeof storage_values);
    return b;
}

bytes zip_file(const char *object) {
    bytes b = {NULL, 0, 0}, pickle = {NULL, 0, 0};
    pickle_add(&pickle, object);
    const member members[] = {
        {.name = "net/data.pkl", .data = pickle.at, .size = pickle.size},
        {.name = "net/byteorder", .data = "little", .size = 6},
        {.name = "net/data/0", .data = storage_values, .size = sizeof storage_values},
        {.name = "net/version", .data = "3\n", .size = 2},
    };
    zip_add(&b, members, 4);
    bytes_free(&pickle);
    return b;
}

bytes (*const containers[2])(const char *object) = {legacy_file, zip_file};

cln_weights_file *read_object(int container, const char *object) {
    bytes b = containers[container](object);
    cln_weights_file *file;
    ok(read_bytes(&b, &file));
    bytes_free(&b);
    return file;
}

void expect_bad_bytes(const bytes *b, cln_status expected, const char *message) {
    cln_weights_file *file;
    cln_status status = read_bytes(b, &file);
    ck_assert_msg(status == expected, "status %d, expected %d (%s): %s", (int)status, (int)expected, message,
                  cln_context_error(ctx));
    ck_assert_ptr_null(file);
    expect_message(message);
}

void expect_bad(const char *object, cln_status expected, const char *message) {
    for (int i = 0; i < 2; i++) {
        bytes b = containers[i](object);
        expect_bad_bytes(&b, expected, message);
        bytes_free(&b);
    }
}
