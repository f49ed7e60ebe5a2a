/* As Lightning's EarlyStopping: an epoch counts as better only if it beats the best by more than min_delta, and a score
 * that is not finite ends the run at once. */
#include "stopping.h"
#include "json.h"

#include <math.h>

cln_status cln__stopping_check(cln_context *ctx, const cln_fit_options *o, bool has_validation) {
    bool of_validation = o->monitor != CLN_MONITOR_TRAIN_ACC && o->monitor != CLN_MONITOR_TRAIN_LOSS;
    if (o->patience < 0 || !(o->min_delta >= 0) || !isfinite(o->min_delta))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "early stopping: patience %d, least difference %g, expected 0 or more of each", o->patience,
                         o->min_delta);
    if (o->patience > 0 && of_validation && !has_validation)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "early stopping by %s: no images are held back for validation; hold some back, or monitor "
                         "train_loss or train_acc",
                         cln_monitor_name(o->monitor));
    return CLN_OK;
}

void cln__stopping_add(cln_stopping *s, const cln_fit_options *o, const cln__ranking *ranking,
                       const cln_fit_event *event) {
    double score;
    if (o->patience == 0 || !cln__ranking_score(ranking, event, &score))
        return;
    double gain = ranking->lowest ? s->best - score : score - s->best;
    if (isfinite(score) && (s->best_epoch == 0 || gain > o->min_delta))
        *s = (cln_stopping){.best_epoch = event->epoch, .best = score};
    else
        s->waited = isfinite(score) ? s->waited + 1 : o->patience;
    s->now = s->waited >= o->patience;
}

void cln__stopping_write(const cln_stopping *s, cJSON *object) {
    cJSON *item = cln__json_add(object, "stopping", cJSON_CreateObject());
    cln__json_add(item, "waited", cJSON_CreateNumber(s->waited));
    cln__json_add(item, "best_epoch", cJSON_CreateNumber(s->best_epoch));
    cln__json_put_bits(item, "best", s->best);
}

bool cln__stopping_read(const cJSON *object, int64_t epochs, const cln_fit_options *o, cln_stopping *s) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "stopping");
    int64_t waited, best_epoch;
    if (!cln__json_int(cJSON_GetObjectItemCaseSensitive(item, "waited"), 0, o->patience, &waited) ||
        !cln__json_int(cJSON_GetObjectItemCaseSensitive(item, "best_epoch"), 0, epochs, &best_epoch) ||
        !cln__json_get_bits(item, "best", &s->best))
        return false;
    s->waited = (int)waited;
    s->best_epoch = (int)best_epoch;
    s->now = waited >= o->patience;
    return true;
}
