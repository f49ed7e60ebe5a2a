/* Between NCHW (OIHW for weights) on the host and the layouts on the device. */
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

static bool is_weight(const cln_graph *g, int id) {
    return g->tensors[id].packing == CLN__WEIGHT;
}

int64_t cln__span(const cln_graph *g, const cln__layouts *layouts, int id) {
    const cln__layout *l = &layouts->of[id];
    cln_shape s = g->tensors[id].shape;
    if (is_weight(g, id))
        return l->elements;
    return (s.n - 1) * l->image + (l->stored / l->block - 1) * l->block_stride + (s.h * s.w - 1) * l->pixel + l->block;
}

/* Calls back for every element: its index in the host's order and in the layout. A loop over both orders at once, so
 * that packing and unpacking cannot disagree. */
typedef void visit(int64_t host, int64_t device, void *data);

static void each_weight(const cln_graph *g, const cln__layouts *layouts, int id, visit *f, void *data) {
    const cln__tensor *t = &g->tensors[id];
    const int32_t *in = t->like >= 0 ? layouts->of[t->like].map : NULL, *out = layouts->of[t->like_out].map;
    int64_t taps = t->shape.h * t->shape.w, host = 0;
    int64_t rows = in ? layouts->of[t->like].stored : t->shape.c, columns = layouts->of[t->like_out].stored;
    for (int64_t o = 0; o < t->shape.n; o++)
        for (int64_t c = 0; c < t->shape.c; c++)
            for (int64_t k = 0; k < taps; k++)
                f(host++, (k * rows + (in ? in[c] : c)) * columns + out[o], data);
}

static void each_activation(const cln_graph *g, const cln__layouts *layouts, int id, visit *f, void *data) {
    const cln__layout *l = &layouts->of[id];
    cln_shape s = g->tensors[id].shape;
    int64_t pixels = s.h * s.w, host = 0;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c++) {
            int64_t at = n * l->image + l->map[c] / l->block * l->block_stride + l->map[c] % l->block;
            for (int64_t p = 0; p < pixels; p++)
                f(host++, at + p * l->pixel, data);
        }
}

static void each(const cln_graph *g, const cln__layouts *layouts, int id, visit *f, void *data) {
    (is_weight(g, id) ? each_weight : each_activation)(g, layouts, id, f, data);
}

typedef struct copy {
    const float *from;
    float *to;
} copy;

static void to_device(int64_t host, int64_t device, void *data) {
    copy *c = data;
    c->to[device] = c->from[host];
}

static void to_host(int64_t host, int64_t device, void *data) {
    copy *c = data;
    c->to[host] = c->from[device];
}

/* Planar and flat tensors lie on the device as on the host. */
static bool same_order(const cln_graph *g, const cln__layouts *layouts, int id) {
    const cln__layout *l = &layouts->of[id];
    cln_shape s = g->tensors[id].shape;
    return !is_weight(g, id) && l->block == 1 && l->pixel == 1 && l->dense && l->stored == s.c &&
           l->block_stride == s.h * s.w && l->image == s.c * s.h * s.w;
}

void cln__pack(const cln_graph *g, const cln__layouts *layouts, int id, const float *values, float *packed) {
    size_t bytes = (size_t)cln__span(g, layouts, id) * sizeof(float);
    if (same_order(g, layouts, id)) {
        memcpy(packed, values, bytes);
        return;
    }
    memset(packed, 0, bytes);
    each(g, layouts, id, to_device, &(copy){values, packed});
}

void cln__unpack(const cln_graph *g, const cln__layouts *layouts, int id, const float *packed, float *values) {
    if (same_order(g, layouts, id))
        memcpy(values, packed, (size_t)cln__span(g, layouts, id) * sizeof(float));
    else
        each(g, layouts, id, to_host, &(copy){packed, values});
}

/* --- inputs --- */

static cln_status find_input(cln_plan *plan, cln_tensor input, bool labels, int64_t count, cln__staging **out) {
    const cln_graph *g = plan->host.graph;
    int64_t expected = 0;
    for (int i = 0; i < plan->staging_count; i++) {
        const cln__tensor *t = &g->tensors[plan->staging[i].tensor];
        if (plan->staging[i].tensor != input.id || t->is_int != labels)
            continue;
        cln__shape_count(t->shape, &expected);
        if (count != expected)
            return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "input '%s' takes %lld values, %lld were given",
                             t->name, (long long)expected, (long long)count);
        *out = &plan->staging[i];
        return CLN_OK;
    }
    return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "tensor %d is not an input of %s", input.id,
                     labels ? "labels" : "images");
}

/* The next host buffer of the input, once the transfer that last used it is over. */
static cln_status take_staging(cln_plan *plan, cln__staging *s, float **host) {
    cl_event *sent = &s->sent[s->next];
    if (*sent) {
        cl_int code = clWaitForEvents(1, sent);
        clReleaseEvent(*sent);
        *sent = NULL;
        if (code != CL_SUCCESS)
            return cln__fail_cl(plan->device, code, "clWaitForEvents", "sending an input");
    }
    *host = s->host[s->next];
    return CLN_OK;
}

static cln_status send_staging(cln_plan *plan, cln__staging *s) {
    cln__place_of place;
    CLN_TRY(cln__plan_locate(plan, s->tensor, &place));
    size_t bytes = (size_t)cln__span(plan->host.graph, &plan->host.layouts, s->tensor) * sizeof(float);
    cl_int code = clEnqueueWriteBuffer(plan->device->queue, place.buffer, CL_FALSE, place.offset * sizeof(float), bytes,
                                       s->host[s->next], 0, NULL, &s->sent[s->next]);
    s->next = (s->next + 1) % CLN__STAGING;
    if (code != CL_SUCCESS)
        return cln__fail_cl(plan->device, code, "clEnqueueWriteBuffer", "sending input '%s', %zu bytes",
                            plan->host.graph->tensors[s->tensor].name, bytes);
    return CLN_OK;
}

cln_status cln_plan_write(cln_plan *plan, cln_tensor input, const float *values, int64_t count) {
    cln__staging *s = NULL;
    float *host = NULL;
    CLN_TRY(find_input(plan, input, false, count, &s));
    CLN_TRY(take_staging(plan, s, &host));
    cln__pack(plan->host.graph, &plan->host.layouts, input.id, values, host);
    return send_staging(plan, s);
}

cln_status cln_plan_write_labels(cln_plan *plan, cln_tensor input, const int32_t *labels, int64_t count) {
    cln__staging *s = NULL;
    float *host = NULL;
    CLN_TRY(find_input(plan, input, true, count, &s));
    CLN_TRY(take_staging(plan, s, &host));
    memcpy(host, labels, (size_t)count * sizeof *labels);
    return send_staging(plan, s);
}

/* --- outputs --- */

cln_status cln__plan_read(cln_plan *plan, int id, float *out, int64_t count) {
    cln_graph *g = plan->host.graph;
    int64_t expected = 0;
    cln__shape_count(g->tensors[id].shape, &expected);
    if (count != expected)
        return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "tensor %d has %lld values, %lld were asked for", id,
                         (long long)expected, (long long)count);
    cln__place_of place;
    CLN_TRY(cln__plan_locate(plan, id, &place));
    size_t bytes = (size_t)cln__span(g, &plan->host.layouts, id) * sizeof(float);
    float *packed = malloc(bytes);
    if (!packed)
        return cln__fail_memory(plan->device->ctx, "reading a tensor");
    cl_int code = clEnqueueReadBuffer(plan->device->queue, place.buffer, CL_TRUE, place.offset * sizeof(float), bytes,
                                      packed, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        cln__unpack(g, &plan->host.layouts, id, packed, out);
    free(packed);
    return code == CL_SUCCESS ? CLN_OK
                              : cln__fail_cl(plan->device, code, "clEnqueueReadBuffer", "reading tensor %d", id);
}

/* Memory is shared, so only what the plan was asked to keep holds its value after a step. */
static cln_status check_kept(const cln_plan *plan, cln_tensor x) {
    if (x.id >= 0 && x.id < plan->host.graph->tensor_count && plan->host.kept[x.id])
        return CLN_OK;
    return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT,
                     "read: tensor %d is not among the outputs that the plan keeps", x.id);
}

cln_status cln_plan_read(cln_plan *plan, cln_tensor x, float *out, int64_t count) {
    CLN_TRY(check_kept(plan, x));
    return cln__plan_read(plan, x.id, out, count);
}

cln_status cln_plan_read_gradient(cln_plan *plan, cln_tensor x, float *out, int64_t count) {
    cln_tensor gradient = plan->host.gradients ? cln__gradient_of(plan->host.gradients, x) : CLN_NO_TENSOR;
    if (gradient.id < 0)
        return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "this plan computes no gradient of tensor %d", x.id);
    CLN_TRY(check_kept(plan, gradient));
    return cln__plan_read(plan, gradient.id, out, count);
}

cln_status cln_plan_request_scalar(cln_plan *plan, cln_tensor x, int *ticket) {
    CLN_TRY(check_kept(plan, x));
    cln__place_of place;
    CLN_TRY(cln__plan_locate(plan, x.id, &place));
    int t = plan->next_ticket;
    plan->next_ticket = (t + 1) % CLN__TICKETS;
    float unused;
    if (plan->tickets[t]) /* never fetched: the transfer must not be running when its target is used again */
        CLN_TRY(cln_plan_fetch(plan, t, &unused));
    cl_int code = clEnqueueReadBuffer(plan->device->queue, place.buffer, CL_FALSE, place.offset * sizeof(float),
                                      sizeof(float), &plan->scalars[t], 0, NULL, &plan->tickets[t]);
    if (code != CL_SUCCESS)
        return cln__fail_cl(plan->device, code, "clEnqueueReadBuffer", "reading a scalar");
    *ticket = t;
    return CLN_OK;
}

cln_status cln_plan_fetch(cln_plan *plan, int ticket, float *out) {
    if (ticket < 0 || ticket >= CLN__TICKETS || !plan->tickets[ticket])
        return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "fetch: ticket %d was not given or is used", ticket);
    cl_int code = clWaitForEvents(1, &plan->tickets[ticket]);
    clReleaseEvent(plan->tickets[ticket]);
    plan->tickets[ticket] = NULL;
    *out = plan->scalars[ticket];
    return code == CL_SUCCESS ? CLN_OK : cln__fail_cl(plan->device, code, "clWaitForEvents", "waiting for a step");
}
