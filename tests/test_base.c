/* src/base: messages, checked arithmetic, names, random numbers. Needs no OpenCL. */
#include "../src/base/base.h"
#include "../src/base/caps.h"
#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(status_texts) {
    ck_assert_str_eq(cln_status_text(CLN_OK), "success");
    ck_assert_str_eq(cln_status_text(CLN_INTERNAL), "a broken invariant: please report it");
    ck_assert_str_eq(cln_status_text((cln_status)99), "an unknown status");
    ck_assert_ptr_nonnull(strchr(cln_version(), '.'));
}
END_TEST

START_TEST(error_is_kept_and_may_quote_the_last) {
    ck_assert_str_eq(cln_context_error(ctx), "");
    ck_assert_int_eq(cln__fail(ctx, CLN_IO, "cannot read %s", "a.bin"), CLN_IO);
    ck_assert_str_eq(cln_context_error(ctx), "cannot read a.bin");
    cln__fail(ctx, CLN_IO, "%s: %d bytes", cln_context_error(ctx), 7);
    ck_assert_str_eq(cln_context_error(ctx), "cannot read a.bin: 7 bytes");
    ck_assert_int_eq(cln__fail_memory(ctx, "the images"), CLN_OUT_OF_MEMORY);
    ck_assert_str_eq(cln_context_error(ctx), "not enough host memory for the images");
    cln_context_free(NULL);
}
END_TEST

START_TEST(long_error_is_whole) {
    char log[20001];
    memset(log, 'x', sizeof log - 1);
    log[sizeof log - 1] = '\0';
    cln__fail(ctx, CLN_OPENCL, "log: %s", log);
    ck_assert_uint_eq(strlen(cln_context_error(ctx)), 5 + 20000);
}
END_TEST

START_TEST(warnings_come_in_order_and_a_flood_is_cut) {
    char text[80], expected[80];
    ck_assert(!cln_context_take_warning(ctx, text, sizeof text));
    for (int i = 0; i < 40; i++)
        cln__warn(ctx, "warning %d", i);
    for (int i = 0; i < 32; i++) {
        ck_assert(cln_context_take_warning(ctx, text, sizeof text));
        snprintf(expected, sizeof expected, "warning %d", i);
        ck_assert_str_eq(text, expected);
    }
    ck_assert(cln_context_take_warning(ctx, text, sizeof text));
    ck_assert_str_eq(text, "8 more warnings were not kept");
    ck_assert(!cln_context_take_warning(ctx, text, sizeof text));
    cln__warn(ctx, "a long warning");
    ck_assert(cln_context_take_warning(ctx, text, 7));
    ck_assert_str_eq(text, "a long");
    cln__warn(ctx, "left for cln_context_free");
}
END_TEST

/* NULL if each copy of a message was whole, though other threads replace it. */
static void *fail_often(void *context) {
    bool whole = true;
    for (int i = 0; i < 1000; i++) {
        cln__fail(context, CLN_FAILED, "failure %d", i);
        cln__warn(context, "warning %d", i);
        char *copy = cln__error_copy(context), end;
        int number;
        whole = whole && copy && sscanf(copy, "failure %d%c", &number, &end) == 1;
        free(copy);
    }
    return whole ? NULL : context;
}

START_TEST(context_serves_threads) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_often, ctx), 0);
    for (int i = 0; i < 4; i++) {
        void *broken;
        pthread_join(threads[i], &broken);
        ck_assert_ptr_null(broken);
    }
    ck_assert_str_eq(cln_context_error(ctx), "failure 999");
}
END_TEST

START_TEST(checked_arithmetic) {
    size_t size;
    ck_assert(cln__mul_size(0, SIZE_MAX, &size) && size == 0);
    ck_assert(cln__mul_size(SIZE_MAX, 1, &size) && size == SIZE_MAX);
    ck_assert(!cln__mul_size(SIZE_MAX / 2 + 1, 2, &size));
    ck_assert(!cln__mul_size((size_t)1 << 32, (size_t)1 << 32, &size));
    ck_assert(cln__add_size(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    ck_assert(!cln__add_size(SIZE_MAX, 1, &size));
    ck_assert_int_eq(cln__divide_up(7, 4), 2);
    ck_assert_int_eq(cln__divide_up(8, 4), 2);
    ck_assert_int_eq(cln__divide_up(INT64_MAX, 2), INT64_MAX / 2 + 1);
    ck_assert_int_eq(cln__round_up(7, 4), 8);
    ck_assert_int_eq(cln__round_up(0, 16), 0);
}
END_TEST

START_TEST(shapes) {
    int64_t count = -1;
    char text[84];
    ck_assert(cln__shape_count((cln_shape){8, 16, 32, 32}, &count));
    ck_assert_int_eq(count, 131072);
    ck_assert(!cln__shape_count((cln_shape){8, 0, 32, 32}, &count));
    ck_assert(!cln__shape_count((cln_shape){-1, -1, 1, 1}, &count));
    ck_assert(cln__shape_count((cln_shape){(int64_t)1 << 48, 1, 1, 1}, &count));
    ck_assert(!cln__shape_count((cln_shape){((int64_t)1 << 48) + 1, 1, 1, 1}, &count));
    ck_assert(!cln__shape_count((cln_shape){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, &count));
    ck_assert_str_eq(cln__shape_text((cln_shape){8, 16, 32, 32}, text), "8x16x32x32");
    cln__shape_text((cln_shape){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN}, text);
    ck_assert_uint_eq(strlen(text), 83);
    ck_assert(cln__shape_equal((cln_shape){1, 2, 3, 4}, (cln_shape){1, 2, 3, 4}));
    ck_assert(!cln__shape_equal((cln_shape){1, 2, 3, 4}, (cln_shape){1, 2, 3, 5}));
}
END_TEST

START_TEST(nearest_name) {
    const char *const names[] = {"ResNet", "ResNetPreAct", "GoogleNet", "sgd", "adam", "adamw", "--epochs"};
    const size_t count = sizeof names / sizeof *names;
    ck_assert_str_eq(cln_nearest_name("resnet", names, count), "ResNet");
    ck_assert_str_eq(cln_nearest_name("ResNetPreact", names, count), "ResNetPreAct");
    ck_assert_str_eq(cln_nearest_name("GogleNet", names, count), "GoogleNet");
    ck_assert_str_eq(cln_nearest_name("adam", names, count), "adam");
    ck_assert_str_eq(cln_nearest_name("adamx", names, count), "adam");
    ck_assert_str_eq(cln_nearest_name("--epcohs", names, count), "--epochs");
    ck_assert_ptr_null(cln_nearest_name("transformer", names, count));
    ck_assert_ptr_null(cln_nearest_name("", names, count));
    ck_assert_ptr_null(cln_nearest_name("x", names, count));
    ck_assert_ptr_null(cln_nearest_name("adam", names, 0));
    char long_name[300];
    memset(long_name, 'r', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    ck_assert_ptr_null(cln_nearest_name(long_name, names, count));
}
END_TEST

START_TEST(format_makes_a_string) {
    char *text = cln__format("%s.%d", "blocks", 3);
    ck_assert_str_eq(text, "blocks.3");
    free(text);
}
END_TEST

/* The known answers that the authors publish with Random123 (tests/kat_vectors, philox4x32 with 10 rounds). */
START_TEST(philox_known_answers) {
    static const struct {
        uint64_t key, high, low;
        uint32_t word[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cln__random drawn = cln__philox(known[i].key, known[i].high, known[i].low);
        ck_assert_mem_eq(drawn.word, known[i].word, sizeof drawn.word);
    }
}
END_TEST

START_TEST(uniform_range_and_mean) {
    ck_assert(cln__uniform(0) == 0.0f);
    ck_assert(cln__uniform(UINT32_MAX) < 1.0f);
    double sum = 0;
    for (uint64_t i = 0; i < 10000; i++)
        sum += cln__uniform(cln__philox(cln__stream_key(5, CLN__STREAM_INIT), 0, i).word[0]);
    ck_assert_double_eq_tol(sum / 10000, 0.5, 0.012); /* four standard errors: 4 * sqrt(1/12) / 100 */
}
END_TEST

START_TEST(streams_do_not_meet) {
    for (uint64_t seed = 0; seed < 8; seed++)
        for (unsigned stream = CLN__STREAM_INIT; stream <= CLN__STREAM_SYNTHETIC; stream++)
            for (uint64_t other = 0; other < 8; other++)
                for (unsigned purpose = CLN__STREAM_INIT; purpose <= CLN__STREAM_SYNTHETIC; purpose++)
                    if (seed != other || stream != purpose)
                        ck_assert_uint_ne(cln__stream_key(seed, stream), cln__stream_key(other, purpose));
}
END_TEST

START_TEST(default_caps_are_usable) {
    cln__caps caps = cln__caps_default();
    ck_assert(caps.is_cpu && caps.block == 16 && caps.work_group == 1);
    ck_assert_uint_ge(caps.alignment_bytes, 64);
    ck_assert_uint_le(caps.max_alloc_bytes, caps.memory_bytes);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, status_texts);
    tcase_add_test(tests, error_is_kept_and_may_quote_the_last);
    tcase_add_test(tests, long_error_is_whole);
    tcase_add_test(tests, warnings_come_in_order_and_a_flood_is_cut);
    tcase_add_test(tests, context_serves_threads);
    tcase_add_test(tests, checked_arithmetic);
    tcase_add_test(tests, shapes);
    tcase_add_test(tests, nearest_name);
    tcase_add_test(tests, format_makes_a_string);
    tcase_add_test(tests, philox_known_answers);
    tcase_add_test(tests, uniform_range_and_mean);
    tcase_add_test(tests, streams_do_not_meet);
    tcase_add_test(tests, default_caps_are_usable);
}

int main(void) {
    return suite_run("base", add_tests);
}
