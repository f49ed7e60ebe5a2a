/* Tables of comma-separated numbers. The input is the file. */
#include "fuzz.h"

#include "clnet/plot.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    double sum = 0;
    cln_context *ctx;
    cln_metrics *m;
    if (cln_context_new(&ctx) != CLN_OK)
        return 0;
    char path[4096];
    fuzz_write("metrics.csv", data, size);
    snprintf(path, sizeof path, "%s/metrics.csv", fuzz_folder());
    cln_status status = cln_metrics_read(ctx, path, &m);
    fuzz_check_status(ctx, status);
    for (int i = 0; status == CLN_OK && i < m->columns; i++) {
        const double *values = cln_metrics_column(m, m->names[i]);
        for (int k = 0; k < m->rows; k++)
            sum += values[k];
    }
    fuzz_use(sum > 0);
    if (status == CLN_OK)
        cln_metrics_free(m);
    fuzz_remove("metrics.csv");
    cln_context_free(ctx);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const char *const tables[] = {"epoch,lr-SGD,train_loss,val_loss\n1,0.1,2.5,\n2,1e-2,nan,1.5\n", "a\n",
                                         "a,b\r\n-1,inf\r\n"};
    if (index >= (int)(sizeof tables / sizeof *tables))
        return false;
    fuzz_put(out, tables[index], strlen(tables[index]));
    return true;
}
