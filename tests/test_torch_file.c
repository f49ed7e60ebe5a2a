/* PyTorch checkpoints made by hand: what a pickle may contain, tensors and storages, both containers. */
#include "../src/io/pickle.h"
#include "suite.h"
#include "torch_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cln_file_tensor *expect_tensor(const cln_weights_file *file, const char *name, int count,
                                            const float *expected) {
    float found[STORAGE_ELEMENTS];
    const cln_file_tensor *t = cln_weights_file_find(file, name);
    ck_assert_msg(t != NULL, "no tensor '%s'", name);
    ck_assert_int_eq(t->count, count);
    cln_file_tensor_to_float(t, found);
    for (int i = 0; i < count; i++)
        ck_assert_msg(found[i] == expected[i], "%s[%d] is %g, expected %g", name, i, (double)found[i],
                      (double)expected[i]);
    return t;
}

/* --- what is read --- */

START_TEST(tensors_of_a_state_dict) {
    cln_weights_file *file = read_object(_i, "/collections:OrderedDict ) R ( "
                                             "'whole ~0:12:Float@0:3,4:4,1 "
                                             "'part ~0:12:Float@5:2:1 "
                                             "'transposed ~0:12:Float@1:2,3:1,4 "
                                             "'repeated ~0:12:Float@7:3:0 "
                                             "'scalar ~0:12:Float@11:: "
                                             "'empty ~0:12:Float@12:0,3:3,1 "
                                             "'odd ~0:12:Float@2:1,2,1:99,4,9223372036854775807 "
                                             "u } '_metadata N s b .");
    ck_assert_uint_eq(cln_weights_file_count(file), 7);
    const cln_file_tensor *whole = expect_tensor(file, "whole", 12, storage_values);
    ck_assert_int_eq(whole->dtype, CLN_F32);
    ck_assert_int_eq(whole->rank, 2);
    ck_assert_int_eq(whole->shape[0], 3);
    ck_assert_int_eq(whole->shape[1], 4);
    ck_assert_ptr_eq(cln_weights_file_at(file, 0), whole);
    ck_assert_ptr_null(cln_weights_file_at(file, 7));
    expect_tensor(file, "part", 2, (float[]){5, 6});
    expect_tensor(file, "transposed", 6, (float[]){1, 5, 9, 2, 6, 10});
    expect_tensor(file, "repeated", 3, (float[]){7, 7, 7});
    ck_assert_int_eq(expect_tensor(file, "scalar", 1, (float[]){11})->rank, 0);
    expect_tensor(file, "empty", 0, NULL);
    expect_tensor(file, "odd", 2, (float[]){2, 6});
    ck_assert_ptr_null(cln_weights_file_find(file, "Whole"));
    ck_assert_ptr_null(cln_weights_file_metadata(file, "epoch"));
    cln_weights_file_free(file);
    cln_weights_file_free(NULL);
}
END_TEST

START_TEST(names) {
    static const struct {
        const char *object, *name;
    } cases[] = {
        {"} 'w " TENSOR " s .", "w"},
        {"} 'a } 'b } 'c " TENSOR " s s s .", "a.b.c"},
        {"} ( 'epoch #3 'state_dict } 'w " TENSOR " s u .", "w"},
        {"} ( 'model } 'w " TENSOR " s 'optimizer } #0 N s u .", "w"},
        {"} 'model_state_dict } 'w " TENSOR " s s .", "w"},
        /* "model." is taken off in a checkpoint of Lightning, and where all names begin with it. */
        {"} ( 'pytorch-lightning_version '1.0 'state_dict } ( 'model.w " TENSOR " 'loss.w " TENSOR " u u .", "w"},
        {"} ( 'pytorch-lightning_version '1.0 'state_dict } ( 'model.w " TENSOR " 'loss.w " TENSOR " u u .", "loss.w"},
        {"} 'model.w " TENSOR " s .", "w"},
        {"} ( 'model.w " TENSOR " 'other " TENSOR " u .", "model.w"},
        /* A dict of pairs; an object of an unknown class that is given items; keys that are no texts. */
        {"/collections:OrderedDict ] ] ( 'w " TENSOR " e a \\85 R .", "w"},
        {"/my.module:Dict ) \\81 'w " TENSOR " s .", "w"},
        {"} ( #1 " TENSOR " N N ( #1 t " TENSOR " 'w " TENSOR " u .", "w"},
        /* Parameters, tensors with attributes, and values that are no tensors. */
        {"} 'w /torch._utils:_rebuild_parameter ( " TENSOR " \\88 N t R s .", "w"},
        {"} 'w /torch._tensor:_rebuild_from_type_v2 ( /torch._utils:_rebuild_tensor_v2 /torch:Tensor ( $0:12:Float #0 "
         "( "
         "#2 t ( #1 t \\89 N t } t R s .",
         "w"},
        {"} ( 'w " TENSOR " 'n #5 'f %2.5 't 'text 'x N 'l ] 'o /builtins:object ) R 'e \\82 \\01 u .", "w"},
        /* A torch.Size for a shape; values that are dropped and doubled. */
        {"} 'w /torch._utils:_rebuild_tensor ( $0:12:Float #0 /torch:Size ( #2 t \\85 R ( #1 t t R s .", "w"},
        {"( N 1 N 0 } ( 'w " TENSOR " 2 0 u .", "w"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cln_weights_file *file = read_object(_i, cases[i].object);
        ck_assert_msg(cln_weights_file_find(file, cases[i].name) != NULL, "%s: no '%s', but '%s'", cases[i].object,
                      cases[i].name, cln_weights_file_at(file, 0)->name);
        expect_tensor(file, cases[i].name, 2, storage_values);
        cln_weights_file_free(file);
    }
}
END_TEST

START_TEST(lightning_metadata) {
    cln_weights_file *file = read_object(
        _i, "} ( 'epoch #171 'global_step #60021 'pytorch-lightning_version '1.0.2 'state_dict } 'model.w " TENSOR
            " s 'hyper_parameters } ( 'model_name 'ResNet 'model_hparams } ( 'c_hidden ] ( #16 #-32 e 'x ( "
            "%0.5 \\88 N \\89 t 'o /os:system ( 'true t R #7 'seven u 'big \\8a \\09 a b c d e f g h i u u "
            ".");
    ck_assert_str_eq(cln_weights_file_metadata(file, "epoch"), "171");
    ck_assert_str_eq(cln_weights_file_metadata(file, "global_step"), "60021");
    ck_assert_str_eq(cln_weights_file_metadata(file, "pytorch-lightning_version"), "1.0.2");
    ck_assert_ptr_null(cln_weights_file_metadata(file, "state_dict"));
    ck_assert_str_eq(cln_weights_file_metadata(file, "hyper_parameters"),
                     "{\"model_name\":\"ResNet\",\"model_hparams\":{\"c_hidden\":[16,-32],"
                     "\"x\":[0.5,true,null,false],\"o\":null},\"big\":null}");
    cln_weights_file_free(file);
}
END_TEST

/* Every type of storage: four elements whose bytes count up from 1. */
START_TEST(storage_types) {
    static const struct {
        const char *name;
        cln_dtype dtype;
    } types[] = {{"Float", CLN_F32}, {"Double", CLN_F64}, {"Half", CLN_F16},  {"BFloat16", CLN_BF16},
                 {"Long", CLN_I64},  {"Int", CLN_I32},    {"Short", CLN_I16}, {"Char", CLN_I8},
                 {"Byte", CLN_U8},   {"Bool", CLN_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bytes b = {NULL, 0, 0};
        char object[128];
        snprintf(object, sizeof object, "} 'w ~k:4:%s@0:2:2 s .", types[i].name);
        legacy_add(&b, object, "] 'k a .");
        bytes_add_number(&b, 4, 8);
        size_t size = cln_dtype_size(types[i].dtype);
        for (size_t k = 0; k < 4 * size; k++)
            bytes_add_number(&b, k + 1, 1);
        cln_weights_file *file;
        ok(read_bytes(&b, &file));
        const cln_file_tensor *w = cln_weights_file_find(file, "w");
        ck_assert_int_eq(w->dtype, types[i].dtype);
        ck_assert_int_eq(((const uint8_t *)w->data)[size], (int)(2 * size + 1));
        cln_weights_file_free(file);
        bytes_free(&b);
    }
}
END_TEST

/* Two tensors of one storage, another storage in a part of the object that nobody needs, and the same with the storage
 * being a view of another, as very old files have it. */
START_TEST(shared_and_other_storages) {
    bytes b = {NULL, 0, 0};
    legacy_add(
        &b,
        "} ( 'optimizer } #0 ~9:1:ComplexFloat@0:1:1 s 'state_dict } ( 'a ~0:12:Float@0:2:1 'b "
        "/torch._utils:_rebuild_tensor_v2 ( ( 'storage /torch:FloatStorage '0 'cpu #12 ( 'v #4 #2 t t Q #1 ( #1 t "
        "( #1 t \\89 N t R u u .",
        "] ( '9 '0 e .");
    bytes_add_number(&b, 1, 8);
    bytes_add_number(&b, 0, 8);
    bytes_add_number(&b, STORAGE_ELEMENTS, 8);
    bytes_add(&b, storage_values, sizeof storage_values);
    cln_weights_file *file;
    ok(read_bytes(&b, &file));
    expect_tensor(file, "a", 2, storage_values);
    expect_tensor(file, "b", 1, (float[]){5});
    cln_weights_file_free(file);
    bytes_free(&b);
}
END_TEST

START_TEST(compressed_archive) {
    bytes b = {NULL, 0, 0}, pickle = {NULL, 0, 0};
    pickle_add(&pickle, "} 'w ~0:12:Float@0:12:1 s .");
    const member members[] = {
        {.name = "a/data/0", .data = storage_values, .size = sizeof storage_values, .deflated = true},
        {.name = "a/data.pkl", .data = pickle.at, .size = pickle.size, .deflated = true},
        {.name = "../../etc/passwd", .data = "", .size = 0}, /* names are looked up, never written to */
    };
    zip_add(&b, members, 3);
    cln_weights_file *file;
    ok(read_bytes(&b, &file));
    expect_tensor(file, "w", 12, storage_values);
    cln_weights_file_free(file);
    bytes_free(&b);
    bytes_free(&pickle);
}
END_TEST

/* --- containers --- */

START_TEST(malformed_streams) {
    static const struct {
        const char *object, *keys;
        uint64_t count;
        size_t elements;
        const char *message;
    } cases[] = {
        {"} 'w " TENSOR " s .", "N .", 12, 12, "it has no list of storages"},
        {"} 'w " TENSOR " s .", "] .", 12, 12, "tensor 'w': the file does not hold its storage"},
        {"} 'w " TENSOR " s .", "] #0 a .", 12, 12, "the key of a storage is not a text"},
        {"} 'w " TENSOR " s .", "] '1 a .", 12, 12, "storage '1': it is of an unknown type"},
        {"} 'w " TENSOR " s .", "] '0 a .", 11, 12, "the element count in front of it is not the one"},
        {"} 'w " TENSOR " s .", "] '0 a .", UINT64_MAX, 12, "the element count in front of it is not the one"},
        {"} 'w " TENSOR " s .", "] '0 a .", 12, 11, "storage '0': the file is truncated"},
        {"} 'w " TENSOR " s .", "] ( '0 '0 e .", 12, 12, "the list of storages names it twice"},
        {"} 'w ~0:2305843009213693951:Long@0:1:1 s .", "] '0 a .", 2305843009213693951, 12, "the file is truncated"},
        {"} 'w ~0:1000000000000:Float@0:1:1 s .", "] '0 a .", 1000000000000, 12, "the file is truncated"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {NULL, 0, 0};
        legacy_add(&b, cases[i].object, cases[i].keys);
        bytes_add_number(&b, cases[i].count, 8);
        bytes_add(&b, storage_values, cases[i].elements * sizeof *storage_values);
        expect_bad_bytes(&b, CLN_INVALID_FILE, cases[i].message);
        bytes_free(&b);
    }
    bytes b = legacy_file("} 'w " TENSOR " s .");
    b.at[9]++;
    expect_bad_bytes(&b, CLN_INVALID_FILE, "its magic number is wrong");
    b.at[9]--;
    b.at[18]++; /* of the protocol's four bytes */
    expect_bad_bytes(&b, CLN_INVALID_FILE, "its protocol is not 1001");
    b.at[18]--;
    uint8_t *little = memchr(b.at + 60, 0x88, b.size - 60);
    ck_assert_ptr_nonnull(little);
    *little = 0x89;
    expect_bad_bytes(&b, CLN_UNSUPPORTED, "big-endian");
    bytes_free(&b);
}
END_TEST

START_TEST(malformed_archives) {
    bytes pickle = {NULL, 0, 0};
    pickle_add(&pickle, "} 'w " TENSOR " s .");
    const member object = {.name = "a/data.pkl", .data = pickle.at, .size = pickle.size};
    const member storage = {.name = "a/data/0", .data = storage_values, .size = sizeof storage_values};
    struct {
        member members[3];
        cln_status status;
        const char *message;
    } cases[] = {
        {{storage, {.name = "x"}, {.name = "y"}}, CLN_INVALID_FILE, "it has no data.pkl"},
        {{storage, object, object}, CLN_INVALID_FILE, "more than one data.pkl"},
        {{object, {.name = "x"}, {.name = "y"}}, CLN_INVALID_FILE, "its member 'a/data/0' is missing"},
        {{object, storage, {.name = "a/byteorder", .data = "big", .size = 3}}, CLN_UNSUPPORTED, "another byte order"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "'a/data/0' is not of the size that the tensors expect"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "'a/data/0' cannot be read"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "'a/data/0' has two sizes"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "too large for an archive of this size"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "its checksum is wrong"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "is encrypted"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "compressed in a way that PyTorch does not use"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "a/data"},
        {{object, storage, {.name = "y"}}, CLN_INVALID_FILE, "a/data"},
    };
    cases[4].members[1].size -= 4;
    cases[5].members[1].offset_error = 1 << 20;
    cases[6].members[1].size_error = 1;
    cases[7].members[1].size_error = cases[7].members[1].stored_error = 1 << 20;
    cases[8].members[1].crc_error = 1;
    cases[9].members[1].flags = 1;
    cases[10].members[1].method_error = 12; /* bzip2 */
    cases[11].members[1].offset_error = -4;
    cases[12].members[0].method_error = 8; /* says that it is deflated, and is not */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {NULL, 0, 0};
        zip_add(&b, cases[i].members, 3);
        expect_bad_bytes(&b, cases[i].status, cases[i].message);
        bytes_free(&b);
    }
    bytes_free(&pickle);
}
END_TEST

START_TEST(other_files) {
    static const struct {
        const char *text;
        size_t size;
        const char *message;
    } cases[] = {
        {"", 0, "holds no weights in a format that is known here"},
        {"hello", 5, "holds no weights in a format that is known here"},
        {"PK\3\4", 4, "is damaged or not a zip archive"},
        {"\x80\x02N.", 4, "holds no weights"},
        {"\x80\x02\x8a\x01\x01.", 6, "its magic number is wrong"},
        {"\x02\0\0\0\0\0\0\0{x", 10, "safetensors"},
        /* A header of 0x8a0280 bytes: it looks like a pickle, and is safetensors. */
        {"\x80\x02\x8a\0\0\0\0\0{}", 10, "safetensors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {NULL, 0, 0};
        bytes_add(&b, cases[i].text, cases[i].size);
        expect_bad_bytes(&b, CLN_INVALID_FILE, cases[i].message);
        bytes_free(&b);
    }
    cln_weights_file *file;
    ck_assert_int_eq(cln_weights_file_read(ctx, "/nowhere/x.ckpt", &file), CLN_IO);
}
END_TEST

/* --- the machine itself --- */

START_TEST(values_of_a_pickle) {
    bytes b = {NULL, 0, 0};
    cln__arena arena = {.limit_bytes = 1 << 20};
    cln__pickle p;
    size_t at = 0;
    const cln__pickled *items[12];
    pickle_add(&b,
               "( N \\88 #7 #-7 #-5000000000 \\8a \\00 %0.1 C \\02 a b \\8c \\01 x \\96 \\01 \\00 \\00 \\00 \\00 \\00 "
               "\\00 \\00 y \\8f ( N N \\90 ( N \\91 l .");
    bytes_add(&b, "rest", 4);
    ok(cln__pickle_read(ctx, "x", &arena, b.at, b.size, &at, &p));
    ck_assert_uint_eq(at, b.size - 4);
    ck_assert_uint_eq(cln__pickled_items(p.root, items, 12), 12);
    ck_assert_int_eq(items[0]->kind, CLN__PICKLED_NONE);
    ck_assert_int_eq(items[1]->kind, CLN__PICKLED_BOOL);
    static const int64_t integers[] = {7, -7, -5000000000, 0};
    for (int i = 0; i < 4; i++) {
        int64_t value;
        ck_assert(cln__pickled_to_int(items[2 + i], &value));
        ck_assert_int_eq(value, integers[i]);
    }
    ck_assert_double_eq(items[6]->number, 0.1);
    ck_assert_int_eq(items[7]->kind, CLN__PICKLED_BYTES);
    ck_assert(cln__pickled_is_text(items[8], "x"));
    ck_assert_int_eq(items[9]->kind, CLN__PICKLED_BYTES);
    ck_assert_uint_eq(items[10]->count, 2);
    ck_assert_uint_eq(items[11]->count, 1);
    /* No room for the values: the arena's limit is the reason, and the message says so. */
    cln__arena small = {.limit_bytes = 100};
    at = 0;
    ck_assert_int_eq(cln__pickle_read(ctx, "x", &small, b.at, b.size, &at, &p), CLN_INVALID_FILE);
    expect_message("needs more memory than a file of this size should");
    cln__arena_free(&small);
    cln__arena_free(&arena);
    bytes_free(&b);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, tensors_of_a_state_dict, 0, 2);
    tcase_add_loop_test(tests, names, 0, 2);
    tcase_add_loop_test(tests, lightning_metadata, 0, 2);
    tcase_add_test(tests, storage_types);
    tcase_add_test(tests, shared_and_other_storages);
    tcase_add_test(tests, compressed_archive);
    tcase_add_test(tests, malformed_streams);
    tcase_add_test(tests, malformed_archives);
    tcase_add_test(tests, other_files);
    tcase_add_test(tests, values_of_a_pickle);
}

int main(void) {
    return suite_run("torch_file", add_tests);
}
