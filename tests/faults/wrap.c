/* The calls of our own code that can fail, wrapped: the linker sends each call of NAME in our objects to __wrap_NAME
 * (--wrap), while drivers and libraries call the real one. Calls with the suffix _chk are those of _FORTIFY_SOURCE. */
#include "track.h"

#include <cjson/cJSON.h>
#include <CL/cl.h>
#include <clblast_c.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* A function that fails by `failure`, statements that end in a return, and else does what it does. */
#define WRAP(type, f, parameters, arguments, failure)                                                                  \
    type __real_##f parameters;                                                                                        \
    type __wrap_##f parameters;                                                                                        \
    type __wrap_##f parameters {                                                                                       \
        static call c = {.name = #f};                                                                                  \
        if (fault(&c)) {                                                                                               \
            failure;                                                                                                   \
        }                                                                                                              \
        return __real_##f arguments;                                                                                   \
    }
/* One that does its work and then says that it failed. */
#define WRAP_LATE(type, f, parameters, arguments, failure)                                                             \
    type __real_##f parameters;                                                                                        \
    type __wrap_##f parameters;                                                                                        \
    type __wrap_##f parameters {                                                                                       \
        static call c = {.name = #f};                                                                                  \
        bool fails = fault(&c);                                                                                        \
        type result = __real_##f arguments;                                                                            \
        if (fails) {                                                                                                   \
            failure;                                                                                                   \
        }                                                                                                              \
        return result;                                                                                                 \
    }
#define FAIL(code, value)                                                                                              \
    errno = code;                                                                                                      \
    return value

/* --- memory --- */

#define ALLOCATE(f, parameters, arguments)                                                                             \
    void *__real_##f parameters;                                                                                       \
    void *__wrap_##f parameters;                                                                                       \
    void *__wrap_##f parameters {                                                                                      \
        static call c = {.name = #f};                                                                                  \
        if (fault(&c)) {                                                                                               \
            FAIL(ENOMEM, NULL);                                                                                        \
        }                                                                                                              \
        void *memory = __real_##f arguments;                                                                           \
        live_add(memory);                                                                                              \
        return memory;                                                                                                 \
    }
ALLOCATE(malloc, (size_t size), (size))
ALLOCATE(calloc, (size_t count, size_t size), (count, size))
ALLOCATE(strdup, (const char *text), (text))

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size) {
    static call c = {.name = "realloc"};
    if (fault(&c)) {
        FAIL(ENOMEM, NULL);
    }
    live_drop(old);
    void *memory = __real_realloc(old, size);
    live_add(memory ? memory : old);
    return memory;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory) {
    live_drop(memory);
    __real_free(memory);
}

WRAP(FILE *, open_memstream, (char **text, size_t *size), (text, size), FAIL(ENOMEM, NULL))

/* What was made by us and is freed by protobuf-c, which has a way to be told how. */
static void *protobuf_allocate(void *data, size_t size) {
    (void)data;
    return malloc(size);
}
static void protobuf_free(void *data, void *memory) {
    (void)data;
    free(memory);
}
void __real_protobuf_c_message_free_unpacked(ProtobufCMessage *message, ProtobufCAllocator *allocator);
void __wrap_protobuf_c_message_free_unpacked(ProtobufCMessage *message, ProtobufCAllocator *allocator);
void __wrap_protobuf_c_message_free_unpacked(ProtobufCMessage *message, ProtobufCAllocator *allocator) {
    ProtobufCAllocator ours = {.alloc = protobuf_allocate, .free = protobuf_free};
    __real_protobuf_c_message_free_unpacked(message, allocator ? allocator : &ours);
}

/* What cJSON allocates is ours to check: every cJSON_Create* and cJSON_Add* is a call that may fail. */
static void *cjson_malloc(size_t size) {
    static call c = {.name = "cJSON"};
    if (fault(&c)) {
        FAIL(ENOMEM, NULL);
    }
    return __real_malloc(size);
}
__attribute__((constructor)) static void wrap_cjson(void) {
    cJSON_InitHooks(&(cJSON_Hooks){cjson_malloc, __real_free});
}

/* --- files --- */

static int open_mode(int flags, va_list list) {
    return flags & O_CREAT ? va_arg(list, int) : 0;
}
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    static call c = {.name = "open64"};
    if (fault(&c)) {
        FAIL(EIO, -1);
    }
    va_list list;
    va_start(list, flags);
    int mode = open_mode(flags, list);
    va_end(list);
    return __real_open64(path, flags, mode);
}
WRAP(ssize_t, read, (int fd, void *out, size_t size), (fd, out, size), FAIL(EIO, -1))
WRAP(ssize_t, __read_chk, (int fd, void *out, size_t size, size_t room), (fd, out, size, room), FAIL(EIO, -1))
WRAP(ssize_t, pread64, (int fd, void *out, size_t size, off_t at), (fd, out, size, at), FAIL(EIO, -1))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), FAIL(ENOSPC, -1))
WRAP_LATE(int, close, (int fd), (fd), FAIL(EIO, -1))
WRAP(int, fsync, (int fd), (fd), FAIL(ENOSPC, -1))
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), FAIL(EIO, -1))
WRAP(int, fstat64, (int fd, struct stat *out), (fd, out), FAIL(EIO, -1))
WRAP(int, stat64, (const char *path, struct stat *out), (path, out), FAIL(EIO, -1))
WRAP(int, lstat64, (const char *path, struct stat *out), (path, out), FAIL(EIO, -1))
WRAP(int, access, (const char *path, int mode), (path, mode), FAIL(EIO, -1))
WRAP(int, rename, (const char *from, const char *to), (from, to), FAIL(EIO, -1))
WRAP(int, unlink, (const char *path), (path), FAIL(EIO, -1))
WRAP(int, rmdir, (const char *path), (path), FAIL(EIO, -1))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), FAIL(ENOSPC, -1))
WRAP(int, mkstemp64, (char *name), (name), FAIL(ENOSPC, -1))
WRAP(char *, realpath, (const char *path, char *out), (path, out), FAIL(EIO, NULL))
WRAP(int, gethostname, (char *name, size_t size), (name, size), FAIL(ENAMETOOLONG, -1))
WRAP(int, __gethostname_chk, (char *name, size_t size, size_t room), (name, size, room), FAIL(ENAMETOOLONG, -1))
WRAP(int, flock, (int fd, int operation), (fd, operation), FAIL(ENOLCK, -1))
WRAP(DIR *, opendir, (const char *path), (path), FAIL(EIO, NULL))
WRAP(struct dirent *, readdir64, (DIR * open), (open), FAIL(EIO, NULL))
typedef int filter_function(const struct dirent *);
typedef int order_function(const struct dirent **, const struct dirent **);
WRAP(int, scandir64, (const char *path, struct dirent ***out, filter_function *filter, order_function *order),
     (path, out, filter, order), FAIL(EIO, -1))

WRAP(FILE *, fopen64, (const char *path, const char *mode), (path, mode), FAIL(EIO, NULL))
WRAP(FILE *, tmpfile64, (void), (), FAIL(EIO, NULL))
WRAP_LATE(int, fclose, (FILE * file), (file), FAIL(ENOSPC, EOF))
WRAP_LATE(int, fflush, (FILE * file), (file), FAIL(ENOSPC, EOF))
/* A stream of which something could not be read; ferror tells. */
static const FILE *broken;
#define FAIL_READING(value)                                                                                            \
    broken = file;                                                                                                     \
    FAIL(EIO, value)
WRAP(size_t, fread, (void *out, size_t size, size_t count, FILE *file), (out, size, count, file), FAIL_READING(0))
WRAP(size_t, __fread_chk, (void *out, size_t room, size_t size, size_t count, FILE *file),
     (out, room, size, count, file), FAIL_READING(0))
WRAP(char *, fgets, (char *out, int size, FILE *file), (out, size, file), FAIL_READING(NULL))
WRAP(char *, __fgets_chk, (char *out, size_t room, int size, FILE *file), (out, room, size, file), FAIL_READING(NULL))
WRAP(ssize_t, getline, (char **line, size_t *room, FILE *file), (line, room, file), FAIL_READING(-1))
int __real_ferror(FILE *file);
int __wrap_ferror(FILE *file);
int __wrap_ferror(FILE *file) {
    static call c = {.name = "ferror"};
    if (fault(&c) || file == broken) {
        FAIL(EIO, 1);
    }
    return __real_ferror(file);
}
WRAP(int, fseek, (FILE * file, long at, int from), (file, at, from), FAIL(EIO, -1))
WRAP(long, ftell, (FILE * file), (file), FAIL(EIO, -1))
WRAP(gzFile, gzdopen, (int fd, const char *mode), (fd, mode), FAIL(ENOMEM, NULL))
static gzFile broken_gz;
WRAP(int, gzread, (gzFile file, voidp out, unsigned size), (file, out, size), broken_gz = file; FAIL(EIO, -1))
const char *__real_gzerror(gzFile file, int *code);
const char *__wrap_gzerror(gzFile file, int *code);
const char *__wrap_gzerror(gzFile file, int *code) {
    if (file != broken_gz)
        return __real_gzerror(file, code);
    *code = Z_ERRNO;
    errno = EIO;
    return "";
}
WRAP(int, compress2, (Bytef * out, uLongf *room, const Bytef *data, uLong size, int level),
     (out, room, data, size, level), return Z_MEM_ERROR)

/* --- the database of the tuner's results --- */

WRAP(int, sqlite3_open_v2, (const char *path, sqlite3 **out, int flags, const char *vfs), (path, out, flags, vfs),
     *out = NULL;
     return SQLITE_NOMEM)
WRAP(int, sqlite3_prepare_v2, (sqlite3 * db, const char *sql, int size, sqlite3_stmt **out, const char **rest),
     (db, sql, size, out, rest), *out = NULL;
     return SQLITE_IOERR)
WRAP(int, sqlite3_step, (sqlite3_stmt * row), (row), return SQLITE_IOERR)
WRAP(int, sqlite3_exec,
     (sqlite3 * db, const char *sql, int (*f)(void *, int, char **, char **), void *data, char **why),
     (db, sql, f, data, why), return SQLITE_FULL)

/* --- threads, processes, time --- */

WRAP(int, pthread_create, (pthread_t * out, const pthread_attr_t *attributes, void *(*run)(void *), void *data),
     (out, attributes, run, data), return EAGAIN)
WRAP(int, pthread_mutex_init, (pthread_mutex_t * out, const pthread_mutexattr_t *attributes), (out, attributes),
     return ENOMEM)
WRAP(int, pthread_cond_init, (pthread_cond_t * out, const pthread_condattr_t *attributes), (out, attributes),
     return ENOMEM)
WRAP(int, pthread_attr_init, (pthread_attr_t * out), (out), return ENOMEM)
WRAP(int, pipe, (int fd[2]), (fd), FAIL(EMFILE, -1))
WRAP(int, poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms), FAIL(ENOMEM, -1))
WRAP(int, posix_spawn,
     (pid_t * out, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
      char *const argv[], char *const environment[]),
     (out, path, actions, attributes, argv, environment), return EAGAIN)
WRAP(int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t * out), (out), return ENOMEM)
WRAP(int, posix_spawnattr_init, (posix_spawnattr_t * out), (out), return ENOMEM)

static void turn_back(time_t *seconds) {
    static call c = {.name = "clock"};
    static time_t hours;
    if (fault(&c))
        *seconds -= 3600 * ++hours;
}
int __real_clock_gettime(clockid_t which, struct timespec *out);
int __wrap_clock_gettime(clockid_t which, struct timespec *out);
int __wrap_clock_gettime(clockid_t which, struct timespec *out) {
    int result = __real_clock_gettime(which, out);
    if (which == CLOCK_REALTIME)
        turn_back(&out->tv_sec);
    return result;
}
time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out) {
    time_t now = __real_time(NULL);
    turn_back(&now);
    if (out)
        *out = now;
    return now;
}

/* --- OpenCL --- */

/* A call that returns a code. `kind` of object is alive by `change` more after success. */
#define DEVICE_CALL(f, lost, parameters, arguments, after)                                                             \
    cl_int __real_##f parameters;                                                                                      \
    cl_int __wrap_##f parameters;                                                                                      \
    cl_int __wrap_##f parameters {                                                                                     \
        static call c = {.name = #f, .on_device = lost};                                                               \
        if (fault(&c))                                                                                                 \
            return fault_code();                                                                                       \
        cl_int code = __real_##f arguments;                                                                            \
        if (code == CL_SUCCESS) {                                                                                      \
            after;                                                                                                     \
        }                                                                                                              \
        return code;                                                                                                   \
    }
#define NOTHING (void)0
/* Those that wait: what was enqueued must be over before its memory goes. */
#define DEVICE_WAIT(f, parameters, arguments)                                                                          \
    cl_int __real_##f parameters;                                                                                      \
    cl_int __wrap_##f parameters;                                                                                      \
    cl_int __wrap_##f parameters {                                                                                     \
        static call c = {.name = #f, .on_device = true};                                                               \
        bool fails = fault(&c);                                                                                        \
        cl_int code = __real_##f arguments;                                                                            \
        return fails ? fault_code() : code;                                                                            \
    }
/* One that makes an object. */
#define DEVICE_NEW(type, f, kind, lost, parameters, arguments)                                                         \
    type __real_##f parameters;                                                                                        \
    type __wrap_##f parameters;                                                                                        \
    type __wrap_##f parameters {                                                                                       \
        static call c = {.name = #f, .on_device = lost};                                                               \
        if (fault(&c)) {                                                                                               \
            if (code)                                                                                                  \
                *code = fault_code();                                                                                  \
            return NULL;                                                                                               \
        }                                                                                                              \
        type made = __real_##f arguments;                                                                              \
        live_object(kind, made != NULL);                                                                               \
        return made;                                                                                                   \
    }
#define DEVICE_RELEASE(f, type, kind, change)                                                                          \
    cl_int __real_##f(type object);                                                                                    \
    cl_int __wrap_##f(type object);                                                                                    \
    cl_int __wrap_##f(type object) {                                                                                   \
        cl_int code = __real_##f(object);                                                                              \
        if (code == CL_SUCCESS)                                                                                        \
            live_object(kind, change);                                                                                 \
        return code;                                                                                                   \
    }

DEVICE_CALL(clGetPlatformIDs, false, (cl_uint room, cl_platform_id *out, cl_uint *count), (room, out, count), NOTHING)
DEVICE_CALL(clGetPlatformInfo, false,
            (cl_platform_id platform, cl_platform_info what, size_t room, void *out, size_t *size),
            (platform, what, room, out, size), NOTHING)
DEVICE_CALL(clGetDeviceIDs, false,
            (cl_platform_id platform, cl_device_type type, cl_uint room, cl_device_id *out, cl_uint *count),
            (platform, type, room, out, count), NOTHING)
DEVICE_CALL(clGetDeviceInfo, false, (cl_device_id id, cl_device_info what, size_t room, void *out, size_t *size),
            (id, what, room, out, size), NOTHING)
DEVICE_CALL(clGetProgramInfo, false, (cl_program program, cl_program_info what, size_t room, void *out, size_t *size),
            (program, what, room, out, size), NOTHING)
DEVICE_CALL(clGetProgramBuildInfo, false,
            (cl_program program, cl_device_id id, cl_program_build_info what, size_t room, void *out, size_t *size),
            (program, id, what, room, out, size), NOTHING)
DEVICE_CALL(clGetKernelWorkGroupInfo, false,
            (cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what, size_t room, void *out, size_t *size),
            (kernel, id, what, room, out, size), NOTHING)
DEVICE_CALL(clGetEventProfilingInfo, false,
            (cl_event event, cl_profiling_info what, size_t room, void *out, size_t *size),
            (event, what, room, out, size), NOTHING)
DEVICE_CALL(clSetKernelArg, false, (cl_kernel kernel, cl_uint index, size_t size, const void *value),
            (kernel, index, size, value), NOTHING)
DEVICE_CALL(clBuildProgram, true,
            (cl_program program, cl_uint count, const cl_device_id *ids, const char *options,
             void(CL_CALLBACK *told)(cl_program, void *), void *data),
            (program, count, ids, options, told, data), NOTHING)
DEVICE_CALL(clEnqueueNDRangeKernel, true,
            (cl_command_queue queue, cl_kernel kernel, cl_uint axes, const size_t *offset, const size_t *global,
             const size_t *local, cl_uint count, const cl_event *after, cl_event *event),
            (queue, kernel, axes, offset, global, local, count, after, event), live_object(LIVE_EVENT, event != NULL))
DEVICE_CALL(clEnqueueFillBuffer, true,
            (cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_size, size_t offset,
             size_t size, cl_uint count, const cl_event *after, cl_event *event),
            (queue, buffer, pattern, pattern_size, offset, size, count, after, event),
            live_object(LIVE_EVENT, event != NULL))
DEVICE_CALL(clEnqueueReadBuffer, true,
            (cl_command_queue queue, cl_mem buffer, cl_bool waits, size_t offset, size_t size, void *out, cl_uint count,
             const cl_event *after, cl_event *event),
            (queue, buffer, waits, offset, size, out, count, after, event), live_object(LIVE_EVENT, event != NULL))
DEVICE_CALL(clEnqueueWriteBuffer, true,
            (cl_command_queue queue, cl_mem buffer, cl_bool waits, size_t offset, size_t size, const void *data,
             cl_uint count, const cl_event *after, cl_event *event),
            (queue, buffer, waits, offset, size, data, count, after, event), live_object(LIVE_EVENT, event != NULL))
DEVICE_WAIT(clFinish, (cl_command_queue queue), (queue))
DEVICE_WAIT(clFlush, (cl_command_queue queue), (queue))
DEVICE_WAIT(clWaitForEvents, (cl_uint count, const cl_event *events), (count, events))

DEVICE_NEW(cl_context, clCreateContext, LIVE_CONTEXT, false,
           (const cl_context_properties *properties, cl_uint count, const cl_device_id *ids,
            void(CL_CALLBACK *told)(const char *, const void *, size_t, void *), void *data, cl_int *code),
           (properties, count, ids, told, data, code))
DEVICE_NEW(cl_command_queue, clCreateCommandQueue, LIVE_QUEUE, true,
           (cl_context context, cl_device_id id, cl_command_queue_properties properties, cl_int *code),
           (context, id, properties, code))
DEVICE_NEW(cl_mem, clCreateBuffer, LIVE_BUFFER, true,
           (cl_context context, cl_mem_flags flags, size_t size, void *data, cl_int *code),
           (context, flags, size, data, code))
DEVICE_NEW(cl_program, clCreateProgramWithSource, LIVE_PROGRAM, false,
           (cl_context context, cl_uint count, const char **texts, const size_t *sizes, cl_int *code),
           (context, count, texts, sizes, code))
DEVICE_NEW(cl_program, clCreateProgramWithBinary, LIVE_PROGRAM, false,
           (cl_context context, cl_uint count, const cl_device_id *ids, const size_t *sizes,
            const unsigned char **binaries, cl_int *taken, cl_int *code),
           (context, count, ids, sizes, binaries, taken, code))
DEVICE_NEW(cl_kernel, clCreateKernel, LIVE_KERNEL, false, (cl_program program, const char *name, cl_int *code),
           (program, name, code))

DEVICE_CALL(clRetainProgram, false, (cl_program program), (program), live_object(LIVE_PROGRAM, 1))
DEVICE_RELEASE(clReleaseContext, cl_context, LIVE_CONTEXT, -1)
DEVICE_RELEASE(clReleaseCommandQueue, cl_command_queue, LIVE_QUEUE, -1)
DEVICE_RELEASE(clReleaseMemObject, cl_mem, LIVE_BUFFER, -1)
DEVICE_RELEASE(clReleaseProgram, cl_program, LIVE_PROGRAM, -1)
DEVICE_RELEASE(clReleaseKernel, cl_kernel, LIVE_KERNEL, -1)
DEVICE_RELEASE(clReleaseEvent, cl_event, LIVE_EVENT, -1)

WRAP(CLBlastStatusCode, CLBlastSGemmTempBufferSize,
     (CLBlastLayout layout, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, size_t oa,
      size_t lda, size_t ob, size_t ldb, size_t oc, size_t ldc, cl_command_queue *queue, size_t *bytes),
     (layout, ta, tb, m, n, k, oa, lda, ob, ldb, oc, ldc, queue, bytes), return CLBlastUnexpectedError)

CLBlastStatusCode __real_CLBlastSgemmWithTempBuffer(CLBlastLayout, CLBlastTranspose, CLBlastTranspose, size_t, size_t,
                                                    size_t, float, cl_mem, size_t, size_t, cl_mem, size_t, size_t,
                                                    float, cl_mem, size_t, size_t, cl_command_queue *, cl_event *,
                                                    cl_mem);
CLBlastStatusCode __wrap_CLBlastSgemmWithTempBuffer(CLBlastLayout, CLBlastTranspose, CLBlastTranspose, size_t, size_t,
                                                    size_t, float, cl_mem, size_t, size_t, cl_mem, size_t, size_t,
                                                    float, cl_mem, size_t, size_t, cl_command_queue *, cl_event *,
                                                    cl_mem);
CLBlastStatusCode __wrap_CLBlastSgemmWithTempBuffer(CLBlastLayout layout, CLBlastTranspose ta, CLBlastTranspose tb,
                                                    size_t m, size_t n, size_t k, float alpha, cl_mem a, size_t oa,
                                                    size_t lda, cl_mem b, size_t ob, size_t ldb, float beta, cl_mem c_,
                                                    size_t oc, size_t ldc, cl_command_queue *queue, cl_event *event,
                                                    cl_mem temp) {
    static call c = {.name = "CLBlastSgemmWithTempBuffer", .on_device = true};
    if (fault(&c))
        return CLBlastUnexpectedError;
    CLBlastStatusCode code = __real_CLBlastSgemmWithTempBuffer(layout, ta, tb, m, n, k, alpha, a, oa, lda, b, ob, ldb,
                                                               beta, c_, oc, ldc, queue, event, temp);
    live_object(LIVE_EVENT, code == CLBlastSuccess && event);
    return code;
}
