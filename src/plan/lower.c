/* What operators use to add steps: one step is one kernel launch, or one GEMM, with all its arguments. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* Handed out after an allocation failure, so that lower functions need not check. */
static cln__step *dummy_step(cln__lowering *l) {
    l->status = l->status != CLN_OK ? l->status : cln__fail_memory(l->ctx, "the steps of the plan");
    l->dummy = (cln__step){0};
    return &l->dummy;
}

static cln__step *step_add(cln__lowering *l, cln__step step) {
    if (l->step_count == l->step_capacity) {
        int wider = l->step_capacity ? l->step_capacity * 2 : 256;
        cln__step *moved = realloc(l->steps, (size_t)wider * sizeof *moved);
        if (!moved)
            return dummy_step(l);
        l->steps = moved;
        l->step_capacity = wider;
    }
    step.node = l->node;
    step.variant = "";
    step.defines = cln__format("%s", "");
    if (!step.defines)
        return dummy_step(l);
    l->steps[l->step_count] = step;
    return &l->steps[l->step_count++];
}

cln__step *cln__step_new(cln__lowering *l, const char *source, const char *kernel) {
    return step_add(l, (cln__step){.kind = CLN__KERNEL, .source = source, .kernel = kernel, .global = {1, 1, 1}});
}

cln__step *cln__step_gemm(cln__lowering *l, cln_tensor a, cln_tensor b, cln_tensor c, cln__gemm gemm) {
    cln__step *step = step_add(l, (cln__step){.kind = CLN__GEMM, .source = "clblast", .kernel = "sgemm"});
    step->gemm = gemm;
    step->flops = 2.0 * (double)gemm.m * (double)gemm.n * (double)gemm.k;
    cln__arg_tensor(step, a, CLN__READ);
    cln__arg_tensor(step, b, CLN__READ);
    cln__arg_tensor(step, c, gemm.beta == 0 ? CLN__WRITE : CLN__READ_WRITE);
    return step;
}

void cln__step_define(cln__lowering *l, cln__step *step, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *define = cln__format_va(format, arguments);
    va_end(arguments);
    char *joined = define && step->defines ? cln__format("%s -D%s", step->defines, define) : NULL;
    free(define);
    if (!joined) {
        dummy_step(l);
        return;
    }
    free(step->defines);
    step->defines = joined;
}

void cln__steps_choose(cln__lowering *l, int first, const char *variant, const char *why_not) {
    for (int i = first; i < l->step_count; i++) {
        cln__step *step = &l->steps[i];
        free(step->why_not);
        step->variant = variant;
        step->why_not = why_not ? cln__format("%s", why_not) : NULL;
        if (why_not && !step->why_not)
            dummy_step(l);
    }
}

void cln__step_items(cln__step *step, int64_t x, int64_t y, int64_t z) {
    step->global[0] = (size_t)x;
    step->global[1] = (size_t)y;
    step->global[2] = (size_t)z;
}

/* More arguments than CLN__MAX_ARGS are a mistake in an operator; plan.c reports the count. */
static void arg_add(cln__step *step, cln__arg arg) {
    if (step->arg_count < CLN__MAX_ARGS)
        step->args[step->arg_count] = arg;
    step->arg_count++;
}

void cln__arg_tensor(cln__step *step, cln_tensor x, cln__access access) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_TENSOR, .tensor = x.id, .access = access});
}

void cln__arg_region(cln__step *step, cln__region region, cln__access access) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_REGION, .region = region, .access = access});
}

void cln__arg_int(cln__step *step, int64_t value) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_INT, .i = value});
}

void cln__arg_float(cln__step *step, double value) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_FLOAT, .f = (float)value});
}

void cln__arg_scalar(cln__step *step, cln__scalar scalar) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_SCALAR, .scalar = scalar});
}

void cln__arg_key(cln__step *step, uint64_t key) {
    arg_add(step, (cln__arg){.kind = CLN__ARG_KEY, .key = key});
}

cln__layout cln__layout_of(const cln__lowering *l, cln_tensor x) {
    return l->layouts->of[x.id];
}

cln_shape cln__shape_of(const cln__lowering *l, cln_tensor x) {
    return l->g->tensors[x.id].shape;
}

int64_t cln__blocks(const cln__lowering *l, cln_tensor x) {
    const cln__layout *layout = &l->layouts->of[x.id];
    return layout->stored / layout->block;
}

cln_status cln__lower_fail(cln__lowering *l, cln_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *detail = cln__format_va(format, arguments);
    va_end(arguments);
    const cln__node *node = &l->g->nodes[l->node];
    l->status = cln__fail(l->ctx, status, "%s '%s': %s", node->op->name, node->name, detail ? detail : "");
    free(detail);
    return l->status;
}

/* A tensor that no node makes: graph, layouts and forms grow together. Takes ownership of layout.map. */
static cln_tensor tensor_add(cln__lowering *l, cln__tensor tensor, cln__layout layout) {
    cln_graph *g = l->g;
    size_t count = (size_t)g->tensor_count + 1;
    cln__tensor *tensors = realloc(g->tensors, sizeof *tensors * count);
    if (tensors) {
        g->tensors = tensors;
        g->tensor_capacity = (int)count;
    }
    cln__layout *of = realloc(l->layouts->of, sizeof *of * count);
    if (of)
        l->layouts->of = of;
    cln__form *forms = realloc(l->forms, sizeof *forms * count);
    if (forms)
        l->forms = forms;
    if (!tensors || !of || !forms || !layout.map) {
        free(layout.map);
        dummy_step(l);
        return (cln_tensor){0};
    }
    int id = g->tensor_count++;
    l->layouts->count++;
    if (layout.root < 0)
        layout.root = id;
    tensors[id] = tensor;
    of[id] = layout;
    forms[id] = (cln__form){.kind = CLN__STORED};
    return (cln_tensor){id};
}

cln_tensor cln__scratch(cln__lowering *l, int64_t elements) {
    cln_shape shape = {elements, 1, 1, 1};
    int64_t count;
    if (!cln__shape_count(shape, &count)) {
        cln__lower_fail(l, CLN_INVALID_ARGUMENT, "its workspace of %lld elements is too large", (long long)elements);
        return (cln_tensor){0};
    }
    return tensor_add(
        l,
        (cln__tensor){
            .shape = shape, .role = CLN__VALUE, .packing = CLN__FLAT, .producer = -1, .like = -1, .like_out = -1},
        (cln__layout){.root = -1,
                      .block = 1,
                      .stored = 1,
                      .map = calloc(1, sizeof(int32_t)), /* channel 0 at 0 */
                      .image = 1,
                      .block_stride = 1,
                      .pixel = 1,
                      .dense = true,
                      .elements = elements});
}

cln_tensor cln__scratch_vector(cln__lowering *l, cln_tensor x) {
    cln__layout like = cln__layout_of(l, x);
    cln_tensor vector = cln__scratch(l, like.stored);
    if (l->status != CLN_OK)
        return vector;
    cln__layout *layout = &l->layouts->of[vector.id];
    layout->block = like.block;
    layout->stored = layout->image = like.stored;
    layout->block_stride = layout->pixel = like.block;
    cln_shape shape = {1, cln__shape_of(l, x).c, 1, 1};
    int32_t *map = realloc(layout->map, sizeof *map * (size_t)shape.c);
    if (!map) {
        dummy_step(l);
        return vector;
    }
    memcpy(map, like.map, sizeof *map * (size_t)shape.c);
    layout->map = map;
    l->g->tensors[vector.id].shape = shape;
    return vector;
}

cln_tensor cln__part_of(cln__lowering *l, cln_tensor x, int64_t first, cln_tensor like) {
    cln__layout outer = cln__layout_of(l, x), layout = cln__layout_of(l, like);
    cln_shape shape = cln__shape_of(l, x);
    shape.c = cln__shape_of(l, like).c;
    int64_t stored = outer.map[first] - layout.map[0];
    int32_t *map = malloc(sizeof *map * (size_t)shape.c);
    if (map)
        memcpy(map, layout.map, sizeof *map * (size_t)shape.c);
    layout.map = map;
    layout.root = outer.root;
    layout.offset = outer.offset + stored / outer.block * outer.block_stride;
    layout.image = outer.image;
    layout.block_stride = outer.block_stride;
    layout.pixel = outer.pixel;
    layout.elements = 0;
    layout.region = CLN__ARENA;
    cln__tensor tensor = {
        .shape = shape, .role = CLN__VALUE, .packing = CLN__LIKE, .producer = -1, .like = like.id, .like_out = -1};
    return tensor_add(l, tensor, layout);
}

cln__form cln__form_of(const cln__lowering *l, cln_tensor x) {
    return l->forms[x.id];
}
