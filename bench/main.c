/* clbench: checks a device against reference results and measures it. */
#include "../src/cli/tuning.h"
#include "bench.h"

int main(int argc, char **argv) {
    static const cli_entry entries[] = {
        {"verify", bench_verify, "run reference files on the device and compare"},
        {"peak", bench_peak, "measure arithmetic and bandwidth of the device"},
        {"train", bench_train, "measure training, in images a second"},
        {"infer", bench_infer, "measure evaluation, in images a second"},
        {"ops", bench_ops, "measure every kernel launch of a training step"},
        {"tune", bench_tune, "find the fastest kernel variants for a network"},
        {TUNING_WORKER, tuning_worker, NULL},
    };
    return cli_dispatch("clbench", "checks and measures OpenCL devices for clnet", entries,
                        sizeof entries / sizeof *entries, argc, argv);
}
