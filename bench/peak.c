/* clbench peak: the most arithmetic and the most memory traffic that a device shows, which other figures are held
 * against.
 *
 * It speaks OpenCL itself, with the text of cl/peak.cl compiled into the program, so that what it measures owes nothing
 * to the library's own runtime. Each figure is the median of some runs of about the same time; the peak is the best
 * median. `clbench ops` measures the same, with fewer and shorter runs (peak_measure).
 */
#include "peak.h"
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "native.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Made by cmake/embed_kernels.cmake from cl/peak.cl alone. */
typedef struct cln__kernel_source {
    const char *name, *text;
} cln__kernel_source;
extern const cln__kernel_source cln__kernel_sources[];

enum { MAX_RUNS = 9, NAME = 64 };

typedef struct figure {
    char name[NAME];
    double median, low, high; /* of subject.runs */
} figure;

/* The device under test. */
typedef struct subject {
    cln_device_info info;
    cl_device_id id;
    cl_context cl;
    cl_command_queue queue;
    bool cpu;
    size_t group, items; /* local and global size that fill the device */
    bool brief;          /* fewer and shorter runs, and only the passes that may be the bandwidth */
    int runs;
    double seconds; /* a run takes about this long */
} subject;

/* One kernel, ready but for its last argument's value. */
typedef struct launch {
    cl_program program;
    cl_kernel kernel;
} launch;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void summarise(double *rates, int runs, figure *out) {
    qsort(rates, (size_t)runs, sizeof *rates, by_value);
    out->median = rates[runs / 2];
    out->low = rates[0];
    out->high = rates[runs - 1];
}

/* Prints a failed call; whether it failed. */
static bool failed(cl_int code, const char *call) {
    if (code != CL_SUCCESS)
        fprintf(stderr, "clbench: peak: %s failed with OpenCL error %d\n", call, (int)code);
    return code != CL_SUCCESS;
}

/* The platform's and device's indices are those of cln_device_list. */
static bool find_device(int platform, int device, cl_device_id *out) {
    cl_platform_id platforms[64];
    cl_device_id devices[64];
    cl_uint count = 0;
    if (failed(clGetPlatformIDs(64, platforms, &count), "clGetPlatformIDs") || platform >= (int)count || platform >= 64)
        return false;
    if (failed(clGetDeviceIDs(platforms[platform], CL_DEVICE_TYPE_ALL, 64, devices, &count), "clGetDeviceIDs") ||
        device >= (int)count || device >= 64)
        return false;
    *out = devices[device];
    return true;
}

static bool open_subject(const cln_device_info *info, bool brief, subject *s) {
    *s = (subject){.info = *info, .cpu = info->type == CLN_DEVICE_CPU, .brief = brief};
    s->runs = brief ? 3 : MAX_RUNS;
    s->seconds = brief ? 0.02 : 0.05;
    cl_int code;
    if (!find_device(info->platform, info->device, &s->id))
        return false;
    s->cl = clCreateContext(NULL, 1, &s->id, NULL, NULL, &code);
    if (failed(code, "clCreateContext"))
        return false;
    s->queue = clCreateCommandQueue(s->cl, s->id, 0, &code);
    s->group = s->cpu ? 1 : info->max_work_group < 256 ? info->max_work_group : 256;
    s->items = (size_t)info->compute_units * (s->cpu ? 4 : 8 * s->group);
    return !failed(code, "clCreateCommandQueue");
}

static void close_subject(subject *s) {
    if (s->queue)
        clReleaseCommandQueue(s->queue);
    if (s->cl)
        clReleaseContext(s->cl);
}

static void release_launch(launch *l) {
    if (l->kernel)
        clReleaseKernel(l->kernel);
    if (l->program)
        clReleaseProgram(l->program);
}

/* A kernel of cl/peak.cl. Release it even after a failure. */
static bool make_launch(subject *s, const char *kernel, int width, int chains, launch *out) {
    *out = (launch){0};
    char options[64];
    snprintf(options, sizeof options, "-DWIDTH=%d -DCHAINS=%d -DSPLIT=%d", width, chains, s->cpu);
    cl_int code;
    out->program = clCreateProgramWithSource(s->cl, 1, (const char **)&cln__kernel_sources[0].text, NULL, &code);
    if (failed(code, "clCreateProgramWithSource") ||
        failed(clBuildProgram(out->program, 1, &s->id, options, NULL, NULL), "clBuildProgram of cl/peak.cl"))
        return false;
    out->kernel = clCreateKernel(out->program, kernel, &code);
    return !failed(code, kernel);
}

static bool set(const launch *l, cl_uint argument, size_t size, const void *value) {
    return !failed(clSetKernelArg(l->kernel, argument, size, value), "clSetKernelArg");
}

/* Seconds that `times` launches take; negative after a failure. */
static double run(subject *s, cl_kernel kernel, int times) {
    double start = report_now_s();
    for (int i = 0; i < times; i++)
        if (failed(clEnqueueNDRangeKernel(s->queue, kernel, 1, NULL, &s->items, &s->group, 0, NULL, NULL),
                   "clEnqueueNDRangeKernel"))
            return -1;
    return failed(clFinish(s->queue), "clFinish") ? -1 : report_now_s() - start;
}

/* Sets the number of rounds so that a launch takes as long as a run, then measures. */
static bool measure_rounds(subject *s, const launch *l, double flop_a_round, figure *out) {
    cl_int rounds = 2000;
    double rates[MAX_RUNS], taken = -1;
    /* The first launch finishes the compilation, the second says how fast it is. */
    for (int warm_up = 0; warm_up < 2; warm_up++) {
        taken = set(l, 3, sizeof rounds, &rounds) ? run(s, l->kernel, 1) : -1;
        if (taken < 0)
            return false;
    }
    double wanted = rounds * s->seconds / taken;
    rounds = wanted < 1000 ? 1000 : wanted > 1e9 ? 1000000000 : (cl_int)wanted;
    if (!set(l, 3, sizeof rounds, &rounds))
        return false;
    for (int i = 0; i < s->runs; i++) {
        taken = run(s, l->kernel, 1);
        if (taken < 0)
            return false;
        rates[i] = flop_a_round * rounds / taken * 1e-9;
    }
    summarise(rates, s->runs, out);
    return true;
}

static bool measure_fma(subject *s, int width, int chains, figure *out) {
    snprintf(out->name, NAME, "OpenCL, float%d, %d chains", width, chains);
    cl_int code;
    cl_mem sink = clCreateBuffer(s->cl, CL_MEM_READ_WRITE, s->items * (size_t)width * sizeof(float), NULL, &code);
    if (failed(code, "clCreateBuffer"))
        return false;
    launch l;
    bool done = make_launch(s, "peak_fma", width, chains, &l);
    if (done) {
        const float a = 0.999f, b = 0.001f;
        done = set(&l, 0, sizeof sink, &sink) && set(&l, 1, sizeof a, &a) && set(&l, 2, sizeof b, &b) &&
               measure_rounds(s, &l, 2.0 * width * chains * (double)s->items, out);
    }
    release_launch(&l);
    clReleaseMemObject(sink);
    return done;
}

static bool measure_native(const subject *s, figure *out) {
    double rates[MAX_RUNS];
    const char *name = "";
    for (int i = 0; i < s->runs; i++) {
        rates[i] = native_gflops(s->info.compute_units, s->seconds, &name);
        if (rates[i] <= 0)
            return false;
    }
    snprintf(out->name, NAME, "%s", name);
    summarise(rates, s->runs, out);
    return true;
}

/* The passes of cl/peak.cl. Their arguments: `vectors` buffers, a factor if there is one, the count. */
typedef struct pass {
    const char *kernel, *name;
    int vectors;
    bool factor;
    int bytes_an_element;
    bool counts; /* reads and writes, so it may be the device's bandwidth */
} pass;

static const pass passes[] = {
    {"peak_read", "read: sum of x", 2, false, 4, false},
    {"peak_copy", "copy: y = x", 2, false, 8, true},
    {"peak_scale", "scale: y = a y", 1, true, 8, true},
    {"peak_triad", "triad: y = x + a z", 3, true, 12, true},
};
enum { PASSES = sizeof passes / sizeof *passes };

static bool set_pass(const launch *l, const pass *p, const cl_mem *buffers, cl_ulong count) {
    const float factor = 1.0f;
    cl_uint argument = 0;
    for (; (int)argument < p->vectors; argument++)
        if (!set(l, argument, sizeof *buffers, &buffers[argument]))
            return false;
    return (!p->factor || set(l, argument++, sizeof factor, &factor)) && set(l, argument, sizeof count, &count);
}

static bool measure_pass(subject *s, const pass *p, cl_mem *buffers, size_t bytes, figure *out) {
    snprintf(out->name, NAME, "%s", p->name);
    const int width = s->cpu ? 16 : 4;
    const cl_ulong count = bytes / sizeof(float) / (unsigned)width;
    double rates[MAX_RUNS], taken = 0;
    launch l;
    bool done = make_launch(s, p->kernel, width, 1, &l) && set_pass(&l, p, buffers, count);
    if (done) {
        taken = run(s, l.kernel, 1) < 0 ? -1 : run(s, l.kernel, 1);
        int times = taken <= 0 ? 1 : (int)(s->seconds / taken) + 1;
        for (int i = 0; i < s->runs && taken >= 0; i++) {
            taken = run(s, l.kernel, times);
            rates[i] = (double)bytes / 4 * p->bytes_an_element * times / taken * 1e-9;
        }
    }
    release_launch(&l);
    if (!done || taken < 0)
        return false;
    summarise(rates, s->runs, out);
    return true;
}

/* Well beyond the caches, within what the device gives. */
static size_t pass_bytes(const subject *s) {
    cl_ulong cache = 0;
    clGetDeviceInfo(s->id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof cache, &cache, NULL);
    uint64_t bytes = cache * (s->brief ? 2 : 4);
    bytes = bytes > ((uint64_t)128 << 20) ? bytes : (uint64_t)128 << 20;
    bytes = bytes < s->info.max_alloc_bytes ? bytes : s->info.max_alloc_bytes;
    bytes = bytes < s->info.memory_bytes / 8 ? bytes : s->info.memory_bytes / 8;
    return (size_t)(bytes & ~(uint64_t)0xffff);
}

static bool measure_passes(subject *s, size_t bytes, figure out[PASSES]) {
    cl_mem buffers[3] = {NULL, NULL, NULL};
    const float one = 1.0f;
    bool done = true;
    for (int i = 0; i < 3 && done; i++) {
        cl_int code;
        buffers[i] = clCreateBuffer(s->cl, CL_MEM_READ_WRITE, bytes, NULL, &code);
        done = !failed(code, "clCreateBuffer") &&
               !failed(clEnqueueFillBuffer(s->queue, buffers[i], &one, sizeof one, 0, bytes, 0, NULL, NULL),
                       "clEnqueueFillBuffer");
    }
    for (int i = 0; i < PASSES && done; i++)
        if (passes[i].counts || !s->brief)
            done = measure_pass(s, &passes[i], buffers, bytes, &out[i]);
    for (int i = 0; i < 3; i++)
        if (buffers[i])
            clReleaseMemObject(buffers[i]);
    return done;
}

/* Width and chains of the arithmetic kernels; the narrow ones are for GPUs, whose work-items are single lanes. */
static const struct {
    int width, chains;
    bool on_cpu;
} variants[] = {
    {1, 16, false}, {2, 8, false}, {4, 8, true},  {4, 16, true},
    {8, 8, true},   {8, 12, true}, {16, 8, true}, {16, 12, true},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

typedef struct peak {
    figure fma[VARIANTS + 1], pass[PASSES]; /* the native loop is the last of fma */
    int fmas;
    const figure *opencl, *native, *best, *bandwidth; /* native: NULL if this is no CPU, or it failed */
    size_t bytes;
} peak;

static bool measure(subject *s, peak *out) {
    *out = (peak){.bytes = pass_bytes(s)};
    for (int i = 0; i < VARIANTS; i++) {
        if (s->cpu && !variants[i].on_cpu)
            continue;
        figure *f = &out->fma[out->fmas];
        if (!measure_fma(s, variants[i].width, variants[i].chains, f))
            return false;
        out->fmas++;
        if (!out->opencl || f->median > out->opencl->median)
            out->opencl = f;
    }
    out->best = out->opencl;
    bool native = s->cpu && measure_native(s, &out->fma[out->fmas]);
    if (s->cpu && !native)
        fprintf(stderr, "clbench: peak: warning: the native loop could not be run, its figure is left out\n");
    if (native) {
        out->native = &out->fma[out->fmas++];
        if (out->native->median > out->best->median)
            out->best = out->native;
    }
    if (!measure_passes(s, out->bytes, out->pass))
        return false;
    for (int i = 0; i < PASSES; i++)
        if (passes[i].counts && (!out->bandwidth || out->pass[i].median > out->bandwidth->median))
            out->bandwidth = &out->pass[i];
    return true;
}

bool peak_measure(const cln_device_info *info, double *gflops, double *gbs) {
    subject s;
    peak p;
    bool done = open_subject(info, true, &s) && measure(&s, &p);
    close_subject(&s);
    if (done) {
        *gflops = p.best->median;
        *gbs = p.bandwidth->median;
    }
    return done;
}

static void print_figures(const char *title, const figure *figures, int count) {
    printf("%-42s %9s %9s %9s\n", title, "median", "min", "max");
    for (int i = 0; i < count; i++)
        printf("  %-40s %9.1f %9.1f %9.1f\n", figures[i].name, figures[i].median, figures[i].low, figures[i].high);
}

static void print_table(const subject *s, const peak *p) {
    char title[64], size[32];
    report_device(stdout, &s->info);
    print_figures("multiply-adds, GFLOP/s", p->fma, p->fmas);
    snprintf(title, sizeof title, "passes over %s, GB/s", report_bytes(p->bytes, size));
    print_figures(title, p->pass, PASSES);
    printf("peak: %.1f GFLOP/s, %.1f GB/s\n", p->best->median, p->bandwidth->median);
}

static int print_json(const subject *s, const peak *p) {
    cJSON *json = cJSON_CreateObject();
    cln__json_add(json, "device", cJSON_CreateString(s->info.name));
    cln__json_add(json, "driver", cJSON_CreateString(s->info.driver_version));
    report_json_float(json, "opencl_gflops", p->opencl->median);
    cln__json_add(json, "opencl_kernel", cJSON_CreateString(p->opencl->name));
    if (p->native)
        report_json_float(json, "native_gflops", p->native->median);
    else
        cln__json_add(json, "native_gflops", cJSON_CreateNull());
    report_json_float(json, "peak_gflops", p->best->median);
    report_json_float(json, "peak_gflops_min", p->best->low);
    report_json_float(json, "peak_gflops_max", p->best->high);
    report_json_float(json, "bandwidth_gbs", p->bandwidth->median);
    report_json_float(json, "bandwidth_gbs_min", p->bandwidth->low);
    report_json_float(json, "bandwidth_gbs_max", p->bandwidth->high);
    cln__json_add(json, "bandwidth_kernel", cJSON_CreateString(p->bandwidth->name));
    return report_json("clbench", json);
}

/* The library chooses the device, as for every other command. */
static cln_status choose_device(const char *spec, cln_context *ctx, cln_device_info *out) {
    cln_device *device;
    cln_status status = cln_device_open(ctx, spec, &device);
    if (status == CLN_OK)
        *out = *cln_device_get_info(device);
    cln_device_free(device);
    return status;
}

typedef struct arguments {
    const char *device;
    bool json;
} arguments;

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {.name = "device",
     .kind = CLI_TEXT,
     .offset = AT(device),
     .value = "D",
     .help = "platform:device index, cpu, gpu or part of a name"},
    {.name = "json", .kind = CLI_FLAG, .offset = AT(json), .help = "print one JSON object"},
    {.name = NULL},
};

static int run_command(int argc, char **argv) {
    arguments a = {.json = false};
    int exit_status;
    if (!cli_parse(&peak_command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    cln_device_info info;
    cln_status status = choose_device(a.device, ctx, &info);
    if (status == CLN_OK) {
        subject s;
        peak p;
        status = open_subject(&info, false, &s) && measure(&s, &p) ? CLN_OK : CLN_OPENCL;
        close_subject(&s);
        if (status != CLN_OK)
            report_warnings("clbench", ctx); /* the failed call is already printed */
        else if (a.json)
            status = (cln_status)print_json(&s, &p);
        else
            print_table(&s, &p);
        cln_context_free(ctx);
        return status;
    }
    exit_status = report_end("clbench", ctx, status);
    cln_context_free(ctx);
    return exit_status;
}

const cli_command peak_command = {
    .program = "clbench",
    .name = "peak",
    .help = "measure arithmetic and bandwidth of the device",
    .summary = "Measures the device: float32 multiply-adds in registers (on a CPU a native loop, too)\n"
               "and passes over memory.",
    .groups = CLI_ONE_GROUP(options),
    .run = run_command,
};
