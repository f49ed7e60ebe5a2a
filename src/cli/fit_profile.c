/* cltrain fit --profiler: where the time went. */
#include "fit.h"

static void show_phases(const cln_fit_profile *p) {
    double whole_s = 0;
    for (int i = 0; i < CLN_PHASE_COUNT; i++)
        whole_s += p->phase_s[i];
    printf("\n%-22s %10s %7s\n", "phase", "seconds", "share");
    for (int i = 0; i < CLN_PHASE_COUNT; i++)
        printf("%-22s %10.3f %6.1f%%\n", cln_phase_name((cln_phase)i), p->phase_s[i],
               whole_s > 0 ? 100 * p->phase_s[i] / whole_s : 0);
}

static void show_kernels(const cln_fit_profile *p) {
    printf("\n%-22s %10s %7s %9s %9s   (mean of %d training step%s: %.3f ms of kernels)\n", "kernels", "ms", "share",
           "launches", "GFLOP/s", p->timed_steps, p->timed_steps == 1 ? "" : "s", 1e3 * p->kernels_s / p->timed_steps);
    for (int i = 0; i < p->op_count; i++) {
        const cln_profile_op *op = &p->ops[i];
        char gflops[32] = "";
        if (op->flops > 0 && op->seconds > 0)
            snprintf(gflops, sizeof gflops, "%.1f", op->flops / op->seconds * 1e-9);
        printf("%-22s %10.3f %6.1f%% %9d %9s\n", op->op, 1e3 * op->seconds / p->timed_steps,
               p->kernels_s > 0 ? 100 * op->seconds / p->kernels_s : 0, op->launches / p->timed_steps, gflops);
    }
}

void fit_show_profile(const cln_fit_profile *p, const char *folder) {
    show_phases(p);
    if (p->timed_steps > 0)
        show_kernels(p);
    else
        printf("\nno kernels were timed: the run had too few steps\n");
    if (folder)
        printf("\n%s/trace.json (for ui.perfetto.dev or chrome://tracing)\n", folder);
}
