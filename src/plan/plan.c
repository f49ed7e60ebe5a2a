/* The stages from a graph to a plan, in order: differentiate, lay out, fuse, lower, count, place. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

cln_weight_info cln__weight_info(const cln__tensor *t) {
    cln_weight_info info = {.name = t->name, .rank = t->rank, .trainable = t->role == CLN__PARAM};
    cln__shape_count(t->shape, &info.count);
    cln__param_axes(t, info.shape);
    return info;
}

static cln_status fail_count(cln__lowering *l, const cln__step *step, int64_t count) {
    return cln__lower_fail(l, CLN_UNSUPPORTED, "kernel %s cannot count to %lld", step->kernel, (long long)count);
}

/* What every kernel takes for granted: its arguments are all there, and it can count in int. */
static cln_status check_step(cln__lowering *l, const cln__step *step) {
    if (step->arg_count > CLN__MAX_ARGS)
        return cln__lower_fail(l, CLN_INTERNAL, "kernel %s has %d arguments", step->kernel, step->arg_count);
    for (int i = 0; i < step->arg_count; i++)
        if (step->args[i].kind == CLN__ARG_INT && (step->args[i].i < INT32_MIN || step->args[i].i > INT32_MAX))
            return fail_count(l, step, step->args[i].i);
    for (int axis = 0; axis < 3; axis++)
        if (step->global[axis] > INT32_MAX)
            return fail_count(l, step, (int64_t)step->global[axis]);
    return CLN_OK;
}

/* A tensor of vectors or of images in the channels from `first` on; none stays none. */
static int part_of(cln__lowering *l, int tensor, int64_t first, cln_tensor like) {
    return tensor < 0 ? -1 : cln__part_of(l, (cln_tensor){tensor}, first, like).id;
}

/* What a view shows has the form of what it is a view of. */
static void show_input(cln__lowering *l, const cln__node *node) {
    cln_tensor y = cln__output(node, 0);
    cln__form form = cln__form_of(l, cln__input(node, 0));
    int64_t first = 0;
    node->op->is_view(l->g, node, l->training, &first);
    if (form.kind == CLN__STORED)
        return;
    form.source = part_of(l, form.source, first, y);
    form.scale = part_of(l, form.scale, first, y);
    form.shift = part_of(l, form.shift, first, y);
    form.slope = part_of(l, form.slope, first, y);
    form.of = part_of(l, form.of, first, y);
    if (l->status == CLN_OK)
        l->forms[y.id] = form;
}

static cln_status lower_node(cln__lowering *l, const cln__node *node) {
    if (node->op->is_view && l->layouts->of[node->outputs[0]].shows_input)
        show_input(l, node);
    else if (!l->fusion->absorbed[l->node]) {
        for (int i = 0; i < node->input_count && !node->op->reads_forms; i++)
            cln__stored(l, cln__input(node, i));
        CLN_TRY(node->op->lower(l, node));
    }
    return l->status;
}

static cln_status lower_all(cln__lowering *l) {
    for (int i = 0; i < l->g->node_count && l->status == CLN_OK; i++) {
        l->node = i;
        int first = l->step_count;
        CLN_TRY(lower_node(l, &l->g->nodes[i]));
        for (int s = first; s < l->step_count; s++) {
            l->steps[s].updates = l->g->nodes[i].op->updates;
            CLN_TRY(check_step(l, &l->steps[s]));
        }
    }
    return l->status;
}

/* The gradients of the parameters lie in the weights' gradient region, where the optimiser and the host find them. */
static cln_status place_gradients(cln__host_plan *plan) {
    cln_graph *g = plan->graph;
    for (int i = 0; plan->gradients && i < plan->gradients->count; i++) {
        int gradient = plan->gradients->gradient[i];
        if (g->tensors[i].role != CLN__PARAM || gradient < 0)
            continue;
        cln__layout *layout = &plan->layouts.of[gradient];
        if (layout->root != gradient) /* a part of another gradient: copied out of it */
            cln__layout_alone(layout, gradient, g->tensors[gradient].shape);
        if (layout->elements != plan->layouts.of[i].elements)
            return cln__fail(g->ctx, CLN_INTERNAL, "the gradient of '%s' is not laid out like it", g->tensors[i].name);
        layout->region = CLN__GRADS;
        layout->region_offset = plan->layouts.of[i].region_offset;
    }
    return CLN_OK;
}

static cln_status differentiate(cln__host_plan *plan, const cln__plan_request *r) {
    if (!r->training)
        return CLN_OK;
    if (r->loss.id < 0 && r->optimizer.kind != CLN_NO_OPTIMIZER)
        return cln__fail(plan->graph->ctx, CLN_INVALID_ARGUMENT, "plan: there is no loss to optimise");
    if (r->loss.id < 0)
        return CLN_OK;
    CLN_TRY(cln__differentiate(plan->graph, r->loss, r->upstream, r->gradients, r->gradient_count, &plan->gradients));
    if (r->optimizer.kind != CLN_NO_OPTIMIZER)
        cln__optimizer_add(plan->graph, r->loss, &r->optimizer);
    return cln__recompute(plan->graph);
}

/* The tensors that must outlive the step: requested outputs and gradients. */
static cln_status mark_kept(cln_context *ctx, cln__host_plan *plan, const cln__plan_request *r) {
    plan->kept = calloc((size_t)plan->graph->tensor_count + 1, sizeof(bool));
    if (!plan->kept)
        return cln__fail_memory(ctx, "the plan's outputs");
    for (int i = 0; i < r->output_count; i++)
        plan->kept[r->outputs[i].id] = true;
    for (int i = 0; i < r->gradient_count && plan->gradients; i++)
        if (plan->gradients->gradient[r->gradients[i].id] >= 0)
            plan->kept[plan->gradients->gradient[r->gradients[i].id]] = true;
    return CLN_OK;
}

/* What must be kept must be in memory at the end: steps for gradients that are not yet. */
static cln_status store_kept(cln__lowering *l, int tensors) {
    for (int i = 0; i < tensors && l->status == CLN_OK; i++)
        if (l->kept[i])
            cln__stored(l, (cln_tensor){i});
    return l->status;
}

/* Lowering has added tensors, which nobody keeps. */
static cln_status extend_kept(cln_context *ctx, cln__host_plan *plan, int before) {
    size_t count = (size_t)plan->graph->tensor_count + 1;
    bool *wider = realloc(plan->kept, count * sizeof *wider);
    if (!wider)
        return cln__fail_memory(ctx, "the plan's outputs");
    memset(wider + before, 0, (count - (size_t)before) * sizeof *wider);
    plan->kept = wider;
    return CLN_OK;
}

static cln_status lower_and_store(cln__lowering *l) {
    int tensors = l->g->tensor_count;
    l->forms = calloc((size_t)tensors + 1, sizeof *l->forms); /* all STORED */
    if (!l->forms)
        return cln__fail_memory(l->ctx, "the plan's tensors");
    CLN_TRY(lower_all(l));
    return store_kept(l, tensors);
}

static cln_status make(cln_context *ctx, const cln__caps *caps, const cln__plan_request *r, cln__host_plan *plan) {
    CLN_TRY(cln__rewrite(plan->graph, caps, r->training));
    CLN_TRY(differentiate(plan, r));
    CLN_TRY(cln__layouts_build(plan->graph, caps, &plan->layouts));
    CLN_TRY(mark_kept(ctx, plan, r));
    int tensors = plan->graph->tensor_count;
    cln__lowering l = {.ctx = ctx,
                       .g = plan->graph,
                       .caps = caps,
                       .layouts = &plan->layouts,
                       .training = r->training,
                       .kept = plan->kept,
                       .forced_variant = r->variant,
                       .choices = r->choices,
                       .choice_count = r->choice_count,
                       .choices_required = r->choices_required,
                       .lists_candidates = r->lists_candidates,
                       .seed = r->seed};
    cln_status status = cln__fuse(&l);
    if (status == CLN_OK) {
        cln__layouts_join(plan->graph, caps, r->training, l.fusion, &plan->layouts);
        status = place_gradients(plan);
    }
    if (status == CLN_OK)
        status = lower_and_store(&l);
    plan->steps = l.steps;
    plan->step_count = l.step_count;
    plan->decisions = l.decisions;
    free(l.dummy.defines);
    free(l.forms);
    cln__fusion_free(l.fusion);
    CLN_TRY(status);
    CLN_TRY(extend_kept(ctx, plan, tensors));
    if (!r->training)
        CLN_TRY(cln__prepared_first(ctx, plan));
    cln__traffic_count(plan);
    return cln__place(ctx, plan, caps);
}

cln_status cln__plan_make(cln_context *ctx, const cln_graph *g, const cln__caps *caps, const cln__plan_request *request,
                          int64_t batch, cln__host_plan *out) {
    *out = (cln__host_plan){0};
    CLN_TRY(g->status);
    for (int i = 0; i < request->output_count; i++)
        if (request->outputs[i].id < 0 || request->outputs[i].id >= g->tensor_count)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT, "plan: output %d is not a tensor of this graph", i);
    if (request->variant)
        CLN_TRY(cln__variant_check(ctx, request->variant));
    out->graph = cln__graph_clone(g);
    if (!out->graph)
        return cln__fail_memory(ctx, "the plan's copy of the graph");
    cln_status status = batch ? cln__graph_rebatch(out->graph, batch) : CLN_OK;
    if (status == CLN_OK)
        status = make(ctx, caps, request, out);
    bool misfit = out->misfit;
    if (status != CLN_OK)
        cln__plan_drop(out);
    out->misfit = misfit;
    return status;
}

void cln__plan_drop(cln__host_plan *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        free(plan->steps[i].defines);
        free(plan->steps[i].why_not);
    }
    free(plan->steps);
    cln__decisions_free(&plan->decisions);
    free(plan->kept);
    free(plan->arena_of);
    free(plan->address_of);
    cln__layouts_free(&plan->layouts);
    cln__gradients_free(plan->gradients);
    cln_graph_free(plan->graph);
    *plan = (cln__host_plan){0};
}

static void print_tensor(const cln__host_plan *plan, const cln__arg *arg, FILE *out) {
    static const char *const region_names[] = {"arena", "values", "grads", "slot0", "slot1", "sums", "states"};
    const cln__layout *view = &plan->layouts.of[arg->tensor];
    const cln__layout *root = &plan->layouts.of[view->root];
    const char *mode = arg->access == CLN__READ ? "" : arg->access == CLN__WRITE ? "=" : "+=";
    if (root->region == CLN__ARENA)
        fprintf(out, " %s%%%d@%d:%lld", mode, arg->tensor, plan->arena_of[view->root],
                (long long)(plan->address_of[view->root] + view->offset));
    else
        fprintf(out, " %s%%%d@%s:%lld", mode, arg->tensor, region_names[root->region],
                (long long)(root->region_offset + view->offset));
}

void cln__plan_text(const cln__host_plan *plan, FILE *out) {
    for (int i = 0; i < plan->step_count; i++) {
        const cln__step *step = &plan->steps[i];
        const cln__node *node = &plan->graph->nodes[step->node];
        fprintf(out, "%4d %s '%s' %s%s%s.%s", i, node->op->name, node->name, step->variant, *step->variant ? " " : "",
                step->source, step->kernel);
        if (step->kind == CLN__GEMM)
            fprintf(out, " %lldx%lldx%lld", (long long)step->gemm.m, (long long)step->gemm.n, (long long)step->gemm.k);
        else
            fprintf(out, " [%zu %zu %zu]", step->global[0], step->global[1], step->global[2]);
        for (int a = 0; a < step->arg_count; a++)
            if (step->args[a].kind == CLN__ARG_TENSOR)
                print_tensor(plan, &step->args[a], out);
        fprintf(out, "%s\n", step->defines);
    }
    if (plan->prepared_count > 0)
        fprintf(out, "the first %d steps are repeated only after the weights have changed\n", plan->prepared_count);
    fprintf(out, "%d steps, %d arenas, %llu bytes planned, %llu bytes with one buffer a tensor\n", plan->step_count,
            plan->arenas.count, (unsigned long long)plan->planned_bytes, (unsigned long long)plan->unshared_bytes);
}
