/* Status texts and the context: the last failure's message and the queue of warnings, each behind one mutex. */
#include "base.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CLN_VERSION
#define CLN_VERSION "0.0.0-unversioned"
#endif

enum { MAX_WARNINGS = 32 };

struct cln_context {
    pthread_mutex_t mutex;
    char *error;             /* NULL: no failure yet, or `unformatted` holds what is left of it */
    const char *unformatted; /* the message's format, when there was no memory to print it */
    char *warning[MAX_WARNINGS];
    size_t warnings, dropped; /* dropped: since the queue was last full, told of once it is empty */
};

const char *cln_status_text(cln_status status) {
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                                                \
    case CLN_##name:                                                                                                   \
        return text;
        CLN_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "an unknown status";
}

const char *cln_version(void) {
    return CLN_VERSION;
}

cln_status cln_context_new(cln_context **out) {
    *out = NULL;
    cln_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx)
        return CLN_OUT_OF_MEMORY;
    if (pthread_mutex_init(&ctx->mutex, NULL) != 0) {
        free(ctx);
        return CLN_OUT_OF_MEMORY;
    }
    *out = ctx;
    return CLN_OK;
}

void cln_context_free(cln_context *ctx) {
    if (!ctx)
        return;
    for (size_t i = 0; i < ctx->warnings; i++)
        free(ctx->warning[i]);
    free(ctx->error);
    pthread_mutex_destroy(&ctx->mutex);
    free(ctx);
}

/* With the mutex held. */
static const char *last_message(const cln_context *ctx) {
    return ctx->error ? ctx->error : ctx->unformatted ? ctx->unformatted : "";
}

const char *cln_context_error(const cln_context *ctx) {
    /* Contexts are only ever made by cln_context_new, so none is really const; the mutex must be taken to read. */
    pthread_mutex_t *mutex = &((cln_context *)ctx)->mutex;
    pthread_mutex_lock(mutex);
    const char *text = last_message(ctx);
    pthread_mutex_unlock(mutex);
    return text;
}

char *cln__error_copy(cln_context *ctx) {
    pthread_mutex_lock(&ctx->mutex);
    char *copy = cln__format("%s", last_message(ctx));
    pthread_mutex_unlock(&ctx->mutex);
    return copy;
}

cln_status cln__fail(cln_context *ctx, cln_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    /* Printed before the old message goes: the arguments may quote it. */
    char *text = cln__format_va(format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&ctx->mutex);
    char *old = ctx->error;
    ctx->error = text;
    ctx->unformatted = format;
    pthread_mutex_unlock(&ctx->mutex);
    free(old);
    return status;
}

cln_status cln__fail_memory(cln_context *ctx, const char *what) {
    return cln__fail(ctx, CLN_OUT_OF_MEMORY, "not enough host memory for %s", what);
}

void cln__warn(cln_context *ctx, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = cln__format_va(format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&ctx->mutex);
    bool keep = text && ctx->warnings < MAX_WARNINGS && ctx->dropped == 0;
    if (keep)
        ctx->warning[ctx->warnings++] = text;
    else
        ctx->dropped++;
    pthread_mutex_unlock(&ctx->mutex);
    if (!keep)
        free(text);
}

bool cln_context_take_warning(cln_context *ctx, char *text, size_t size) {
    pthread_mutex_lock(&ctx->mutex);
    bool found = true;
    if (ctx->warnings > 0) {
        snprintf(text, size, "%s", ctx->warning[0]);
        free(ctx->warning[0]);
        ctx->warnings--;
        memmove(ctx->warning, ctx->warning + 1, ctx->warnings * sizeof *ctx->warning);
    } else if (ctx->dropped > 0) {
        snprintf(text, size, "%zu more warnings were not kept", ctx->dropped);
        ctx->dropped = 0;
    } else {
        found = false;
    }
    pthread_mutex_unlock(&ctx->mutex);
    return found;
}
