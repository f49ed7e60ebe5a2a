/* A time line in the trace event format, which ui.perfetto.dev and chrome://tracing show:
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU */
#ifndef CLNET_TRACE_H
#define CLNET_TRACE_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A time line in memory. */
typedef struct cln_trace cln_trace;

/* `name` is shown as that of the process. The caller frees *out with cln_trace_free. Texts are copied everywhere; a
 * lack of memory on the way is told by cln_trace_write. */
CLN_API cln_status cln_trace_new(cln_context *ctx, const char *name, cln_trace **out);
/* Written or not. */
CLN_API void cln_trace_free(cln_trace *trace);
/* Names a track, one of the lines that spans are drawn on: any number from 1. */
CLN_API void cln_trace_track(cln_trace *trace, int track, const char *name);
/* Something that took `seconds` from `start_s` on, by any one clock. */
CLN_API void cln_trace_span(cln_trace *trace, int track, const char *name, const char *category, double start_s,
                            double seconds);
/* A detail of the last span. */
CLN_API void cln_trace_text(cln_trace *trace, const char *key, const char *value);
/* The same of a number. */
CLN_API void cln_trace_number(cln_trace *trace, const char *key, double value);
/* Writes the file, aside and renamed. */
CLN_API cln_status cln_trace_write(const cln_trace *trace, const char *path);

#ifdef __cplusplus
}
#endif
#endif
