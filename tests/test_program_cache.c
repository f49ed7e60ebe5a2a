/* src/ocl: compiled programs and their cache on disk.
 *
 * The cache's failures are provoked for real: entries cut short, changed, swapped; folders that cannot be written to;
 * processes that write at once, which are other runs of this program. */
#include "../src/ocl/bundle.h"
#include "../src/ocl/cache.h"
#include "../src/ocl/ocl.h"
#include "child.h"
#include "files.h"
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const char OPTIONS[] = "-DWIDTH=1 -DCHAINS=2";

/* How often a file was synced: in place of the C library's, for the objects that are tested. */
static int synced;

int fsync(int fd) {
    synced++;
    return fdatasync(fd);
}

/* --- folders and entries, no device --- */

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
    char *top = folder_new();
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

    static const mode_t open_to_others[] = {0720, 0702};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(chmod(folder, open_to_others[i]), 0);
        ck_assert(!cln__cache_prepare(ctx, folder));
        expect_warning("other users can write");
    }
    /* Another user's: root can give one away, and nobody else owns /. */
    ck_assert_int_eq(chmod(folder, 0700), 0);
    bool is_root = geteuid() == 0;
    ck_assert(!is_root || chown(folder, 65534, 65534) == 0);
    ck_assert(!cln__cache_prepare(ctx, is_root ? folder : "/"));
    expect_warning("other users can write");
    ck_assert(!cln__cache_prepare(ctx, "/proc/no such folder/clnet"));
    expect_warning("cannot make the folder '/proc/no such folder/clnet': ");
    ck_assert(!cln__cache_prepare(ctx, "/proc/version"));
    expect_warning("not a folder");
    ck_assert(!cln__cache_prepare(ctx, ""));
    expect_warning("cannot make the folder ''");
    folder_remove(top);
}
END_TEST

START_TEST(entries_come_back_or_are_refused) {
    char *folder = folder_new();
    char path[512], text[100];
    ck_assert(!load_entry(folder, "key", text));
    expect_no_warning(); /* nothing there is no fault */
    int before = synced;
    ck_assert(store_entry(folder, "key", "payload"));
    ck_assert_int_eq(synced, before + 1);
    ck_assert(load_entry(folder, "key", text));
    ck_assert_str_eq(text, "payload");
    ck_assert(!load_entry(folder, "other key", text));
    expect_no_warning();
    ck_assert_int_eq(list_entries(folder, path), 1);
    struct stat status;
    stat(path, &status);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);

    /* Every byte counts, and every length: 64 of header, 3 of key, 7 of payload. */
    ck_assert_int_eq(status.st_size, 74);
    for (long offset = 0; offset < 74; offset++) {
        ck_assert(store_entry(folder, "key", "payload"));
        damage(path, offset, -1);
        ck_assert_msg(!load_entry(folder, "key", text), "byte %ld", offset);
        expect_warning("the cache entry of an entry is");
    }
    for (long length = 0; length < 74; length++) {
        ck_assert(store_entry(folder, "key", "payload"));
        damage(path, -1, length);
        ck_assert(!load_entry(folder, "key", text));
        expect_warning("truncated");
    }
    ck_assert(store_entry(folder, "key", "payload"));
    damage(path, -1, 75);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("longer than it says");
    folder_remove(folder);
}
END_TEST

START_TEST(foreign_entries_are_refused) {
    char *folder = folder_new();
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
    fputs("some text that is no entry at all, and that is longer than the header of one", file);
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
    folder_remove(folder);
}
END_TEST

/* A CRC-32 does not see this: it is linear, so that whoever changes a payload by the polynomial keeps it. */
START_TEST(a_change_that_keeps_a_checksum_is_found) {
    static const unsigned char polynomial[] = {0x41, 0x06, 0x71, 0xdb,
                                               0x01}; /* the powers from 32 down, as bits go in */
    char *folder = folder_new();
    char path[512], text[100];
    unsigned char bytes[74];
    ck_assert(store_entry(folder, "key", "payload"));
    list_entries(folder, path);
    FILE *file = fopen(path, "r+b");
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    uLong before = crc32(0, bytes + 67, 7);
    for (size_t i = 0; i < sizeof polynomial; i++)
        bytes[67 + i] ^= polynomial[i];
    ck_assert_uint_eq(crc32(0, bytes + 67, 7), before);
    rewind(file);
    ck_assert_uint_eq(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    ck_assert(!load_entry(folder, "key", text));
    expect_warning("the cache entry of an entry is corrupt, it is compiled again");
    folder_remove(folder);
}
END_TEST

/* By Python's hashlib, of the header's first 32 bytes as a little-endian machine has them, "key" and "payload". */
START_TEST(the_digest_is_sha256) {
    static const unsigned char expected[] = {0xa6, 0xb0, 0x67, 0x5f, 0x6b, 0xa7, 0x6b, 0x25, 0x3e, 0x7a, 0x03,
                                             0xad, 0x75, 0xee, 0x6e, 0x0a, 0xf5, 0x83, 0xc5, 0xd9, 0x40, 0x54,
                                             0xcc, 0x96, 0x13, 0x3e, 0x94, 0x54, 0xe7, 0xa0, 0xde, 0x8d};
    char *folder = folder_new();
    char path[512];
    unsigned char bytes[74];
    ck_assert(store_entry(folder, "key", "payload"));
    list_entries(folder, path);
    FILE *file = fopen(path, "rb");
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    if (bytes[8] == 2)
        ck_assert_mem_eq(bytes + 32, expected, sizeof expected);
    folder_remove(folder);
}
END_TEST

START_TEST(entries_that_others_can_write_to_are_refused) {
    char *folder = folder_new();
    char path[512], text[100];
    ck_assert(store_entry(folder, "key", "payload"));
    list_entries(folder, path);
    static const mode_t open_modes[] = {0620, 0602, 0666};
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        ck_assert_int_eq(chmod(path, open_modes[i]), 0);
        ck_assert(!load_entry(folder, "key", text));
        expect_warning("is a file that other users can write to, it is compiled again");
    }
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert(load_entry(folder, "key", text));
    if (geteuid() == 0) { /* only then a file can be given away */
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert(!load_entry(folder, "key", text));
        expect_warning("other users can write to");
        ck_assert_int_eq(chown(folder, 65534, 65534), 0);
        ck_assert(!cln__cache_prepare(ctx, folder));
        expect_warning("other users can write to");
    }
    ck_assert(store_entry(folder, "key", "payload"));
    ck_assert(load_entry(folder, "key", text));
    expect_no_warning();
    folder_remove(folder);
}
END_TEST

START_TEST(store_without_a_disk) {
    ck_assert(!store_entry("/proc/self/fd", "key", "payload"));
    ck_assert_int_ne(errno, 0);
    if (access("/dev/full", W_OK) == 0) /* what a full disk says, on any system that has it */
        ck_assert(!store_entry("/dev/full", "key", "payload"));
}
END_TEST

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

START_TEST(two_processes_write_one_entry) {
    char *folder = folder_new();
    pid_t a = start_child("hammer", folder), b = start_child("hammer", folder);
    ck_assert_int_eq(wait_child(a), 0);
    ck_assert_int_eq(wait_child(b), 0);
    char path[512];
    ck_assert_int_eq(list_entries(folder, path), 1);
    folder_remove(folder);
}
END_TEST

/* --- on the device --- */

static void open_device(const char *folder) {
    ok(cln_device_open(ctx, NULL, &device));
    ok(cln_device_set_cache(device, folder));
}

/* The program of a new kernel peak_fma; NULL if there is no such kernel. */
static cl_program program_with(const char *options, cl_kernel *kernel) {
    cl_program program = NULL;
    if (cln__kernel_new(device, "peak", options, "peak_fma", kernel) == CLN_OK)
        clGetKernelInfo(*kernel, CL_KERNEL_PROGRAM, sizeof(cl_program), &program, NULL);
    return program;
}

/* Opens, gets the program, uses it, frees the device; whether the program came from a binary. */
static bool built_from_binary(const char *folder) {
    cl_kernel kernel;
    open_device(folder);
    cl_program program = program_with(OPTIONS, &kernel);
    ck_assert_ptr_nonnull(program);
    char *source = calloc(1, 1 << 20);
    clGetProgramInfo(program, CL_PROGRAM_SOURCE, 1 << 20, source, NULL);
    bool binary = source[0] == '\0';
    free(source);

    float sums[4] = {9, 9, 9, 9};
    cl_mem out = clCreateBuffer(device->cl, CL_MEM_READ_WRITE, sizeof sums, NULL, NULL);
    const float a = 2, b = 1;
    const cl_int rounds = 3;
    const size_t items = 4;
    clSetKernelArg(kernel, 0, sizeof out, &out);
    clSetKernelArg(kernel, 1, sizeof a, &a);
    clSetKernelArg(kernel, 2, sizeof b, &b);
    clSetKernelArg(kernel, 3, sizeof rounds, &rounds);
    ck_assert_int_eq(clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL), CL_SUCCESS);
    clEnqueueReadBuffer(device->queue, out, CL_TRUE, 0, sizeof sums, sums, 0, NULL, NULL);
    for (int i = 0; i < 4; i++) /* x -> 2x + 1, three times, from i and from i + 1 */
        ck_assert(sums[i] == 8.0f * (float)i + 7.0f + 8.0f * (float)(i + 1) + 7.0f);
    clReleaseMemObject(out);
    clReleaseKernel(kernel);
    cln_device_free(device);
    return binary;
}

START_TEST(programs_are_shared_and_errors_carry_the_log) {
    cl_kernel kernels[3], none;
    open_device(NULL);
    cl_program first = program_with(OPTIONS, &kernels[0]);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_eq(first, program_with(OPTIONS, &kernels[1]));
    cl_program other = program_with("-DWIDTH=2", &kernels[2]);
    ck_assert_ptr_nonnull(other);
    ck_assert_ptr_ne(first, other);
    ck_assert_int_eq(cln__kernel_new(device, "peak", "-DWIDTH=oops", "peak_fma", &none), CLN_OPENCL);
    ck_assert_ptr_null(none);
    const char *error = cln_context_error(ctx);
    ck_assert_ptr_nonnull(strstr(error, "compiling cl/peak.cl with '-DWIDTH=oops': clBuildProgram failed with CL_"));
    ck_assert_ptr_nonnull(strstr(strstr(error, "the build log:"), "oops"));
    ck_assert_int_eq(cln__kernel_new(device, "peak", OPTIONS, "no_such", &none), CLN_OPENCL);
    ck_assert_ptr_nonnull(
        strstr(cln_context_error(ctx), "kernel no_such of cl/peak.cl: clCreateKernel failed with CL_"));
    ck_assert_int_eq(cln__kernel_new(device, "no_such_file", "", "peak_fma", &none), CLN_INTERNAL);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "no kernel file cl/no_such_file.cl"));
    for (int i = 0; i < 3; i++)
        clReleaseKernel(kernels[i]);
    cln_device_free(device);
    expect_no_warning();
}
END_TEST

/* The program, which the device keeps; NULL: none. */
static void *get_program(void *options) {
    cl_kernel kernel;
    cl_program program = program_with(options, &kernel);
    if (program)
        clReleaseKernel(kernel);
    return program;
}

START_TEST(threads_compile_a_program_once) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    void *program[THREADS];
    char options[] = "-DWIDTH=4 -DCHAINS=3";
    open_device(NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, get_program, options), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], &program[i]), 0);
    ck_assert_ptr_nonnull(program[0]);
    for (int i = 1; i < THREADS; i++)
        ck_assert_ptr_eq(program[i], program[0]);
    cln_device_free(device);
}
END_TEST

/* --- several programs made one --- */

/* Two programs that declare the same names, differently, at file scope and as macros. */
static const char TWICE[] = "#define SCALE(x) ((x)*FACTOR) /* a comment\n"
                            "   that goes on: g(h); */\n"
                            "typedef struct pair {\n    float a, b;\n} pair;\n"
                            "enum { FIRST = FACTOR, SECOND };\n"
                            "__constant float table[2] = {FIRST, SECOND};\n"
                            "static float sum(const pair p) {\n    return p.a + p.b;\n}\n"
                            "__kernel void scale(__global float *out) {\n"
                            "    const pair p = {table[0], table[1]};\n"
                            "    out[0] = SCALE(sum(p));\n}\n";

START_TEST(sections_of_a_bundle_do_not_meet) {
    const char *texts[] = {TWICE, TWICE}, *options[] = {" -DFACTOR=2", "-DFACTOR=10  -DUNUSED "};
    char *bundle = cln__bundle(texts, options, 2);
    ck_assert_ptr_nonnull(bundle);
    open_device(NULL);
    cl_int code;
    const char *text = bundle;
    cl_program program = clCreateProgramWithSource(device->cl, 1, &text, NULL, &code);
    ck_assert_int_eq(clBuildProgram(program, 1, &device->id, "-cl-std=CL1.2", NULL, NULL), CL_SUCCESS);
    cl_mem out = clCreateBuffer(device->cl, CL_MEM_READ_WRITE, sizeof(float), NULL, NULL);
    for (int i = 0; i < 2; i++) {
        float result = 0;
        const size_t items = 1;
        cl_kernel kernel = clCreateKernel(program, i ? "p1_scale" : "p0_scale", &code);
        ck_assert_int_eq(code, CL_SUCCESS);
        clSetKernelArg(kernel, 0, sizeof out, &out);
        clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL);
        clEnqueueReadBuffer(device->queue, out, CL_TRUE, 0, sizeof result, &result, 0, NULL, NULL);
        ck_assert(result == (i ? 210.0f : 10.0f)); /* (f + f + 1) * f */
        clReleaseKernel(kernel);
    }
    clReleaseMemObject(out);
    clReleaseProgram(program);
    cln_device_free(device);
    free(bundle);
    ck_assert_ptr_null(cln__bundle(texts, (const char *[]){"-DFACTOR=2", "-DFACTOR=2 -w"}, 2));
}
END_TEST

/* Every kernel file together with itself, and with all others: so that none has names that cln__bundle misses. */
START_TEST(every_kernel_file_can_be_in_a_bundle) {
    const char *texts[200], *options[200];
    int count = 0;
    for (const cln__kernel_source *s = cln__kernel_sources; s->name && count < 198; s++)
        for (int twice = 0; twice < 2; twice++) {
            texts[count] = s->text;
            options[count++] = "";
        }
    char *bundle = cln__bundle(texts, options, count), log[4000] = "";
    ck_assert_ptr_nonnull(bundle);
    open_device(NULL);
    const char *text = bundle;
    cl_program program = clCreateProgramWithSource(device->cl, 1, &text, NULL, NULL);
    cl_int code = clBuildProgram(program, 1, &device->id, "-cl-std=CL1.2", NULL, NULL);
    clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
    ck_assert_msg(code == CL_SUCCESS, "%s", log);
    clReleaseProgram(program);
    cln_device_free(device);
    free(bundle);
}
END_TEST

START_TEST(what_is_prepared_is_found_or_fails_when_it_is_asked_for) {
    const cln__program_name wanted[] = {
        {"peak", OPTIONS}, {"peak", "-DWIDTH=2"}, {"peak", OPTIONS}, {"no_such_file", ""}};
    cl_kernel kernels[3];
    open_device(NULL);
    cln__programs_prepare(device, wanted, 4);
    for (int i = 0; i < 3; i++)
        ok(cln__kernel_new(device, "peak", wanted[i].options, "peak_fma", &kernels[i]));
    for (int i = 0; i < 3; i++)
        clReleaseKernel(kernels[i]);
    cln__programs_prepare(device, (const cln__program_name[]){{"peak", "-DWIDTH=oops"}, {"peak", "-DWIDTH=4"}}, 2);
    ok(cln__kernel_new(device, "peak", "-DWIDTH=4", "peak_fma", &kernels[0]));
    clReleaseKernel(kernels[0]);
    ck_assert_int_eq(cln__kernel_new(device, "peak", "-DWIDTH=oops", "peak_fma", &kernels[0]), CLN_OPENCL);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "compiling cl/peak.cl with '-DWIDTH=oops'"));
    cln__programs_prepare(device, NULL, 0);
    cln_device_free(device);
    expect_no_warning();
}
END_TEST

START_TEST(cache_hits_and_heals) {
    char *folder = folder_new();
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
    ck_assert(built_from_binary(folder));         /* it was written anew */
    damage(path, (long)status.st_size - 100, -1); /* in the binary, its length kept */
    ck_assert(!built_from_binary(folder));
    expect_warning("the cache entry of cl/peak.cl with '-DWIDTH=1 -DCHAINS=2' is corrupt, it is compiled again");
    ck_assert(built_from_binary(folder));
    ck_assert_int_eq(list_entries(folder, path), 1);
    expect_no_warning();
    folder_remove(folder);
}
END_TEST

/* Makes the program, on a device one of whose texts is another if `field` says which; there must then be `expected`
 * entries. */
static void keep_program(const char *folder, const char *options, char *field, int expected) {
    cl_kernel kernel;
    char path[512];
    if (field)
        strcpy(field, "another");
    ck_assert_ptr_nonnull(program_with(options, &kernel));
    clReleaseKernel(kernel);
    cln_device_free(device);
    ck_assert_int_eq(list_entries(folder, path), expected);
}

static const char *text_of_source(const char *name) {
    const cln__kernel_source *s = cln__kernel_sources;
    while (strcmp(s->name, name) != 0)
        s++;
    return s->text;
}

/* Other options, another driver, device or text of the kernels is another entry. */
START_TEST(a_key_has_all_that_a_binary_depends_on) {
    char *folder = folder_new(), path[512];
    open_device(folder);
    keep_program(folder, OPTIONS, NULL, 1);
    list_entries(folder, path);
    static char bytes[1 << 20]; /* the key is among the first of them */
    FILE *file = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    for (size_t i = 0; i < size; i++)
        bytes[i] = bytes[i] ? bytes[i] : ' ';
    ck_assert_ptr_nonnull(strstr(bytes, text_of_source("peak")));
    open_device(folder);
    keep_program(folder, "-DWIDTH=2", NULL, 2);
    open_device(folder);
    keep_program(folder, OPTIONS, device->info.driver_version, 3);
    open_device(folder);
    keep_program(folder, OPTIONS, device->info.version, 4);
    open_device(folder);
    keep_program(folder, OPTIONS, device->info.name, 5);
    open_device(folder);
    keep_program(folder, OPTIONS, device->info.platform_name, 6);
    expect_no_warning();
    folder_remove(folder);
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

static int child_program(const char *folder) {
    cl_kernel kernel;
    if (cln_device_open(ctx, NULL, &device) != CLN_OK || cln_device_set_cache(device, folder) != CLN_OK ||
        !program_with(OPTIONS, &kernel))
        return 1;
    clReleaseKernel(kernel);
    cln_device_free(device);
    char text[100];
    return cln_context_take_warning(ctx, text, sizeof text) ? 2 : 0;
}

START_TEST(two_processes_build_one_program) {
    char *folder = folder_new();
    pid_t a = start_child("program", folder), b = start_child("program", folder);
    ck_assert_int_eq(wait_child(a), 0);
    ck_assert_int_eq(wait_child(b), 0);
    char path[512];
    ck_assert_int_eq(list_entries(folder, path), 1);
    ck_assert(built_from_binary(folder));
    expect_no_warning();
    folder_remove(folder);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, default_folder);
    tcase_add_test(tests, folders_are_made_for_the_owner_alone);
    tcase_add_test(tests, entries_come_back_or_are_refused);
    tcase_add_test(tests, foreign_entries_are_refused);
    tcase_add_test(tests, a_change_that_keeps_a_checksum_is_found);
    tcase_add_test(tests, the_digest_is_sha256);
    tcase_add_test(tests, entries_that_others_can_write_to_are_refused);
    tcase_add_test(tests, store_without_a_disk);
    tcase_add_test(tests, two_processes_write_one_entry);
    if (!suite_has_device())
        return;
    tcase_add_test(tests, programs_are_shared_and_errors_carry_the_log);
    tcase_add_test(tests, threads_compile_a_program_once);
    tcase_add_test(tests, sections_of_a_bundle_do_not_meet);
    tcase_add_test(tests, every_kernel_file_can_be_in_a_bundle);
    tcase_add_test(tests, what_is_prepared_is_found_or_fails_when_it_is_asked_for);
    tcase_add_test(tests, cache_hits_and_heals);
    tcase_add_test(tests, a_key_has_all_that_a_binary_depends_on);
    tcase_add_test(tests, cache_does_without_a_disk);
    tcase_add_test(tests, two_processes_build_one_program);
}

int main(int argc, char **argv) {
    static const child_task tasks[] = {{"hammer", child_hammer}, {"program", child_program}, {NULL, NULL}};
    return is_child(argc, argv) ? child_run(argv, tasks) : suite_run("program_cache", add_tests);
}
