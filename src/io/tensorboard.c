/* Event files: opening and going on with one, its records, scalars and pictures. */
#include "tensorboard.h"
#include "file.h"
#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_NAMES = 1000, MAX_NAME = 255, PNG_HEAD = 26 };
static const char prefix[] = "events.out.tfevents.", suffix[] = ".clnet";

/* --- the file --- */

bool cln_tensorboard_is_name(const char *name) {
    size_t length = strlen(name), end = sizeof suffix - 1;
    return length > sizeof prefix + end && length <= MAX_NAME && strncmp(name, prefix, sizeof prefix - 1) == 0 &&
           strcmp(name + length - end, suffix) == 0 && !strchr(name, '/');
}

/* The machine's name, with what is neither a letter nor a digit of ASCII, a dot nor a dash as a dash. */
static void host_name(char text[64]) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    if (gethostname(text, 64) != 0 || !text[0])
        strcpy(text, "localhost");
    text[63] = '\0';
    for (char *c = text; *c; c++)
        *c = strchr(plain, *c) ? *c : '-';
}

static cln_status board_new(cln_context *ctx, const char *folder, char *name, cln_tensorboard **out) {
    cln_tensorboard *board = calloc(1, sizeof *board);
    char *path = name ? cln__format("%s/%s", folder, name) : NULL;
    if (!board || !path) {
        free(board);
        free(path);
        free(name);
        return cln__fail_memory(ctx, "an event file");
    }
    *board = (cln_tensorboard){.ctx = ctx, .name = name, .path = path, .fd = -1};
    *out = board;
    return CLN_OK;
}

/* Creates the first file of the numbered names that is not there yet. */
static cln_status create(cln_context *ctx, const char *folder, cln_tensorboard **out) {
    char host[64];
    host_name(host);
    for (int i = 0; i < MAX_NAMES; i++) {
        char *name =
            cln__format("%s%010lld.%s.%ld.%d%s", prefix, (long long)time(NULL), host, (long)getpid(), i, suffix);
        CLN_TRY(board_new(ctx, folder, name, out));
        (*out)->fd = open((*out)->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if ((*out)->fd >= 0 || errno != EEXIST || i == MAX_NAMES - 1)
            break;
        cln_tensorboard_close(*out);
        *out = NULL;
    }
    return (*out)->fd >= 0 ? CLN_OK : cln__fail_errno(ctx, "cannot create", (*out)->path);
}

static cln_status write_version(cln_tensorboard *board) {
    Cln__Tb__Event event = CLN__TB__EVENT__INIT;
    event.what_case = CLN__TB__EVENT__WHAT_FILE_VERSION;
    event.file_version = "brain.Event:2";
    return cln__tensorboard_write(board, &event);
}

cln_status cln_tensorboard_open(cln_context *ctx, const char *folder, cln_tensorboard **out) {
    *out = NULL;
    cln_status status = create(ctx, folder, out);
    if (status == CLN_OK)
        status = write_version(*out);
    if (status == CLN_OK)
        status = cln__file_sync_folder_of(ctx, (*out)->path);
    if (status == CLN_OK)
        return CLN_OK;
    cln_tensorboard_close(*out);
    *out = NULL;
    return status;
}

/* Not blocking, and no link: the name may have come from a file. */
static cln_status cut(cln_tensorboard *b, int64_t bytes) {
    struct stat info;
    b->fd = open(b->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (b->fd < 0)
        return cln__fail_errno(b->ctx, "cannot open the event file", b->path);
    if (fstat(b->fd, &info) != 0)
        return cln__fail_errno(b->ctx, "cannot examine", b->path);
    if (!S_ISREG(info.st_mode) || info.st_size < bytes)
        return cln__fail(b->ctx, CLN_INVALID_FILE, "cannot go on with '%s': it has %lld bytes, expected at least %lld",
                         b->path, (long long)info.st_size, (long long)bytes);
    if (ftruncate(b->fd, (off_t)bytes) != 0)
        return cln__fail_errno(b->ctx, "cannot shorten", b->path);
    b->bytes = bytes;
    return CLN_OK;
}

cln_status cln_tensorboard_append(cln_context *ctx, const char *folder, const char *name, int64_t bytes,
                                  cln_tensorboard **out) {
    *out = NULL;
    if (!cln_tensorboard_is_name(name) || bytes < 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "'%.300s' with %lld bytes is no event file of ours", name,
                         (long long)bytes);
    CLN_TRY(board_new(ctx, folder, cln__format("%s", name), out));
    cln_status status = cut(*out, bytes);
    if (status == CLN_OK && bytes == 0)
        status = write_version(*out);
    if (status == CLN_OK)
        return CLN_OK;
    cln_tensorboard_close(*out);
    *out = NULL;
    return status;
}

void cln_tensorboard_close(cln_tensorboard *board) {
    if (!board)
        return;
    if (board->fd >= 0)
        close(board->fd);
    free(board->name);
    free(board->path);
    free(board);
}

const char *cln_tensorboard_name(const cln_tensorboard *board) {
    return board->name;
}

int64_t cln_tensorboard_bytes(const cln_tensorboard *board) {
    return board->bytes;
}

cln_status cln_tensorboard_flush(cln_tensorboard *board) {
    return fsync(board->fd) == 0 ? CLN_OK : cln__fail_errno(board->ctx, "cannot sync", board->path);
}

/* --- records --- */

ProtobufCBinaryData cln__tensorboard_pack(const ProtobufCMessage *message) {
    ProtobufCBinaryData packed = {.len = protobuf_c_message_get_packed_size(message)};
    packed.data = malloc(packed.len ? packed.len : 1);
    if (packed.data)
        protobuf_c_message_pack(message, packed.data);
    return packed;
}

/* A failed write leaves no part of the record behind, if the system lets it be taken back. */
static cln_status write_record(cln_tensorboard *b, ProtobufCBinaryData data) {
    uint8_t head[CLN__RECORD_HEAD], tail[CLN__RECORD_TAIL];
    cln__record_frame(data.data, data.len, head, tail);
    if (!cln__file_put(b->fd, (cln__bytes){head, sizeof head}) ||
        !cln__file_put(b->fd, (cln__bytes){data.data, data.len}) ||
        !cln__file_put(b->fd, (cln__bytes){tail, sizeof tail})) {
        cln_status status = cln__fail_errno(b->ctx, "cannot write", b->path);
        return ftruncate(b->fd, (off_t)b->bytes) == 0 ? status : CLN_IO;
    }
    b->bytes += (int64_t)(sizeof head + data.len + sizeof tail);
    return CLN_OK;
}

cln_status cln__tensorboard_write(cln_tensorboard *board, Cln__Tb__Event *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    ProtobufCBinaryData data = cln__tensorboard_pack(&event->base);
    cln_status status = data.data ? write_record(board, data) : cln__fail_memory(board->ctx, "an event");
    free(data.data);
    return status;
}

/* --- values --- */

static cln_status write_value(cln_tensorboard *board, const char *tag, int64_t step, Cln__Tb__Value *value) {
    Cln__Tb__Event event = CLN__TB__EVENT__INIT;
    Cln__Tb__Summary summary = CLN__TB__SUMMARY__INIT;
    if (!tag[0] || !cln_is_utf8(tag))
        return cln__fail(board->ctx, CLN_INVALID_ARGUMENT, "an event's tag must be text in UTF-8, and not empty");
    value->tag = (char *)tag;
    summary.n_value = 1;
    summary.value = &value;
    event.step = step;
    event.what_case = CLN__TB__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return cln__tensorboard_write(board, &event);
}

cln_status cln_tensorboard_scalar(cln_tensorboard *board, const char *tag, int64_t step, double value) {
    Cln__Tb__Value scalar = CLN__TB__VALUE__INIT;
    scalar.value_case = CLN__TB__VALUE__VALUE_SIMPLE_VALUE;
    scalar.simple_value = (float)value;
    return write_value(board, tag, step, &scalar);
}

static int32_t big_endian(const uint8_t *at) {
    return (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

/* Sides and channels from the head of a PNG file: the mark, then the chunk IHDR. */
static bool read_png(const uint8_t *png, size_t size, Cln__Tb__Image *image) {
    static const uint8_t mark[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
    static const int32_t channels[] = {1, 0, 3, 3, 2, 0, 4}; /* by the type of colour; 3 is a palette */
    if (size < PNG_HEAD || memcmp(png, mark, sizeof mark) != 0 || png[25] > 6)
        return false;
    image->width = big_endian(png + 16);
    image->height = big_endian(png + 20);
    image->colorspace = channels[png[25]];
    return image->width > 0 && image->height > 0 && image->colorspace > 0;
}

cln_status cln_tensorboard_image(cln_tensorboard *board, const char *tag, int64_t step, const void *png, size_t size) {
    Cln__Tb__Value value = CLN__TB__VALUE__INIT;
    Cln__Tb__Image image = CLN__TB__IMAGE__INIT;
    if (!read_png(png, size, &image))
        return cln__fail(board->ctx, CLN_INVALID_ARGUMENT, "the picture '%s' is not in the PNG format", tag);
    image.encoded = (ProtobufCBinaryData){size, (uint8_t *)png};
    value.value_case = CLN__TB__VALUE__VALUE_IMAGE;
    value.image = &image;
    return write_value(board, tag, step, &value);
}
