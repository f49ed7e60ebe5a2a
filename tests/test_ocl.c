/* src/ocl: which device a text means, compiled programs and their cache on disk.
 *
 * The cache's failures are provoked for real: entries cut short, changed, swapped; folders that cannot be written to;
 * processes that write at once. Those are other runs of this program: `<program> --child <task> <folder>`. */
#include "../src/ocl/cache.h"
#include "../src/ocl/ocl.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char OPTIONS[] = "-DWIDTH=1 -DCHAINS=2";

/* -- choice, on made-up devices ------------------------------------------------------------------------------- */

static cln_device_info fake(int platform, int device, cln_device_type type, bool discrete, const char *name) {
    cln_device_info info = {
        .platform = platform, .device = device, .type = type, .discrete = discrete, .available = true};
    snprintf(info.name, sizeof info.name, "%s", name);
    snprintf(info.platform_name, sizeof info.platform_name, "platform %d", platform);
    return info;
}

static cln_context *ctx;
static cln_device_info fakes[6];
enum { FAKES = 6 };

static void set_up(void) {
    ck_assert_int_eq(cln_context_new(&ctx), CLN_OK);
    fakes[0] = fake(0, 0, CLN_DEVICE_CPU, false, "pthread-skylake Xeon");
    fakes[1] = fake(1, 0, CLN_DEVICE_OTHER, false, "FPGA card");
    fakes[2] = fake(1, 1, CLN_DEVICE_GPU, false, "UHD Graphics 770");
    fakes[3] = fake(2, 0, CLN_DEVICE_GPU, true, "RTX 3080");
    fakes[4] = fake(2, 1, CLN_DEVICE_GPU, true, "RTX 3080 Ti");
    fakes[5] = fake(10, 0, CLN_DEVICE_CPU, false, "Xeon");
}

static void tear_down(void) {
    cln_context_free(ctx);
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

/* -- folders and entries, no device --------------------------------------------------------------------------- */

static char *new_folder(void) {
    static char folder[64];
    strcpy(folder, "/tmp/clnet-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

/* The files in `folder`; the last one's path into `path`. */
static int list_entries(const char *folder, char path[512]) {
    int count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, 512, "%s/%s", folder, e->d_name);
        count++;
    }
    if (d)
        closedir(d);
    return count;
}

static void remove_folder(const char *folder) {
    char path[512];
    while (list_entries(folder, path) > 0)
        if (remove(path) != 0)
            break;
    rmdir(folder);
}

static void expect_warning(const char *part) {
    char text[1024] = "(none)";
    ck_assert_msg(cln_context_take_warning(ctx, text, sizeof text), "no warning; expected '%s'", part);
    ck_assert_msg(strstr(text, part), "warning '%s'; expected '%s'", text, part);
}

static void expect_no_warning(void) {
    char text[1024];
    ck_assert_msg(!cln_context_take_warning(ctx, text, sizeof text), "unexpected warning: %s", text);
}

static bool load_entry(const char *folder, const char *key, char out[100]) {
    unsigned char *data;
    size_t size;
    if (!cln__cache_load(ctx, folder, "an entry", key, strlen(key), &data, &size))
        return false;
    snprintf(out, 100, "%.*s", (int)size, (const char *)data);
    free(data);
    return true;
}

static bool store_entry(const char *folder, const char *key, const char *text) {
    return cln__cache_store(folder, key, strlen(key), (const unsigned char *)text, strlen(text));
}

/* Changes `path`: the byte at `offset` is inverted, the file is cut to `length`; negative: that is left. */
static void damage(const char *path, long offset, long length) {
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    if (offset >= 0) {
        fseek(file, offset, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, offset, SEEK_SET);
        fputc(~byte & 255, file);
    }
    fclose(file);
    if (length >= 0)
        ck_assert_int_eq(truncate(path, length), 0);
}

START_TEST(default_folder) {
    static const struct {
        const char *xdg, *home, *expected;
    } cases[] = {
        {"/x", "/home/a", "/x/clnet"},
        {NULL, "/home/a", "/home/a/.cache/clnet"},
        {"", "/home/a", "/home/a/.cache/clnet"},
        {"relative", "/home/a", "/home/a/.cache/clnet"},
        {NULL, NULL, NULL},
        {"", "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder;
        ck_assert_int_eq(cln__cache_default_folder(ctx, cases[i].xdg, cases[i].home, &folder), CLN_OK);
        ck_assert_pstr_eq(folder, cases[i].expected);
        free(folder);
    }
}
END_TEST

START_TEST(folders_are_made_for_the_owner_alone) {
    const char *top = new_folder();
    char middle[100], folder[110];
    snprintf(middle, sizeof middle, "%s/a", top);
    snprintf(folder, sizeof folder, "%s/b", middle);
    mode_t old = umask(0);
    ck_assert(cln__cache_prepare(ctx, folder));
    ck_assert(cln__cache_prepare(ctx, folder));
    umask(old);
    struct stat status;
    ck_assert_int_eq(stat(folder, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0700);
    ck_assert_int_eq(stat(middle, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0700);
    expect_no_warning();

    ck_assert_int_eq(chmod(folder, 0777), 0);
    ck_assert(!cln__cache_prepare(ctx, folder));
    expect_warning("other users can write");
    ck_assert(!cln__cache_prepare(ctx, "/proc/no such folder/clnet"));
    expect_warning("cannot make the folder '/proc/no such folder/clnet': ");
    ck_assert(!cln__cache_prepare(ctx, "/proc/version"));
    expect_warning("not a folder");
    ck_assert(!cln__cache_prepare(ctx, ""));
    expect_warning("cannot make the folder ''");
    rmdir(folder);
    rmdir(middle);
    rmdir(top);
}
END_TEST

START_TEST(entries_come_back_or_are_refused) {
    const char *folder = new_folder();
    char path[512], text[100];
    ck_assert(!load_entry(folder, "key", text));
    expect_no_warning(); /* nothing there is no fault */
    ck_assert(store_entry(folder, "key", "payload"));
    ck_assert(load_entry(folder, "key", text));
    ck_assert_str_eq(text, "payload");
    ck_assert(!load_entry(folder, "other key", text));
    expect_no_warning();
    ck_assert_int_eq(list_entries(folder, path), 1);
    struct stat status;
    stat(path, &status);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);

    /* Every byte counts, and every length: 32 of header, 3 of key, 7 of payload. */
    ck_assert_int_eq(status.st_size, 42);
    for (long offset = 0; offset < 42; offset++) {
        ck_assert(store_entry(folder, "key", "payload"));
        damage(path, offset, -1);
        ck_assert_msg(!load_entry(folder, "key", text), "byte %ld", offset);
        expect_warning("the cache entry of an entry is");
    }
    for (long length = 0; length < 42; length++) {
        ck_assert(store_entry(folder, "key", "payload"));
        damage(path, -1, length);
        ck_assert(!load_entry(folder, "key", text));
        expect_warning("truncated");
    }
    ck_assert(store_entry(folder, "key", "payload"));
    damage(path, -1, 43);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("longer than it says");
    remove_folder(folder);
}
END_TEST

START_TEST(foreign_entries_are_refused) {
    const char *folder = new_folder();
    char path[512], other[512], text[100];
    ck_assert(store_entry(folder, "key", "payload"));
    list_entries(folder, path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(store_entry(folder, "other", "its payload"));
    list_entries(folder, other);
    ck_assert_int_eq(rename(other, path), 0);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("the entry of another program");

    FILE *file = fopen(path, "w");
    fputs("some text that is no entry at all, longer than a header", file);
    fclose(file);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("no entry of this version");

    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("not a readable file");
    ck_assert(!store_entry(folder, "key", "payload"));
    ck_assert_int_ne(errno, 0);
    rmdir(path);
    ck_assert_int_eq(list_entries(folder, other), 0); /* nothing is left behind */
    remove_folder(folder);
}
END_TEST

START_TEST(store_without_a_disk) {
    ck_assert(!store_entry("/proc/self/fd", "key", "payload"));
    ck_assert_int_ne(errno, 0);
    if (access("/dev/full", W_OK) == 0) /* what a full disk says, on any system that has it */
        ck_assert(!store_entry("/dev/full", "key", "payload"));
}
END_TEST

/* -- processes ------------------------------------------------------------------------------------------------ */

static pid_t start_child(const char *task, const char *folder) {
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_ocl", "--child", task, folder, (char *)NULL);
        _exit(126);
    }
    ck_assert_int_gt(child, 0);
    return child;
}

static int wait_child(pid_t child) {
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Stores and loads one entry, many times. 0 if whatever was loaded was whole. */
static int child_hammer(const char *folder) {
    char payload[64], text[100];
    snprintf(payload, sizeof payload, "written by process %ld", (long)getpid());
    for (int i = 0; i < 100; i++) {
        if (!store_entry(folder, "shared key", payload) || !load_entry(folder, "shared key", text))
            return 1;
        if (strncmp(text, "written by process ", 19) != 0)
            return 2;
    }
    return cln_context_take_warning(ctx, text, sizeof text) ? 3 : 0;
}

static int child_program(const char *folder) {
    cln_device *device;
    cl_program program;
    if (cln_device_open(ctx, NULL, &device) != CLN_OK || cln_device_set_cache(device, folder) != CLN_OK ||
        cln__program_get(device, "peak", OPTIONS, &program) != CLN_OK)
        return 1;
    cln_device_free(device);
    char text[100];
    return cln_context_take_warning(ctx, text, sizeof text) ? 2 : 0;
}

static int child_no_device(const char *folder) {
    (void)folder;
    cln_device_info *devices;
    size_t count;
    cln_device *device;
    if (cln_device_list(ctx, &devices, &count) != CLN_NO_DEVICE || devices || count != 0)
        return 1;
    if (!strstr(cln_context_error(ctx), "RUSTICL_ENABLE") || !strstr(cln_context_error(ctx), "/dev/dri"))
        return 2;
    return cln_device_open(ctx, NULL, &device) == CLN_NO_DEVICE && !device ? 0 : 3;
}

static int run_child(const char *task, const char *folder) {
    if (cln_context_new(&ctx) != CLN_OK)
        return 125;
    int status = strcmp(task, "hammer") == 0    ? child_hammer(folder)
                 : strcmp(task, "program") == 0 ? child_program(folder)
                                                : child_no_device(folder);
    if (status != 0)
        fprintf(stderr, "child %s: status %d, message '%s'\n", task, status, cln_context_error(ctx));
    cln_context_free(ctx);
    return status;
}

START_TEST(two_processes_write_one_entry) {
    const char *folder = new_folder();
    pid_t a = start_child("hammer", folder), b = start_child("hammer", folder);
    ck_assert_int_eq(wait_child(a), 0);
    ck_assert_int_eq(wait_child(b), 0);
    char path[512];
    ck_assert_int_eq(list_entries(folder, path), 1);
    remove_folder(folder);
}
END_TEST

START_TEST(no_platform_names_the_causes) {
    ck_assert_int_eq(setenv("OCL_ICD_VENDORS", "/nonexistent/", 1), 0);
    pid_t child = start_child("no-device", "");
    unsetenv("OCL_ICD_VENDORS");
    ck_assert_int_eq(wait_child(child), 0);
}
END_TEST

/* -- on the device -------------------------------------------------------------------------------------------- */

static cln_device *open_device(const char *folder) {
    cln_device *device;
    ck_assert_msg(cln_device_open(ctx, NULL, &device) == CLN_OK, "%s", cln_context_error(ctx));
    ck_assert_int_eq(cln_device_set_cache(device, folder), CLN_OK);
    return device;
}

/* Opens, gets the program, uses it, frees the device; whether the program came from a binary. */
static bool built_from_binary(const char *folder) {
    cln_device *device = open_device(folder);
    cl_program program;
    ck_assert_msg(cln__program_get(device, "peak", OPTIONS, &program) == CLN_OK, "%s", cln_context_error(ctx));
    char *source = calloc(1, 1 << 20);
    clGetProgramInfo(program, CL_PROGRAM_SOURCE, 1 << 20, source, NULL);
    bool binary = source[0] == '\0';
    free(source);

    float zeros[4] = {9, 9, 9, 9};
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, "peak_fma", &code);
    cl_mem out = clCreateBuffer(device->cl, CL_MEM_READ_WRITE, sizeof zeros, NULL, NULL);
    const float a = 2, b = 1;
    const cl_int rounds = 3;
    const size_t items = 4;
    ck_assert_int_eq(code, CL_SUCCESS);
    clSetKernelArg(kernel, 0, sizeof out, &out);
    clSetKernelArg(kernel, 1, sizeof a, &a);
    clSetKernelArg(kernel, 2, sizeof b, &b);
    clSetKernelArg(kernel, 3, sizeof rounds, &rounds);
    ck_assert_int_eq(clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL), CL_SUCCESS);
    clEnqueueReadBuffer(device->queue, out, CL_TRUE, 0, sizeof zeros, zeros, 0, NULL, NULL);
    for (int i = 0; i < 4; i++) /* x -> 2x + 1, three times, from i and from i + 1 */
        ck_assert(zeros[i] == 8.0f * (float)i + 7.0f + 8.0f * (float)(i + 1) + 7.0f);
    clReleaseMemObject(out);
    clReleaseKernel(kernel);
    cln_device_free(device);
    return binary;
}

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
    cln_device *device = open_device(NULL);
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

START_TEST(programs_are_shared_and_errors_carry_the_log) {
    cln_device *device = open_device(NULL);
    cl_program first, again, other;
    ck_assert_int_eq(cln__program_get(device, "peak", OPTIONS, &first), CLN_OK);
    ck_assert_int_eq(cln__program_get(device, "peak", OPTIONS, &again), CLN_OK);
    ck_assert_ptr_eq(first, again);
    ck_assert_int_eq(cln__program_get(device, "peak", "-DWIDTH=2", &other), CLN_OK);
    ck_assert_ptr_ne(first, other);
    ck_assert_int_eq(cln__program_get(device, "peak", "-DWIDTH=oops", &other), CLN_OPENCL);
    ck_assert_ptr_null(other);
    const char *error = cln_context_error(ctx);
    ck_assert_ptr_nonnull(strstr(error, "compiling cl/peak.cl with '-DWIDTH=oops': clBuildProgram failed with CL_"));
    ck_assert_ptr_nonnull(strstr(strstr(error, "the build log:"), "oops"));
    ck_assert_int_eq(cln__program_get(device, "no_such_file", "", &other), CLN_INTERNAL);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "no kernel file cl/no_such_file.cl"));
    cln_device_free(device);
    expect_no_warning();
}
END_TEST

START_TEST(cache_hits_and_heals) {
    const char *folder = new_folder();
    char path[512];
    ck_assert(!built_from_binary(folder));
    ck_assert_int_eq(list_entries(folder, path), 1);
    ck_assert(built_from_binary(folder));
    expect_no_warning();

    struct stat status;
    stat(path, &status);
    damage(path, -1, (long)status.st_size / 2);
    ck_assert(!built_from_binary(folder));
    expect_warning("the cache entry of cl/peak.cl with '-DWIDTH=1 -DCHAINS=2' is truncated");
    ck_assert(built_from_binary(folder)); /* it was written anew */
    damage(path, (long)status.st_size - 100, -1);
    ck_assert(!built_from_binary(folder));
    expect_warning("corrupt");
    ck_assert(built_from_binary(folder));
    ck_assert_int_eq(list_entries(folder, path), 1);
    expect_no_warning();
    remove_folder(folder);
}
END_TEST

START_TEST(cache_does_without_a_disk) {
    ck_assert(!built_from_binary("/proc/no such folder/clnet"));
    expect_warning("compiled programs are not kept: cannot make the folder");
    ck_assert(!built_from_binary("/proc/self/fd")); /* there, ours, and nobody can write to it */
    expect_warning("compiled programs are not kept: cannot write to '/proc/self/fd': ");
    expect_no_warning();
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
    cln_device *device;
    ck_assert_int_eq(cln_device_open(ctx, NULL, &device), CLN_OK);
    cln_device_free(device);
    expect_no_warning();
    for (int i = 0; i < 2; i++) {
        if (kept[i])
            setenv(names[i], kept[i], 1);
        free(kept[i]);
    }
}
END_TEST

START_TEST(two_processes_build_one_program) {
    const char *folder = new_folder();
    pid_t a = start_child("program", folder), b = start_child("program", folder);
    ck_assert_int_eq(wait_child(a), 0);
    ck_assert_int_eq(wait_child(b), 0);
    char path[512];
    ck_assert_int_eq(list_entries(folder, path), 1);
    ck_assert(built_from_binary(folder));
    expect_no_warning();
    remove_folder(folder);
}
END_TEST

START_TEST(error_names) {
    ck_assert_str_eq(cln__cl_error_name(-5), "CL_OUT_OF_RESOURCES");
    ck_assert_str_eq(cln__cl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    ck_assert_str_eq(cln__cl_error_name(12345), "an unknown error");
    cln_device device = {.ctx = ctx, .info = fakes[3]};
    ck_assert_int_eq(cln__fail_cl(&device, -5, "clFinish", "step '%s'", "conv"), CLN_OPENCL);
    ck_assert_str_eq(cln_context_error(ctx),
                     "step 'conv': clFinish failed with CL_OUT_OF_RESOURCES (-5) on device RTX 3080");
    ck_assert_int_eq(cln__fail_cl(&device, -4, "clCreateBuffer", "an arena"), CLN_OUT_OF_MEMORY);
}
END_TEST

static bool is_device_there(void) {
    cln_context *local;
    cln_device_info *devices = NULL;
    size_t count;
    if (cln_context_new(&local) != CLN_OK)
        return false;
    bool there = cln_device_list(local, &devices, &count) == CLN_OK;
    if (!there)
        fprintf(stderr, "SKIP the tests on a device: %s\n", cln_context_error(local));
    free(devices);
    cln_context_free(local);
    return there;
}

static void add_device_tests(TCase *device) {
    tcase_add_test(device, devices_are_described);
    tcase_add_test(device, programs_are_shared_and_errors_carry_the_log);
    tcase_add_test(device, cache_hits_and_heals);
    tcase_add_test(device, cache_does_without_a_disk);
    tcase_add_test(device, opens_without_home);
    tcase_add_test(device, two_processes_build_one_program);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return run_child(argv[2], argv[3]);
    Suite *suite = suite_create("ocl");
    TCase *host = tcase_create("host");
    tcase_add_checked_fixture(host, set_up, tear_down);
    tcase_add_test(host, default_prefers_discrete_then_integrated_then_cpu);
    tcase_add_test(host, choice_by_type);
    tcase_add_test(host, choice_by_index);
    tcase_add_test(host, choice_by_name);
    tcase_add_test(host, default_folder);
    tcase_add_test(host, folders_are_made_for_the_owner_alone);
    tcase_add_test(host, entries_come_back_or_are_refused);
    tcase_add_test(host, foreign_entries_are_refused);
    tcase_add_test(host, store_without_a_disk);
    tcase_add_test(host, two_processes_write_one_entry);
    tcase_add_test(host, no_platform_names_the_causes);
    tcase_add_test(host, error_names);
    suite_add_tcase(suite, host);

    bool there = is_device_there(), skip_is_failure = getenv("CI") && strcmp(getenv("CI"), "true") == 0;
    TCase *device = tcase_create("device");
    tcase_set_timeout(device, 0);
    tcase_add_checked_fixture(device, set_up, tear_down);
    suite_add_tcase(suite, device);
    if (there)
        add_device_tests(device);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 && (there || !skip_is_failure) ? EXIT_SUCCESS : EXIT_FAILURE;
}
