/* Malformed and hostile PyTorch checkpoints: every one is refused, with the reason, in bounded time and memory. */
#include "suite.h"
#include "torch_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(malformed_tensors) {
    static const struct {
        const char *object;
        cln_status status;
        const char *message;
    } cases[] = {
        {"} 'w ~0:12:Float@0:13:1 s .", CLN_INVALID_FILE, "tensor 'w': it reaches beyond its storage"},
        {"} 'w ~0:12:Float@1:12:1 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@0:2,2:11,1 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@13:0:1 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@0:4294967296,4294967296:0,0 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@0:2,2:9223372036854775807,9223372036854775807 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@0:9223372036854775807:1 s .", CLN_INVALID_FILE, "reaches beyond"},
        {"} 'w ~0:12:Float@0:1099511627776:0 s .", CLN_INVALID_FILE, "more memory than a file of its size should"},
        {"} 'w ~0:12:Float@-1:2:1 s .", CLN_INVALID_FILE, "its offset is not a whole number from 0 on"},
        {"} 'w ~0:12:Float@0:2:-1 s .", CLN_INVALID_FILE, "its shape and strides are not as many"},
        {"} 'w ~0:12:Float@0:-2:1 s .", CLN_INVALID_FILE, "its shape and strides are not as many"},
        {"} 'w ~0:12:Float@0:2,2:1 s .", CLN_INVALID_FILE, "its shape and strides are not as many"},
        {"} 'w ~0:12:Float@0:1,1,1,1,1,1,1,1,1:1,1,1,1,1,1,1,1,1 s .", CLN_INVALID_FILE, "at most 8"},
        {"} 'w ~0:12:Float@0:1:1 s 'v ~0:13:Float@0:1:1 s .", CLN_INVALID_FILE,
         "storage '0' is described in two different ways"},
        {"} 'w ~0:-1:Float@0:0:1 s .", CLN_INVALID_FILE, "its storage is malformed or of an unknown type"},
        {"} 'w ~0:9223372036854775807:Float@0:1:1 s .", CLN_INVALID_FILE, "tensor 'w'"},
        {"} 'w ~0:12:Strange@0:1:1 s .", CLN_INVALID_FILE, "its storage is malformed or of an unknown type"},
        {"} 'w ~0:12:ComplexFloat@0:1:1 s .", CLN_UNSUPPORTED, "complex or quantised"},
        {"} 'w /torch._utils:_rebuild_tensor_v2 ( $0:12:Float #0 t R s .", CLN_INVALID_FILE, "strides are missing"},
        {"} 'w /torch._utils:_rebuild_tensor_v2 ( '0 #0 ) ) t R s .", CLN_INVALID_FILE, "its storage is malformed"},
        {"} 'w /torch._utils:_rebuild_tensor_v2 ( '0 Q #0 ) ) t R s .", CLN_INVALID_FILE, "its storage is malformed"},
        {"} 'w /torch._utils:_rebuild_tensor_v2 ( $0:12:Float /os:system ( 'true t R ) ) t R s .", CLN_INVALID_FILE,
         "its offset is not a whole number"},
        {"} 'w /torch._utils:_rebuild_sparse_tensor ( " TENSOR " t R s .", CLN_UNSUPPORTED, "_rebuild_sparse_tensor"},
        {"} ( 'w " TENSOR " 'w " TENSOR " u .", CLN_INVALID_FILE, "two tensors 'w'"},
        {"} ( 'a.w " TENSOR " 'a } 'w " TENSOR " s u .", CLN_INVALID_FILE, "two tensors 'a.w'"},
        {"} .", CLN_UNSUPPORTED, "without a state_dict"},
        {"N .", CLN_UNSUPPORTED, "without a state_dict"},
        {TENSOR " .", CLN_UNSUPPORTED, "without a state_dict"},
        {"/my.models:Net ) \\81 } 'weight " TENSOR " s b .", CLN_UNSUPPORTED, "save model.state_dict()"},
        {"/os:system ( 'true t R .", CLN_UNSUPPORTED, "without a state_dict"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 2; k++) {
            bytes b = containers[k](cases[i].object);
            cln_weights_file *file;
            cln_status status = read_bytes(&b, &file);
            ck_assert_msg(status == cases[i].status, "%s: status %d: %s", cases[i].object, (int)status,
                          cln_context_error(ctx));
            ck_assert_msg(strstr(cln_context_error(ctx), cases[i].message) != NULL, "%s: %s", cases[i].object,
                          cln_context_error(ctx));
            bytes_free(&b);
        }
}
END_TEST

START_TEST(malformed_pickles) {
    static const char *const objects[] = {
        ".",
        "s .",
        "} s .",
        "} 'a s .",
        "( .",
        "( 'a s .",
        "'a ( 'b s .",
        "0 .",
        "1 .",
        "N 1 .",
        "e .",
        "( N e .",
        "N a .",
        "N N a .",
        "N ( N e .",
        "] N N s .",
        "} ( N u .",
        "( N d .",
        "t .",
        "\\85 .",
        "N \\86 .",
        "N N ( \\87 .",
        "2 .",
        "h0 .",
        "h200 .",
        "N j0 \\00 \\00 \\80 .",
        "N r0 \\ff \\ff \\ff .",
        "q0 .",
        "R .",
        "N R .",
        "N b .",
        "Q .",
        "c",
        "\\93 .",
        "N N \\93 .",
        "I .",
        "\\00",
        "\\ff",
        "\\80 \\06 .",
        "\\95 \\ff \\ff \\ff \\ff \\ff \\ff \\ff \\7f .",
        "\\8d \\ff \\ff \\ff \\ff \\ff \\ff \\ff \\ff .",
        "\\8b \\ff \\ff \\ff \\7f .",
        "T \\ff \\ff \\ff \\ff .",
        "G .",
    };
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        for (int k = 0; k < 2; k++) {
            bytes b = containers[k](objects[i]);
            cln_weights_file *file;
            ck_assert_msg(read_bytes(&b, &file) == CLN_INVALID_FILE, "'%s' was taken", objects[i]);
            expect_message("pickle, at byte ");
            bytes_free(&b);
        }
}
END_TEST

/* --- what would use up time, memory or the stack --- */

/* A legacy file of `begin`, `count` times `first`, `count` times `second`, and `end`. */
static bytes repeated(const char *begin, const char *first, const char *second, int count, const char *end) {
    size_t size = strlen(begin) + (size_t)count * (strlen(first) + strlen(second)) + strlen(end) + 1;
    char *program = malloc(size), *at = program;
    ck_assert_ptr_nonnull(program);
    at += sprintf(at, "%s", begin);
    for (int i = 0; i < 2 * count; i++)
        at += sprintf(at, "%s", i < count ? first : second);
    sprintf(at, "%s", end);
    bytes b = legacy_file(program);
    free(program);
    return b;
}

START_TEST(values_that_hold_themselves) {
    /* A list in itself, and a dict, as a hyper-parameter and in the state_dict. */
    cln_weights_file *file = read_object(0, "} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } q1 'self h1 s u .");
    ck_assert_ptr_null(cln_weights_file_metadata(file, "hyper_parameters"));
    cln_weights_file_free(file);
    file = read_object(0, "} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } 'l ] q1 h1 a s u .");
    ck_assert_ptr_null(cln_weights_file_metadata(file, "hyper_parameters"));
    cln_weights_file_free(file);
    expect_bad("} q1 ( 'w " TENSOR " 'self h1 u .", CLN_INVALID_FILE, "its dicts are more than 16 deep");
    expect_bad("} q1 ( 'a h1 'b h1 u .", CLN_INVALID_FILE, "its dicts");
    expect_bad("} 'w /torch._utils:_rebuild_parameter ( ] q1 h1 a t R s .", CLN_UNSUPPORTED, "without a state_dict");
}
END_TEST

START_TEST(deep_nesting) {
    cln_weights_file *file;
    bytes b = repeated("} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } 'l N ", "\\85 ", "", 200000, "s u .");
    ok(read_bytes(&b, &file));
    ck_assert_ptr_null(cln_weights_file_metadata(file, "hyper_parameters"));
    cln_weights_file_free(file);
    bytes_free(&b);
    b = repeated("} ( 'w " TENSOR " 'l ", "] ", "a ", 100000, "N u .");
    expect_bad_bytes(&b, CLN_INVALID_FILE, "items are added to what cannot hold them");
    bytes_free(&b);
    b = repeated("} 'a ", "} 'a ", "", 14, "} 'w " TENSOR " s s s s s s s s s s s s s s s s .");
    ok(read_bytes(&b, &file)); /* 16 dicts */
    cln_weights_file_free(file);
    bytes_free(&b);
    b = repeated("} 'a ", "} 'a ", "s ", 50000, "} 'w " TENSOR " s s .");
    ck_assert_int_eq(read_bytes(&b, &file), CLN_INVALID_FILE);
    bytes_free(&b);
    b = repeated("} 'a ", "} 'a ", "", 50000, "} .");
    expect_bad_bytes(&b, CLN_UNSUPPORTED, "without a state_dict"); /* the innermost is what the pickle gives */
    bytes_free(&b);
    b = repeated("} 'w " TENSOR " s ", "( ", "", 100000, ".");
    expect_bad_bytes(&b, CLN_INVALID_FILE, "an operand is missing");
    bytes_free(&b);
}
END_TEST

/* Each dict has the one before it twice: 2^30 tensors in a few hundred bytes. The same of names, lists and storages. */
START_TEST(small_files_that_look_large) {
    char program[4096], *at = program;
    at += sprintf(at, "} 'w " TENSOR " s q0 0 ");
    for (int i = 0; i < 14; i++)
        at += sprintf(at, "} ( 'a h%d 'b h%d u q%d 0 ", i, i, i + 1);
    sprintf(at, "h14 .");
    expect_bad(program, CLN_INVALID_FILE, "its dicts hold one another too often");

    at = program + sprintf(program, "] q0 0 ");
    for (int i = 0; i < 30; i++)
        at += sprintf(at, "] ( h%d h%d e q%d 0 ", i, i, i + 1);
    sprintf(at, "} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } 'l h12 s u .");
    cln_weights_file *file = read_object(0, program);
    ck_assert_ptr_nonnull(cln_weights_file_metadata(file, "hyper_parameters")); /* 2^12 is still bearable */
    cln_weights_file_free(file);
    sprintf(at, "} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } 'l h15 s u .");
    file = read_object(0, program);
    ck_assert_uint_eq(cln_weights_file_count(file), 1);
    cln_weights_file_free(file);
    sprintf(at, "} ( 'state_dict } 'w " TENSOR " s 'hyper_parameters } 'l h30 s u .");
    file = read_object(0, program);
    ck_assert_ptr_null(cln_weights_file_metadata(file, "hyper_parameters"));
    cln_weights_file_free(file);

    /* A list that dicts are made of, again and again, although none of its items is a pair. */
    bytes b = repeated("] q0 ", "N a ", "/collections:OrderedDict ( h0 t R 0 ", 20000, "0 } 'w " TENSOR " s .");
    expect_bad_bytes(&b, CLN_INVALID_FILE, "it needs more memory than a file of this size should");
    bytes_free(&b);

    /* Tensors that overlap without end. */
    at = program + sprintf(program, "} ( ");
    for (int i = 0; i < 20; i++)
        at += sprintf(at, "'t%d ~0:12:Float@0:100000:0 ", i);
    sprintf(at, "u .");
    expect_bad(program, CLN_INVALID_FILE, "as its parts overlap");
}
END_TEST

START_TEST(bad_names) {
    char program[3000], long_name[1200];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    snprintf(program, sizeof program, "} '%s " TENSOR " s .", long_name);
    expect_bad(program, CLN_INVALID_FILE, "is not UTF-8 text of less than 1023 bytes");
    snprintf(program, sizeof program, "} '%.600s } '%.600s " TENSOR " s s .", long_name, long_name);
    expect_bad(program, CLN_INVALID_FILE, "is not UTF-8 text");
    snprintf(program, sizeof program, "} '%.1022s " TENSOR " s .", long_name);
    cln_weights_file_free(read_object(0, program));
    snprintf(program, sizeof program, "} '%.1021s } ' " TENSOR " s s .", long_name);
    cln_weights_file_free(read_object(0, program));
    expect_bad("} '\xff " TENSOR " s .", CLN_INVALID_FILE, "is not UTF-8 text");
    expect_bad("} X \\01 \\00 \\00 \\00 \\00 " TENSOR " s .", CLN_INVALID_FILE, "is not UTF-8 text");
}
END_TEST

/* Wherever a file ends before its end, it is refused, and so is what is changed somewhere or else read in bounds. */
START_TEST(truncated_or_changed_anywhere) {
    static const char object[] =
        "} ( 'state_dict } ( 'w ~0:12:Float@1:2,3:1,4 'b ~0:12:Float@0:2:1 u 'hyper_parameters } "
        "( 'a ] ( #1 %2.5 e 'b N u u .";
    cln_weights_file *file;
    for (int k = 0; k < 2; k++) {
        bytes whole = containers[k](object), part = whole;
        for (part.size = 0; part.size < whole.size; part.size++)
            ck_assert_msg(read_bytes(&part, &file) != CLN_OK, "container %d: %zu of %zu bytes were taken", k, part.size,
                          whole.size);
        for (size_t i = 0; i < whole.size; i++) {
            uint8_t kept = whole.at[i];
            static const uint8_t others[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '.', '(', 't'};
            for (size_t j = 0; j < sizeof others; j++) {
                whole.at[i] = others[j];
                if (read_bytes(&whole, &file) == CLN_OK)
                    cln_weights_file_free(file);
            }
            whole.at[i] = kept;
        }
        bytes_free(&whole);
    }
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, malformed_tensors);
    tcase_add_test(tests, malformed_pickles);
    tcase_add_test(tests, values_that_hold_themselves);
    tcase_add_test(tests, deep_nesting);
    tcase_add_test(tests, small_files_that_look_large);
    tcase_add_test(tests, bad_names);
    tcase_add_test(tests, truncated_or_changed_anywhere);
}

int main(void) {
    return suite_run("torch_hostile", add_tests);
}
