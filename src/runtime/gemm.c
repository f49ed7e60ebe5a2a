/* The calls to CLBlast, a GEMM at a time. Its caches are process-wide, so calls are serialised. */
#include "runtime.h"

#include <clblast_c.h>
#include <pthread.h>

static pthread_mutex_t clblast_lock = PTHREAD_MUTEX_INITIALIZER;

static CLBlastTranspose transpose(bool yes) {
    return yes ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static cln_status fail(cln_plan *plan, const cln__step *step, CLBlastStatusCode code) {
    const cln__node *node = &plan->host.graph->nodes[step->node];
    return cln__fail(plan->device->ctx, CLN_OPENCL, "%s '%s': CLBlast SGEMM %lldx%lldx%lld failed with status %d on %s",
                     node->op->name, node->name, (long long)step->gemm.m, (long long)step->gemm.n,
                     (long long)step->gemm.k, (int)code, plan->device->info.name);
}

/* CLBlast's kernels count offsets in int. */
static cln_status check_offsets(cln_plan *plan, const cln__step *step, const cln__place_of place[3]) {
    for (int i = 0; i < 3; i++)
        if (place[i].offset > INT32_MAX)
            return cln__fail(plan->device->ctx, CLN_UNSUPPORTED,
                             "%s '%s': CLBlast cannot address a matrix beyond 2^31 elements of its buffer; use a "
                             "smaller batch or --variant reference",
                             plan->host.graph->nodes[step->node].op->name, plan->host.graph->nodes[step->node].name);
    return CLN_OK;
}

static cln_status locate(cln_plan *plan, const cln__step *step, cln__place_of place[3]) {
    const int64_t extra[3] = {step->gemm.offset_a, step->gemm.offset_b, step->gemm.offset_c};
    for (int i = 0; i < 3; i++) {
        CLN_TRY(cln__plan_locate(plan, step->args[i].tensor, &place[i]));
        place[i].offset += (cl_ulong)extra[i];
    }
    return check_offsets(plan, step, place);
}

cln_status cln__gemm_temp_bytes(cln_plan *plan, const cln__step *step, size_t *bytes) {
    const cln__gemm *g = &step->gemm;
    cln__place_of p[3];
    CLN_TRY(locate(plan, step, p));
    pthread_mutex_lock(&clblast_lock);
    CLBlastStatusCode code =
        CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, transpose(g->transpose_a), transpose(g->transpose_b),
                                   (size_t)g->m, (size_t)g->n, (size_t)g->k, p[0].offset, (size_t)g->lda, p[1].offset,
                                   (size_t)g->ldb, p[2].offset, (size_t)g->ldc, &plan->device->queue, bytes);
    pthread_mutex_unlock(&clblast_lock);
    return code == CLBlastSuccess ? CLN_OK : fail(plan, step, code);
}

cln_status cln__gemm_enqueue(cln_plan *plan, const cln__step *step, cl_command_queue queue, cl_event *event) {
    const cln__gemm *g = &step->gemm;
    cln__place_of p[3];
    CLN_TRY(locate(plan, step, p));
    pthread_mutex_lock(&clblast_lock);
    CLBlastStatusCode code = CLBlastSgemmWithTempBuffer(
        CLBlastLayoutRowMajor, transpose(g->transpose_a), transpose(g->transpose_b), (size_t)g->m, (size_t)g->n,
        (size_t)g->k, 1.0f, p[0].buffer, p[0].offset, (size_t)g->lda, p[1].buffer, p[1].offset, (size_t)g->ldb, g->beta,
        p[2].buffer, p[2].offset, (size_t)g->ldc, &queue, event, plan->gemm_temp);
    pthread_mutex_unlock(&clblast_lock);
    return code == CLBlastSuccess ? CLN_OK : fail(plan, step, code);
}
