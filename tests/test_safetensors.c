/* safetensors files: round trips, every element type, and every way to be malformed. */
#include "clnet/safetensors.h"
#include "files.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder, *path;

static void setup(void) {
    folder = folder_new();
    path = path_of(folder, "x.safetensors");
}

static void teardown(void) {
    free(path);
    folder_remove(folder);
}

/* Writes a file of that header (`length` bytes) and `data_size` zeros. */
static void write_raw(const char *header, size_t length, size_t data_size) {
    size_t size = 8 + length + data_size;
    uint8_t *bytes = calloc(size, 1);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    file_write(folder, "x.safetensors", bytes, size);
    free(bytes);
}

static cln_safetensors *read_file(void) {
    cln_safetensors *file = NULL;
    cln_status status = cln_safetensors_read(ctx, path, &file);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    return file;
}

static void expect_bad_bytes(const char *header, size_t length, size_t data_size, const char *message) {
    write_raw(header, length, data_size);
    cln_safetensors *file = NULL;
    cln_status status = cln_safetensors_read(ctx, path, &file);
    ck_assert_msg(status == CLN_INVALID_FILE, "%s: taken, expected: %s", header, message);
    ck_assert_ptr_null(file);
    expect_message(message);
}

static void expect_bad(const char *header, size_t data_size, const char *message) {
    expect_bad_bytes(header, strlen(header), data_size, message);
}

#define ENTRY(name, dtype, shape, begin, end)                                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

START_TEST(round_trip) {
    const float a[6] = {1, -2, 3.5f, 0, INFINITY, 1e-40f};
    const uint8_t b[3] = {1, 2, 255};
    const int64_t c = INT64_MIN + 5;
    const char *odd = "tab\there \"quoted\" \\ \x01 \xc3\xa9 \xf0\x9f\x99\x82";
    const cln_file_tensor tensors[] = {
        {"z.weight", CLN_F32, 2, {2, 3}, 6, a}, {"bytes", CLN_U8, 1, {3}, 3, b}, {"scalar", CLN_I64, 0, {0}, 1, &c},
        {"empty", CLN_F32, 2, {0, 7}, 0, NULL}, {"", CLN_I8, 1, {1}, 1, b},
    };
    const cln_metadata metadata[] = {{"kind", "op"}, {"attrs", "{\"in\": 3}"}, {odd, odd}, {"empty", ""}};
    ck_assert_int_eq(cln_safetensors_write(ctx, path, tensors, 5, metadata, 4), CLN_OK);
    cln_safetensors *file = read_file();
    ck_assert_uint_eq(cln_safetensors_count(file), 5);
    for (size_t i = 0; i < 5; i++) {
        const cln_file_tensor *t = cln_safetensors_at(file, i);
        ck_assert_str_eq(t->name, tensors[i].name);
        ck_assert_int_eq(t->dtype, tensors[i].dtype);
        ck_assert_int_eq(t->rank, tensors[i].rank);
        ck_assert_int_eq(t->count, tensors[i].count);
        ck_assert_mem_eq(t->shape, tensors[i].shape, (size_t)t->rank * sizeof *t->shape);
        if (t->count > 0)
            ck_assert_mem_eq(t->data, tensors[i].data, (size_t)t->count * cln_dtype_size(t->dtype));
        ck_assert_ptr_eq(cln_safetensors_find(file, t->name), t);
    }
    ck_assert_ptr_null(cln_safetensors_at(file, 5));
    ck_assert_ptr_null(cln_safetensors_find(file, "Z.weight"));
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(cln_safetensors_metadata(file, metadata[i].key), metadata[i].value);
    ck_assert_ptr_null(cln_safetensors_metadata(file, "Kind"));
    cln_safetensors_free(file);
    cln_safetensors_free(NULL);
}
END_TEST

START_TEST(header_is_padded_and_repeatable) {
    const float a[2] = {1, 2};
    cln_file_tensor tensor = {"x", CLN_F32, 1, {2}, 2, a};
    char names[9][10];
    char *again = path_of(folder, "again");
    for (int i = 1; i < 9; i++) {
        memset(names[i], 'n', sizeof names[i]);
        names[i][i] = '\0';
        tensor.name = names[i];
        ck_assert_int_eq(cln_safetensors_write(ctx, path, &tensor, 1, NULL, 0), CLN_OK);
        ck_assert_int_eq(cln_safetensors_write(ctx, again, &tensor, 1, NULL, 0), CLN_OK);
        char one[256], two[256];
        FILE *f = fopen(path, "rb"), *g = fopen(again, "rb");
        ck_assert(f && g);
        size_t size = fread(one, 1, sizeof one, f);
        ck_assert_uint_eq(fread(two, 1, sizeof two, g), size);
        ck_assert_mem_eq(one, two, size);
        ck_assert_uint_eq(size % 8, 0);
        ck_assert_int_eq(one[8], '{');
        fclose(f);
        fclose(g);
        cln_safetensors *file = read_file();
        ck_assert_ptr_null(cln_safetensors_metadata(file, "x"));
        cln_safetensors_free(file);
    }
    ck_assert_int_eq(folder_count(folder), 2);
    free(again);
}
END_TEST

START_TEST(accepted_headers) {
    static const struct {
        const char *header;
        size_t data_size, count;
    } good[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{ \n\t\r\"__metadata__\" : { } }", 0, 0},
        /* Order in the file is free, and so is alignment. */
        {"{" ENTRY("b", "F32", "1", 3, 7) "," ENTRY("a", "U8", "3", 0, 3) "}", 7, 2},
        {"{" ENTRY("b", "F32", "2,0", 3, 3) "," ENTRY("a", "U8", "3", 0, 3) "," ENTRY("c", "U8", "0", 0, 0) "}", 3, 3},
        {"{" ENTRY("a", "BOOL", "1,1,1,1,1,1,1,2", 0, 2) "}", 2, 1},
        {"{" ENTRY("\\u00e9\\ud83d\\ude42", "I16", "", 0, 2) "}", 2, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_raw(good[i].header, strlen(good[i].header), good[i].data_size);
        cln_safetensors *file = read_file();
        ck_assert_uint_eq(cln_safetensors_count(file), good[i].count);
        cln_safetensors_free(file);
    }
}
END_TEST

static void expect_floats(cln_dtype dtype, const void *data, const float *wanted, int count) {
    cln_file_tensor t = {"x", dtype, 1, {count}, count, data};
    float out[16];
    cln_file_tensor_to_float(&t, out);
    for (int i = 0; i < count; i++)
        ck_assert_msg(memcmp(&out[i], &wanted[i], sizeof *out) == 0 || (isnan(out[i]) && isnan(wanted[i])),
                      "%s element %d is %a, expected %a", cln_dtype_name(dtype), i, (double)out[i], (double)wanted[i]);
}

static void expect_integers(cln_dtype dtype, const void *data, const int64_t *wanted, int count) {
    cln_file_tensor t = {"x", dtype, 1, {count}, count, data};
    int64_t out[16];
    cln_file_tensor_to_int64(&t, out);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(out[i], wanted[i]);
}

START_TEST(types_to_float) {
    /* 1, -2, largest, smallest normal, smallest and largest subnormal, -0, infinities, not a number. */
    const uint8_t half[] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x00, 0x04, 0x01, 0x00,
                            0xff, 0x83, 0x00, 0x80, 0x00, 0x7c, 0x00, 0xfc, 0x01, 0x7e};
    expect_floats(CLN_F16, half,
                  (float[]){1, -2, 65504, 0x1p-14f, 0x1p-24f, -1023 * 0x1p-24f, -0.0f, INFINITY, -INFINITY, NAN}, 10);
    const uint8_t brain[] = {0x80, 0x3f, 0x49, 0xc0, 0x01, 0x00, 0x80, 0x7f, 0xc0, 0x7f};
    expect_floats(CLN_BF16, brain, (float[]){1, -3.140625f, 0x1p-133f, INFINITY, NAN}, 5);
    const double wide[] = {0.1,       1e-45,       1e-300,          -0.0,           1e300,
                           -INFINITY, (double)NAN, 0x1.fffffefp127, 0x1.ffffffp127, -0x1.ffffffp127};
    expect_floats(CLN_F64, wide,
                  (float[]){0.1f, 0x1p-149f, 0, -0.0f, INFINITY, -INFINITY, NAN, 0x1.fffffep127f, INFINITY, -INFINITY},
                  10);
    /* At an odd address. */
    uint8_t odd[1 + 3 * sizeof(float)];
    const float floats[3] = {1e-45f, -INFINITY, 3.25f};
    memcpy(odd + 1, floats, sizeof floats);
    expect_floats(CLN_F32, odd + 1, floats, 3);
    expect_floats(CLN_I64, (int64_t[]){-1, INT64_MAX}, (float[]){-1, 0x1p63f}, 2);
    expect_floats(CLN_I32, (int32_t[]){INT32_MIN, 7}, (float[]){-0x1p31f, 7}, 2);
    expect_floats(CLN_I16, (int16_t[]){-32768, 32767}, (float[]){-32768, 32767}, 2);
    expect_floats(CLN_I8, (int8_t[]){-128, 127}, (float[]){-128, 127}, 2);
    expect_floats(CLN_U8, (uint8_t[]){0, 255}, (float[]){0, 255}, 2);
    expect_floats(CLN_BOOL, (uint8_t[]){0, 1, 2}, (float[]){0, 1, 1}, 3);
}
END_TEST

START_TEST(types_to_integer) {
    expect_integers(CLN_I64, (int64_t[]){INT64_MIN, -1, INT64_MAX}, (int64_t[]){INT64_MIN, -1, INT64_MAX}, 3);
    expect_integers(CLN_I32, (int32_t[]){INT32_MIN, INT32_MAX}, (int64_t[]){INT32_MIN, INT32_MAX}, 2);
    expect_integers(CLN_I16, (int16_t[]){-32768, 5}, (int64_t[]){-32768, 5}, 2);
    expect_integers(CLN_I8, (int8_t[]){-128, 127}, (int64_t[]){-128, 127}, 2);
    expect_integers(CLN_U8, (uint8_t[]){200}, (int64_t[]){200}, 1);
    expect_integers(CLN_BOOL, (uint8_t[]){0, 3}, (int64_t[]){0, 1}, 2);
    expect_integers(CLN_F32, (float[]){-1.75f, 2.75f, INFINITY, -INFINITY, NAN, 0x1p63f, -0x1p63f},
                    (int64_t[]){-1, 2, INT64_MAX, INT64_MIN, 0, INT64_MAX, INT64_MIN}, 7);
    expect_integers(CLN_F16, (uint8_t[]){0xff, 0x7b}, (int64_t[]){65504}, 1);
}
END_TEST

static uint16_t stored(float value, cln_dtype dtype) {
    uint8_t bytes[2];
    cln_floats_to_dtype(&value, 1, dtype, bytes);
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static float loaded(uint16_t bits, cln_dtype dtype) {
    const uint8_t bytes[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
    const cln_file_tensor t = {.name = "x", .dtype = dtype, .rank = 1, .shape = {1}, .count = 1, .data = bytes};
    float value;
    cln_file_tensor_to_float(&t, &value);
    return value;
}

/* Every number of 16 bits comes back, and what lies between two neighbours goes to the nearer one, from the middle to
 * the even one. */
START_TEST(rounding_to_16_bits) {
    static const cln_dtype dtypes[] = {CLN_F16, CLN_BF16};
    static const unsigned infinity[] = {0x7c00, 0x7f80};
    cln_dtype dtype = dtypes[_i];
    int wrong = 0;
    for (unsigned bits = 0; bits < infinity[_i]; bits++) {
        float low = loaded((uint16_t)bits, dtype), high = loaded((uint16_t)(bits + 1), dtype);
        /* Beyond the largest one rounding goes as if there were another. */
        double next = isinf(high) ? 2 * (double)low - (double)loaded((uint16_t)(bits - 1), dtype) : (double)high;
        float middle = (float)(((double)low + next) / 2);
        unsigned even = bits % 2 == 0 ? bits : bits + 1;
        wrong += stored(low, dtype) != bits;
        wrong += stored(-low, dtype) != (bits | 0x8000);
        wrong += stored(middle, dtype) != even;
        wrong += stored(-middle, dtype) != (even | 0x8000);
        wrong += stored(nextafterf(middle, 0), dtype) != bits;
        wrong += stored(nextafterf(middle, INFINITY), dtype) != bits + 1;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_uint_eq(stored(INFINITY, dtype), infinity[_i]);
    ck_assert_uint_eq(stored(-INFINITY, dtype), infinity[_i] | 0x8000);
    ck_assert(isnan(loaded(stored(NAN, dtype), dtype)));
    /* As PyTorch 2.13 has them: torch.tensor(x).to(dtype).view(torch.int16). */
    static const float values[] = {0.1f, -3.14159f, 65519.996f, 65520, 1e-5f, 2.9802322e-8f, 3e-8f, 3.4e38f};
    static const uint16_t expected[2][8] = {{0x2e66, 0xc248, 0x7bff, 0x7c00, 0x00a8, 0x0000, 0x0001, 0x7c00},
                                            {0x3dcd, 0xc049, 0x4780, 0x4780, 0x3728, 0x3300, 0x3301, 0x7f80}};
    for (int i = 0; i < 8; i++)
        ck_assert_msg(stored(values[i], dtype) == expected[_i][i], "%g: 0x%04x, expected 0x%04x", (double)values[i],
                      stored(values[i], dtype), expected[_i][i]);
}
END_TEST

START_TEST(type_names) {
    static const char *const names[CLN_DTYPE_COUNT] = {"F32", "F64", "F16", "BF16", "I64",
                                                       "I32", "I16", "I8",  "U8",   "BOOL"};
    static const size_t sizes[CLN_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 2, 1, 1, 1};
    for (int i = 0; i < CLN_DTYPE_COUNT; i++) {
        ck_assert_str_eq(cln_dtype_name((cln_dtype)i), names[i]);
        ck_assert_uint_eq(cln_dtype_size((cln_dtype)i), sizes[i]);
    }
    ck_assert_uint_eq(cln_dtype_size(CLN_DTYPE_COUNT), 0);
}
END_TEST

static void expect_bad_file(const void *bytes, size_t size, const char *message) {
    file_write(folder, "x.safetensors", bytes, size);
    cln_safetensors *file;
    ck_assert_int_eq(cln_safetensors_read(ctx, path, &file), CLN_INVALID_FILE);
    ck_assert_ptr_null(file);
    expect_message(message);
}

START_TEST(bad_lengths) {
    cln_safetensors *file;
    ck_assert_int_eq(cln_safetensors_read(ctx, path, &file), CLN_IO);
    expect_message("No such file or directory");
    ck_assert_int_eq(cln_safetensors_read(ctx, folder, &file), CLN_IO);
    expect_message("is a folder");
    expect_bad_file("", 0, "it has 0 bytes, fewer than the 8");
    expect_bad_file("\2\0\0\0\0\0\0", 7, "it has 7 bytes, fewer than the 8");
    expect_bad_file("\3\0\0\0\0\0\0\0{}", 10, "the header should have 3 bytes, the file has 2 after");
    expect_bad_file("\0\0\0\0\0\0\0\0", 8, "byte 0 of the header has not the '{'");
    expect_bad_file("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10,
                    "its header length reads 18446744073709551615, the most is");
    expect_bad_file("\x01\xe1\xf5\x05\0\0\0\0{}", 10, "its header length reads 100000001, the most is 100000000");
    expect_bad_file("\x00\xe1\xf5\x05\0\0\0\0{}", 10, "is truncated");
}
END_TEST

START_TEST(bad_json) {
    expect_bad(" {}", 0, "byte 0 of the header has not the '{'");
    expect_bad("[]", 0, "not the '{'");
    expect_bad("\xef\xbb\xbf{}", 0, "not the '{'");
    expect_bad("{", 0, "its end, before the last object is closed");
    expect_bad("{\"a", 0, "a string without an end");
    expect_bad("{\"a\\", 0, "an invalid escape");
    expect_bad("{}{}", 0, "something other than spaces behind");
    expect_bad("{}\n", 0, "byte 2 of the header has something other than spaces behind");
    expect_bad_bytes("{}\0", 3, 0, "something other than spaces behind");
    expect_bad_bytes("{\0}", 3, 0, "something other than objects, arrays, strings and whole numbers");
    expect_bad("{]", 0, "cannot be parsed");
    expect_bad("{\"a\"}", 0, "cannot be parsed");
    expect_bad("{\"a\":}", 0, "cannot be parsed");
    expect_bad("{" ENTRY("a", "U8", "1", 0, 1) ",}", 1, "cannot be parsed");
    expect_bad("{" ENTRY("a", "U8", "1,", 0, 1) "}", 1, "cannot be parsed");
    expect_bad("{a:1}", 0, "something other than objects");
    expect_bad("{\"a\":null}", 0, "something other than objects");
    expect_bad("{\"a\":{\"b\":true}}", 0, "something other than objects");
    expect_bad("{\"a\":{\"b\":[[0]]}}", 0, "an object or array where none belongs");
    expect_bad("{\"a\":{\"b\":{}}}", 0, "an object or array where none belongs");
    expect_bad("{\"a\":[0]}", 0, "an object or array where none belongs");
}
END_TEST

START_TEST(bad_strings) {
    expect_bad("{" ENTRY("a\\u0000b", "U8", "1", 0, 1) "}", 1, "a NUL character in a string");
    expect_bad_bytes("{\"a\0b\":{}}", 10, 0, "a control character in a string");
    expect_bad("{\"a\nb\":{}}", 0, "a control character in a string");
    expect_bad("{\"a\\x\":{}}", 0, "an invalid escape");
    expect_bad("{\"a\\u12g4\":{}}", 0, "an invalid escape");
    expect_bad("{\"a\\u12", 0, "an invalid escape");
    expect_bad("{\"\\ud800\":{}}", 0, "cannot be parsed");
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc3(",
                                      "\xc0\x80",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"%s\":{}}", bad[i]);
        expect_bad(header, 0, "invalid UTF-8 in a string");
    }
}
END_TEST

START_TEST(bad_numbers) {
    static const char *const bad[] = {"-1", "1.0", "1e0", "01", "00", "+1", ".5", "12345678901234567", "1-", "1E2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char header[128];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,1]}}", bad[i]);
        expect_bad(header, 1, "a number that is not a whole number below 2^53");
    }
    expect_bad("{" ENTRY("a", "U8", "9007199254740992", 0, 1) "}", 1,
               "its shape is not an array of at most 8 whole numbers below 2^53");
    expect_bad("{" ENTRY("a", "U8", "\"1\"", 0, 1) "}", 1, "its shape is not an array of at most 8 whole numbers");
    expect_bad("{" ENTRY("a", "U8", "1,1,1,1,1,1,1,1,1", 0, 1) "}", 1, "an array of more than 8 numbers");
}
END_TEST

START_TEST(bad_entries) {
    expect_bad("{\"a\":1}", 0, "tensor 'a': its entry is not an object");
    expect_bad("{\"a\":\"b\"}", 0, "tensor 'a': its entry is not an object");
    expect_bad("{\"a\":{}}", 0, "its entry lacks 'dtype'");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "its entry lacks 'data_offsets'");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
               "duplicate key 'dtype'");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"Shape\":[1],\"data_offsets\":[0,1]}}", 1, "unknown key 'Shape'");
    expect_bad("{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "its dtype is not a string");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, "its shape is not an array");
    expect_bad("{" ENTRY("a", "F128", "1", 0, 1) "}", 1, "dtype 'F128' is none of F32, F64");
    expect_bad("{" ENTRY("a", "f32", "1", 0, 4) "}", 4, "dtype 'f32' is none of");
    expect_bad("{" ENTRY("a", "U8", "4294967296,4294967296", 0, 1) "}", 1, "the product of its shape is too large");
    expect_bad("{" ENTRY("a", "F64", "2305843009213693952", 0, 0) "}", 0, "whole number below 2^53");
    expect_bad("{" ENTRY("a", "F64", "4503599627370496,512", 0, 0) "}", 0, "the product of its shape is too large");
}
END_TEST

START_TEST(bad_places) {
    expect_bad("{" ENTRY("a", "U8", "1", 1, 0) "}", 1, "data_offsets are not two whole numbers [begin, end]");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "data_offsets are not two");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "data_offsets are not two");
    expect_bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":\"01\"}}", 1, "data_offsets are not two");
    expect_bad("{" ENTRY("a", "F32", "2", 0, 8) "}", 7, "data_offsets [0, 8] reach beyond the 7 bytes of data");
    expect_bad("{" ENTRY("a", "U8", "1", 0, 9007199254740991) "}", 7, "reach beyond the 7 bytes of data");
    expect_bad("{" ENTRY("a", "F32", "2", 0, 7) "}", 7, "its shape needs 8 bytes of F32, its data_offsets give 7");
    expect_bad("{" ENTRY("a", "U8", "2", 0, 2) "," ENTRY("b", "U8", "2", 1, 3) "}", 3,
               "tensor 'b': its data begins at 1, overlapping the tensor before it, which ends at 2");
    expect_bad("{" ENTRY("a", "U8", "2", 0, 2) "," ENTRY("b", "U8", "2", 3, 5) "}", 5,
               "tensor 'b': its data begins at 3, leaving a hole behind the tensor before it, which ends at 2");
    expect_bad("{" ENTRY("a", "U8", "2", 1, 3) "}", 3, "tensor 'a': its data begins at 1, leaving a hole");
    expect_bad("{" ENTRY("a", "U8", "2", 0, 2) "}", 3, "it has 3 bytes of data, its tensors fill 2");
    expect_bad("{}", 1, "it has 1 bytes of data, its tensors fill 0");
    expect_bad("{" ENTRY("a", "U8", "3", 0, 3) "," ENTRY("e", "U8", "0", 1, 1) "}", 3, "overlapping");
}
END_TEST

START_TEST(bad_names_and_metadata) {
    expect_bad("{" ENTRY("a", "U8", "1", 0, 1) "," ENTRY("a", "U8", "1", 1, 2) "}", 2,
               "tensor 'a': the header names it twice");
    expect_bad("{" ENTRY("a", "U8", "1", 0, 1) "," ENTRY("\\u0061", "U8", "1", 1, 2) "}", 2, "names it twice");
    expect_bad("{\"__metadata__\":{\"k\":1}}", 0, "metadata holds something other than a string at key 'k'");
    expect_bad("{\"__metadata__\":{\"k\":[]}}", 0, "metadata holds something other than a string at key 'k'");
    expect_bad("{\"__metadata__\":\"x\"}", 0, "not an object: '__metadata__'");
    expect_bad("{\"__metadata__\":{\"k\":\"1\",\"j\":\"\",\"k\":\"2\"}}", 0, "metadata has twice the key 'k'");
    expect_bad("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "more than one '__metadata__'");
}
END_TEST

START_TEST(hostile_member_count) {
    size_t members = 400001, length = members * 5 + 1;
    char *header = malloc(length + 1);
    ck_assert_ptr_nonnull(header);
    header[0] = '{';
    for (size_t i = 0; i < members; i++)
        memcpy(header + 1 + 5 * i, "\"\":0,", 5);
    header[length - 1] = '}';
    header[length] = '\0';
    expect_bad_bytes(header, length, 0, "more than 400000 members");
    free(header);
}
END_TEST

/* A valid file, each byte of it in turn replaced by some others: no crash, whatever the verdict. */
START_TEST(any_byte_may_be_wrong) {
    static const uint8_t values[] = {0, '"', '\\', '{', ']', ',', '9', 'u', ' ', 0x80, 0xff};
    const char *header =
        "{\"__metadata__\":{\"k\":\"\\u00e9\"}," ENTRY("b", "F32", "1", 3, 7) "," ENTRY("a", "U8", "3", 0, 3) "}";
    size_t length = strlen(header);
    char *copy = malloc(length);
    ck_assert_ptr_nonnull(copy);
    for (size_t i = 0; i < length; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            memcpy(copy, header, length);
            copy[i] = (char)values[v];
            write_raw(copy, length, 7);
            cln_safetensors *file;
            if (cln_safetensors_read(ctx, path, &file) == CLN_OK)
                cln_safetensors_free(file);
        }
    free(copy);
}
END_TEST

static void expect_write_failure(const cln_file_tensor *tensors, size_t count, const cln_metadata *metadata,
                                 size_t metadata_count, const char *message) {
    ck_assert_int_eq(cln_safetensors_write(ctx, path, tensors, count, metadata, metadata_count), CLN_INVALID_ARGUMENT);
    expect_message(message);
    ck_assert_int_eq(folder_count(folder), 0);
}

START_TEST(bad_writes) {
    const float x[2] = {1, 2};
    cln_file_tensor t[2] = {{"x", CLN_F32, 1, {2}, 2, x}, {"x", CLN_F32, 1, {2}, 2, x}};
    expect_write_failure(t, 2, NULL, 0, "'x' is named twice");
    t[0].count = 3;
    expect_write_failure(t, 1, NULL, 0, "a shape that does not give its count of 3");
    t[0].count = 2;
    t[0].name = "__metadata__";
    expect_write_failure(t, 1, NULL, 0, "a tensor's name is not UTF-8 or is '__metadata__'");
    t[0].name = "\xff";
    expect_write_failure(t, 1, NULL, 0, "a tensor's name is not UTF-8");
    t[0].name = NULL;
    expect_write_failure(t, 1, NULL, 0, "a tensor's name is not UTF-8");
    t[0].name = "y";
    t[0].data = NULL;
    expect_write_failure(t, 1, NULL, 0, "no data");
    t[1].rank = 9;
    expect_write_failure(t + 1, 1, NULL, 0, "more than 8 axes");
    const cln_metadata bad = {"k", "\xc3"}, twice[2] = {{"k", "1"}, {"k", "2"}};
    expect_write_failure(NULL, 0, &bad, 1, "its metadata is not UTF-8");
    expect_write_failure(NULL, 0, twice, 2, "'k' is named twice");
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file) {
    static float data[4096];
    const cln_file_tensor small = {"old", CLN_F32, 1, {1}, 1, data}, large = {"new", CLN_F32, 1, {4096}, 4096, data};
    ck_assert_int_eq(cln_safetensors_write(ctx, path, &small, 1, NULL, 0), CLN_OK);
    file_limit(4096);
    cln_status status = cln_safetensors_write(ctx, path, &large, 1, NULL, 0);
    file_limit(0);
    ck_assert_int_eq(status, CLN_IO);
    expect_message("File too large");
    ck_assert_int_eq(folder_count(folder), 1);
    cln_safetensors *file = read_file();
    ck_assert_ptr_nonnull(cln_safetensors_find(file, "old"));
    cln_safetensors_free(file);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, header_is_padded_and_repeatable);
    tcase_add_test(tests, accepted_headers);
    tcase_add_test(tests, types_to_float);
    tcase_add_test(tests, types_to_integer);
    tcase_add_loop_test(tests, rounding_to_16_bits, 0, 2);
    tcase_add_test(tests, type_names);
    tcase_add_test(tests, bad_lengths);
    tcase_add_test(tests, bad_json);
    tcase_add_test(tests, bad_strings);
    tcase_add_test(tests, bad_numbers);
    tcase_add_test(tests, bad_entries);
    tcase_add_test(tests, bad_places);
    tcase_add_test(tests, bad_names_and_metadata);
    tcase_add_test(tests, hostile_member_count);
    tcase_add_test(tests, any_byte_may_be_wrong);
    tcase_add_test(tests, bad_writes);
    tcase_add_test(tests, a_failed_write_leaves_the_old_file);
}

int main(void) {
    return suite_run("safetensors", add_tests);
}
