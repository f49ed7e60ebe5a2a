/* Folders of images, <split>/<class>/<image>: every file is decoded and resized once, by as many threads as there are
 * processors, into its place among the images. What is found does not depend on the order in which they work. */
#include "../io/file.h"
#include "image.h"
#include "image_list.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_SIDE = 4096,
    MAX_FILE_BYTES = 1 << 30,
    MAX_THREADS = 64,
    MAX_LISTED = 5, /* faults in a message */
};

bool cln__images_present(const char *folder) {
    return cln__folder_has(folder, "train") || cln__folder_has(folder, "test") || cln__folder_has(folder, "val");
}

typedef struct fault {
    size_t file;
    cln_status status;
    char *message; /* NULL: no memory for it */
} fault;

typedef struct job {
    const cln__image_list *list;
    cln_dataset *dataset; /* its images are filled in */
    size_t image_bytes;
    bool any_size, any_colour; /* resized, and made grey or coloured, to what is wanted; else a fault, or looked for */

    pthread_mutex_t mutex; /* guards what follows */
    size_t next;
    bool colour; /* an image is coloured, while they are being read as grey */
    size_t faults;
    fault fault[MAX_LISTED + 1 + MAX_THREADS];
} job;

static cln_status read_file(cln_context *ctx, const char *path, uint8_t **bytes, size_t *size, cln__image *image) {
    CLN_TRY(cln__file_read(ctx, path, MAX_FILE_BYTES, bytes, size));
    return cln__image_examine(ctx, path, *bytes, *size, image);
}

static cln_status fill_in(cln_context *ctx, job *j, size_t file, const uint8_t *bytes, size_t size, cln__image *image) {
    const char *path = j->list->path[file];
    const cln_dataset *d = j->dataset;
    bool same_size = image->height == d->height && image->width == d->width;
    if (!same_size && !j->any_size)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "image '%s' is %dx%d, the first one %dx%d (height x width): give --image-size, and all are "
                         "resized to it",
                         path, image->height, image->width, d->height, d->width);
    if (image->channels > d->channels && !j->any_colour) {
        pthread_mutex_lock(&j->mutex);
        j->colour = true;
        pthread_mutex_unlock(&j->mutex);
        return CLN_OK;
    }
    image->channels = d->channels;
    CLN_TRY(cln__image_decode(ctx, path, bytes, size, image));
    uint8_t *out = d->images + file * j->image_bytes;
    d->labels[file] = j->list->label[file];
    if (!same_size)
        return cln__image_resize(ctx, image, d->height, d->width, out);
    memcpy(out, image->planes, j->image_bytes);
    return CLN_OK;
}

static cln_status read_image(cln_context *ctx, job *j, size_t file) {
    uint8_t *bytes = NULL;
    size_t size;
    cln__image image = {0};
    cln_status status = read_file(ctx, j->list->path[file], &bytes, &size, &image);
    if (status == CLN_OK)
        status = fill_in(ctx, j, file, bytes, size, &image);
    free(image.planes);
    free(bytes);
    return status;
}

/* With more faults than are listed, the first ones of all are among those found: whoever took an earlier file finishes
 * it. */
static bool take(job *j, size_t *file) {
    pthread_mutex_lock(&j->mutex);
    bool more = j->next < j->list->count && !j->colour && j->faults <= MAX_LISTED;
    if (more)
        *file = j->next++;
    pthread_mutex_unlock(&j->mutex);
    return more;
}

static void record(job *j, size_t file, cln_status status, const char *message) {
    char *copy = cln__format("%s", message);
    pthread_mutex_lock(&j->mutex);
    j->fault[j->faults++] = (fault){file, status, copy};
    pthread_mutex_unlock(&j->mutex);
}

static void *work(void *argument) {
    job *j = argument;
    cln_context *own; /* for this thread's messages */
    cln_status made = cln_context_new(&own);
    for (size_t file; take(j, &file);) {
        cln_status status = made == CLN_OK ? read_image(own, j, file) : made;
        if (status != CLN_OK)
            record(j, file, status, made == CLN_OK ? cln_context_error(own) : cln_status_text(made));
    }
    cln_context_free(own);
    return NULL;
}

/* The caller works too, so that threads that cannot be started are not missed. */
static void work_in_parallel(job *j) {
    pthread_t thread[MAX_THREADS];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int wanted = processors > MAX_THREADS ? MAX_THREADS : processors > 1 ? (int)processors : 1, started = 0;
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started + 1 < wanted && pthread_create(&thread[started], NULL, work, j) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(j);
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

static int compare_faults(const void *a, const void *b) {
    const fault *x = a, *y = b;
    return (x->file > y->file) - (x->file < y->file);
}

/* One message from the first faults; frees them all. */
static cln_status report(cln_context *ctx, job *j) {
    if (j->faults == 0)
        return CLN_OK;
    qsort(j->fault, j->faults, sizeof *j->fault, compare_faults);
    size_t listed = j->faults < MAX_LISTED ? j->faults : MAX_LISTED;
    char *text = cln__format("%s", j->fault[0].message ? j->fault[0].message : "no memory");
    for (size_t i = 1; text && i < listed; i++) {
        char *longer = cln__format("%s; %s", text, j->fault[i].message ? j->fault[i].message : "no memory");
        free(text);
        text = longer;
    }
    cln_status status = j->fault[0].status;
    if (!text)
        status = cln__fail_memory(ctx, "the images of a folder");
    else if (j->faults > 1)
        cln__fail(ctx, status, "%s%zu of %zu images cannot be used: %s%s", j->faults > listed ? "more than " : "",
                  listed, j->list->count, text, j->faults > listed ? "; ..." : "");
    else
        cln__fail(ctx, status, "%s", text);
    free(text);
    for (size_t i = 0; i < j->faults; i++)
        free(j->fault[i].message);
    j->faults = 0;
    return status;
}

static cln_status make_room(cln_context *ctx, job *j) {
    cln_dataset *d = j->dataset;
    size_t count = j->list->count, bytes;
    j->image_bytes = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    free(d->images);
    free(d->labels);
    d->labels = calloc(count, sizeof *d->labels);
    d->images = cln__mul_size(count, j->image_bytes, &bytes) ? malloc(bytes) : NULL;
    if (!d->labels || !d->images)
        return cln__fail(ctx, CLN_OUT_OF_MEMORY,
                         "not enough host memory for %zu images of %dx%dx%d; --image-size makes them smaller", count,
                         d->channels, d->height, d->width);
    return CLN_OK;
}

/* The first image that can be read tells the size, if it is not given, and whether to begin with grey; if there is
 * none, anything will do for finding the faults. */
static void look_at_first(const cln__image_list *l, const cln_dataset_options *options, cln_dataset *d) {
    cln_context *own;
    cln__image image = {.channels = 1, .height = 1, .width = 1};
    bool found = cln_context_new(&own) != CLN_OK;
    for (size_t i = 0; i < l->count && !found; i++) {
        uint8_t *bytes = NULL;
        size_t size;
        found = read_file(own, l->path[i], &bytes, &size, &image) == CLN_OK;
        free(bytes);
    }
    cln_context_free(own);
    d->height = options->height ? options->height : image.height;
    d->width = options->width ? options->width : image.width;
    d->channels = options->channels ? options->channels : image.channels;
}

static cln_status read_all(cln_context *ctx, const cln__image_list *l, const cln_dataset_options *options,
                           cln_dataset *dataset) {
    job *j = calloc(1, sizeof *j);
    if (!j || pthread_mutex_init(&j->mutex, NULL) != 0) {
        free(j);
        return cln__fail_memory(ctx, "reading images");
    }
    j->list = l;
    j->dataset = dataset;
    j->any_size = options->height > 0;
    j->any_colour = options->channels > 0;
    look_at_first(l, options, dataset);
    cln_status status;
    do {
        dataset->channels = j->colour ? 3 : dataset->channels;
        j->next = 0;
        j->colour = false;
        status = make_room(ctx, j);
        if (status == CLN_OK) {
            work_in_parallel(j);
            status = report(ctx, j);
        }
    } while (j->colour && status == CLN_OK);
    pthread_mutex_destroy(&j->mutex);
    free(j);
    dataset->count = status == CLN_OK ? (int64_t)l->count : 0;
    return status;
}

static cln_status check_options(cln_context *ctx, const cln_dataset_options *o) {
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "image folder: %d channels are wanted, expected 1 or 3",
                         o->channels);
    bool none = o->height == 0 && o->width == 0;
    if (!none && (o->height < 1 || o->height > MAX_SIDE || o->width < 1 || o->width > MAX_SIDE))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "image folder: images of %dx%d are wanted, expected sides of 1 to %d", o->height, o->width,
                         MAX_SIDE);
    return CLN_OK;
}

cln_status cln__images_load(cln_context *ctx, const char *folder, cln_split split, const cln_dataset_options *options,
                            cln_dataset *dataset) {
    CLN_TRY(check_options(ctx, options));
    dataset->format = cln__format("images");
    if (!dataset->format)
        return cln__fail_memory(ctx, "a data set");
    cln__image_list list;
    cln_status status = cln__image_list_read(ctx, folder, split, dataset, &list);
    if (status == CLN_OK)
        status = read_all(ctx, &list, options, dataset);
    cln__image_list_free(&list);
    return status;
}
