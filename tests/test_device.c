/* src/ocl: which device a text means, what is said of devices, and what their errors are called. */
#include "../src/ocl/ocl.h"
#include "child.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- choice, on made-up devices --- */

static cln_device_info fake(int platform, int index, cln_device_type type, bool discrete, const char *name) {
    cln_device_info info = {
        .platform = platform, .device = index, .type = type, .discrete = discrete, .available = true};
    snprintf(info.name, sizeof info.name, "%s", name);
    snprintf(info.platform_name, sizeof info.platform_name, "platform %d", platform);
    return info;
}

static cln_device_info fakes[6];
enum { FAKES = 6 };

static void set_up(void) {
    fakes[0] = fake(0, 0, CLN_DEVICE_CPU, false, "pthread-skylake Xeon");
    fakes[1] = fake(1, 0, CLN_DEVICE_OTHER, false, "FPGA card");
    fakes[2] = fake(1, 1, CLN_DEVICE_GPU, false, "UHD Graphics 770");
    fakes[3] = fake(2, 0, CLN_DEVICE_GPU, true, "RTX 3080");
    fakes[4] = fake(2, 1, CLN_DEVICE_GPU, true, "RTX 3080 Ti");
    fakes[5] = fake(10, 0, CLN_DEVICE_CPU, false, "Xeon");
}

static int choose(size_t count, const char *spec) {
    size_t index = 99;
    cln_status status = cln__device_choose(ctx, fakes, count, spec, &index);
    ck_assert(status == CLN_OK || status == CLN_NO_DEVICE);
    return status == CLN_OK ? (int)index : -1;
}

START_TEST(default_prefers_discrete_then_integrated_then_cpu) {
    ck_assert_int_eq(choose(FAKES, NULL), 3);
    ck_assert_int_eq(choose(FAKES, ""), 3);
    ck_assert_int_eq(choose(3, NULL), 2);
    ck_assert_int_eq(choose(2, NULL), 0);
    fakes[4].compute_units = 80; /* among equals the larger one, then the first */
    ck_assert_int_eq(choose(FAKES, NULL), 4);
    fakes[4].available = false;
    ck_assert_int_eq(choose(FAKES, NULL), 3);
    for (int i = 0; i < FAKES; i++)
        fakes[i].available = false;
    ck_assert_int_eq(choose(FAKES, NULL), -1);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "none is available"));
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "2:0  RTX 3080 (discrete GPU, platform 2), not available"));
}
END_TEST

START_TEST(types) {
    ck_assert_int_eq(cln__device_type(CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_DEFAULT), CLN_DEVICE_GPU);
    ck_assert_int_eq(cln__device_type(CL_DEVICE_TYPE_CPU), CLN_DEVICE_CPU);
    ck_assert_int_eq(cln__device_type(CL_DEVICE_TYPE_ACCELERATOR), CLN_DEVICE_OTHER);
    /* Oclgrind's */
    ck_assert_int_eq(
        cln__device_type(CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_DEFAULT),
        CLN_DEVICE_CPU);
}
END_TEST

/* Whatever is not in the table is treated alike. */
START_TEST(drivers) {
    ck_assert(cln__driver_of("Portable Computing Language")->bundled);
    ck_assert(cln__driver_of("rusticl")->short_kernels);
    const cln__driver *other = cln__driver_of("NVIDIA CUDA");
    ck_assert_ptr_eq(other, cln__driver_of(""));
    ck_assert(!other->own_cache && !other->after_use && !other->bundled && !other->short_kernels);
}
END_TEST

START_TEST(choice_by_type) {
    ck_assert_int_eq(choose(FAKES, "cpu"), 0);
    ck_assert_int_eq(choose(FAKES, "GPU"), 3);
    ck_assert_int_eq(choose(3, "gpu"), 2);
    ck_assert_int_eq(choose(2, "gpu"), -1);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "device 'gpu' is not there"));
}
END_TEST

START_TEST(choice_by_index) {
    ck_assert_int_eq(choose(FAKES, "1:1"), 2);
    ck_assert_int_eq(choose(FAKES, "10:0"), 5);
    ck_assert_int_eq(choose(FAKES, "0:1"), -1);
    ck_assert_int_eq(choose(FAKES, "99999999999999999999:0"), -1);
    ck_assert_int_eq(choose(FAKES, "-1:0"), -1);
    fakes[2].available = false;
    ck_assert_int_eq(choose(FAKES, "1:1"), -1);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "device '1:1' is there, but not available"));
}
END_TEST

START_TEST(choice_by_name) {
    ck_assert_int_eq(choose(FAKES, "uhd"), 2);
    ck_assert_int_eq(choose(FAKES, "3080 ti"), 4);
    ck_assert_int_eq(choose(FAKES, "rtx 3080"), 3); /* the whole name of one, a part of another */
    ck_assert_int_eq(choose(FAKES, "RTX"), -1);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "device 'RTX' is ambiguous"));
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "\n  2:1  RTX 3080 Ti (discrete GPU, platform 2)"));
    ck_assert_int_eq(choose(FAKES, "radeon"), -1);
    ck_assert_str_eq(cln_context_error(ctx),
                     "device 'radeon' is not there; give an index, cpu, gpu or a part of one name; the devices are"
                     "\n  0:0  pthread-skylake Xeon (CPU, platform 0)"
                     "\n  1:0  FPGA card (accelerator, platform 1)"
                     "\n  1:1  UHD Graphics 770 (integrated GPU, platform 1)"
                     "\n  2:0  RTX 3080 (discrete GPU, platform 2)"
                     "\n  2:1  RTX 3080 Ti (discrete GPU, platform 2)"
                     "\n  10:0  Xeon (CPU, platform 10)");
}
END_TEST

START_TEST(error_names) {
    ck_assert_str_eq(cln__cl_error_name(-5), "CL_OUT_OF_RESOURCES");
    ck_assert_str_eq(cln__cl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    ck_assert_str_eq(cln__cl_error_name(12345), "an unknown error");
    cln_device made_up = {.ctx = ctx, .info = fakes[3]};
    ck_assert_int_eq(cln__fail_cl(&made_up, -5, "clFinish", "step '%s'", "conv"), CLN_OPENCL);
    ck_assert_str_eq(cln_context_error(ctx),
                     "step 'conv': clFinish failed with CL_OUT_OF_RESOURCES (-5) on device RTX 3080");
    ck_assert_int_eq(cln__fail_cl(&made_up, -4, "clCreateBuffer", "an arena"), CLN_OUT_OF_MEMORY);
}
END_TEST

/* --- without a platform, and on the device --- */

static int child_no_device(const char *unused) {
    (void)unused;
    cln_device_info *devices;
    size_t count;
    if (cln_device_list(ctx, &devices, &count) != CLN_NO_DEVICE || devices || count != 0)
        return 1;
    if (!strstr(cln_context_error(ctx), "RUSTICL_ENABLE") || !strstr(cln_context_error(ctx), "/dev/dri"))
        return 2;
    return cln_device_open(ctx, NULL, &device) == CLN_NO_DEVICE && !device ? 0 : 3;
}

START_TEST(no_platform_names_the_causes) {
    ck_assert_int_eq(setenv("OCL_ICD_VENDORS", "/nonexistent/", 1), 0);
    pid_t child = start_child("no-device", "");
    unsetenv("OCL_ICD_VENDORS");
    ck_assert_int_eq(wait_child(child), 0);
}
END_TEST

START_TEST(devices_are_described) {
    cln_device_info *devices;
    size_t count;
    ck_assert_int_eq(cln_device_list(ctx, &devices, &count), CLN_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_ne(devices[i].name, "");
        ck_assert_int_gt(devices[i].compute_units, 0);
        ck_assert_uint_ge(devices[i].memory_bytes, devices[i].max_alloc_bytes);
    }
    free(devices);
    ok(cln_device_open(ctx, NULL, &device));
    const cln__caps *caps = &device->caps;
    ck_assert(caps->block == (caps->is_cpu ? 16 : 4));
    ck_assert(caps->work_group >= 1 && (size_t)caps->work_group <= caps->max_work_group);
    ck_assert_int_ge(caps->items_target, caps->compute_units);
    ck_assert_uint_ge(caps->alignment_bytes, 64);
    ck_assert_uint_eq(caps->alignment_bytes & (caps->alignment_bytes - 1), 0);
    cln_device_free(device);
    cln_device_free(NULL);
    ck_assert_int_eq(cln_device_open(ctx, "no such device", &device), CLN_NO_DEVICE);
    ck_assert_ptr_null(device);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "device 'no such device' is not there"));
}
END_TEST

START_TEST(opens_without_home) {
    const char *names[] = {"HOME", "XDG_CACHE_HOME"};
    char *kept[2];
    for (int i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        kept[i] = value ? strdup(value) : NULL;
        unsetenv(names[i]);
    }
    ok(cln_device_open(ctx, NULL, &device));
    cln_device_free(device);
    expect_no_warning();
    for (int i = 0; i < 2; i++) {
        if (kept[i])
            setenv(names[i], kept[i], 1);
        free(kept[i]);
    }
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, default_prefers_discrete_then_integrated_then_cpu);
    tcase_add_test(tests, types);
    tcase_add_test(tests, drivers);
    tcase_add_test(tests, choice_by_type);
    tcase_add_test(tests, choice_by_index);
    tcase_add_test(tests, choice_by_name);
    tcase_add_test(tests, error_names);
    tcase_add_test(tests, no_platform_names_the_causes);
    if (!suite_has_device())
        return;
    tcase_add_test(tests, devices_are_described);
    tcase_add_test(tests, opens_without_home);
}

int main(int argc, char **argv) {
    static const child_task tasks[] = {{"no-device", child_no_device}, {NULL, NULL}};
    return is_child(argc, argv) ? child_run(argv, tasks) : suite_run("device", add_tests);
}
