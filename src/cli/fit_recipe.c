/* cltrain fit: the network and how it is trained. What is not given comes from the model's recipe. */
#include "fit.h"

#include <stdio.h>
#include <stdlib.h>

static const double max_seed = 9007199254740992.0; /* 2^53: every whole number up to it is a double */
static const char *const optimizers[] = {"sgd", "adam", "adamw", "muon", NULL};
static const cln_optimizer_kind kinds[] = {CLN_SGD, CLN_ADAM, CLN_ADAMW, CLN_MUON};

static const char *const clip_kinds[] = {"norm", "value", NULL}; /* as the enum */

const cli_option fit_network_options[] = {
    {"model", CLI_MODEL, FIT_AT(model), "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
    {"hparams", CLI_JSON, FIT_AT(hparams), "JSON",
     "hyper-parameters of the network to change, as in '{\"act_fn_name\": \"gelu\"}'", 0, 0, NULL},
    {"init-weights", CLI_TEXT, FIT_AT(init_weights), "FILE",
     "begin with these weights (safetensors or a PyTorch checkpoint); the last layer keeps its random ones where the "
     "file's are of other classes",
     0, 0, NULL},
    {"freeze", CLI_TEXT, FIT_AT(freeze), "PATTERN,...",
     "do not train parameters whose names match, as in 'input_net.*,blocks.0.*'; running statistics still move", 0, 0,
     NULL},
    {.name = NULL}};

const cli_option fit_recipe_options[] = {
    {"epochs", CLI_INT, FIT_AT(epochs), "N", "passes over the training images", 1, 1000000, NULL},
    {"max-epochs", CLI_INT, FIT_AT(epochs), "N", NULL, 1, 1000000, NULL},
    {"batch-size", CLI_INT, FIT_AT(batch_size), "N", "images in a step", 1, 1 << 24, NULL},
    {"optimizer", CLI_CHOICE, FIT_AT(optimizer), "NAME",
     "sgd, adam (L2 weight decay), adamw (decoupled) or muon (orthogonal updates of convolutions, all else by adamw)",
     0, 0, optimizers},
    {"lr", CLI_REAL, FIT_AT(lr), "X",
     "learning rate; by default the recipe's, or with another optimizer than the recipe's 0.1 (sgd) or 0.001", 1e-30,
     1e38, NULL},
    {"momentum", CLI_REAL, FIT_AT(momentum), "X",
     "of sgd (default 0.9) and muon (default 0.95, also beta1 of what it leaves to adamw)", 0, 1, NULL},
    {"nesterov", CLI_FLAG, FIT_AT(nesterov), NULL, "Nesterov's momentum, with sgd", 0, 0, NULL},
    {"weight-decay", CLI_REAL, FIT_AT(weight_decay), "X", "on every parameter", 0, 1e6, NULL},
    {"weight-decay-norm-bias", CLI_FLAG, FIT_AT(weight_decay_norm_bias), NULL,
     "weight decay on parameters of one axis too, biases and those of batch normalisation, as is the default", 0, 0,
     NULL},
    {"accumulate-grad-batches", CLI_INT, FIT_AT(accumulate), "N",
     "make an update of the mean gradient of N batches, as with batches N times as large but for batch normalisation; "
     "at the end of an epoch of those that are left (default 1)",
     1, 1000000, NULL},
    {"gradient-clip-val", CLI_REAL, FIT_AT(clip), "X", "limit of the gradients before an update; 0: none (default)", 0,
     1e30, NULL},
    {"gradient-clip-algorithm", CLI_CHOICE, FIT_AT(clip_kind), "NAME",
     "norm (default): scale all of them so that their L2 norm stays below; value: hold each number within -X and X", 0,
     0, clip_kinds},
    {"model-ema", CLI_FLAG, FIT_AT(ema), NULL,
     "keep a moving average of weights and running statistics, as timm does; it is what is validated, tested and "
     "written",
     0, 0, NULL},
    {"model-ema-decay", CLI_REAL, FIT_AT(ema_decay), "X", "of it, at each update (default 0.9998)", 1e-6, 0.99999999,
     NULL},
    {"model-ema-warmup", CLI_FLAG, FIT_AT(ema_warmup), NULL, "of it: after u updates the decay is at most 1 - u^(-2/3)",
     0, 0, NULL},
    {"label-smoothing", CLI_REAL, FIT_AT(label_smoothing), "X", "from 0 to 1 (default 0)", 0, 1, NULL},
    {"seed", CLI_INT, FIT_AT(seed), "N", "of weights, split, order and augmentation (default 42)", 0, max_seed, NULL},
    {.name = NULL}};

int fit_check_recipe(const cli_command *command, const fit_arguments *a) {
    cln_optimizer_kind kind = a->optimizer >= 0 ? kinds[a->optimizer]
                              : a->model        ? a->model->recipe->optimizer.kind
                                                : CLN_SGD;
    if (kind != CLN_SGD && a->nesterov)
        return cli_misuse(command, "--nesterov is for --optimizer sgd");
    if (kind != CLN_SGD && kind != CLN_MUON && !isnan(a->momentum))
        return cli_misuse(command, "--momentum is for --optimizer sgd and muon");
    if (kind == CLN_MUON && !isnan(a->momentum) && !((float)a->momentum > 0 && (float)a->momentum < 1))
        return cli_misuse(command, "--momentum: muon needs one between 0 and 1, found %g", a->momentum);
    if (!a->ema && (a->ema_warmup || !isnan(a->ema_decay)))
        return cli_misuse(command, "--model-ema-%s is for --model-ema", a->ema_warmup ? "warmup" : "decay");
    return CLN_OK;
}

const char *fit_optimizer_name(cln_optimizer_kind kind) {
    for (int i = 0; optimizers[i]; i++)
        if (kinds[i] == kind)
            return optimizers[i];
    return NULL;
}

void fit_fill(double *value, float from) {
    char text[32];
    if (!isnan(*value))
        return;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)from);
        if (strtof(text, NULL) == from)
            break;
    }
    *value = strtod(text, NULL);
}

/* The default learning rate is the recipe's for its own optimiser, else what is usual for the one chosen. */
static void resolve_optimizer(fit_arguments *a, const cln_recipe *r) {
    bool other = a->optimizer >= 0 && kinds[a->optimizer] != r->optimizer.kind;
    for (int i = 0; a->optimizer < 0 && optimizers[i]; i++)
        if (kinds[i] == r->optimizer.kind)
            a->optimizer = i;
    bool sgd = kinds[a->optimizer] == CLN_SGD, muon = kinds[a->optimizer] == CLN_MUON;
    if ((sgd || muon) && !fit_cycles_momentum(a))
        fit_fill(&a->momentum, muon ? 0.95f : other ? 0.9f : r->optimizer.momentum);
    fit_fill(&a->lr, !other ? r->learning_rate : sgd ? 0.1f : 1e-3f);
    fit_fill(&a->weight_decay, r->optimizer.weight_decay);
}

void fit_resolve(fit_arguments *a) {
    const cln_recipe *r = a->model->recipe;
    resolve_optimizer(a, r);
    fit_resolve_schedule(a);
    fit_resolve_augmentation(a);
    if (a->batch_size < 0)
        a->batch_size = r->batch_size;
}

cln_recipe fit_recipe(const fit_arguments *a) {
    cln_recipe r = *a->model->recipe;
    r.optimizer.kind = kinds[a->optimizer];
    float momentum = isnan(a->momentum) ? 0 : (float)a->momentum;
    r.optimizer.momentum = r.optimizer.kind == CLN_MUON ? 0 : momentum;
    if (r.optimizer.kind == CLN_MUON)
        r.optimizer.beta1 = momentum;
    r.optimizer.nesterov = a->nesterov;
    r.optimizer.weight_decay = (float)a->weight_decay;
    r.learning_rate = (float)a->lr;
    r.epochs = (int)a->epochs;
    r.batch_size = (int)a->batch_size;
    r.optimizer.no_weight_decay_norm_bias = !a->weight_decay_norm_bias;
    r.optimizer.accumulate = (int)a->accumulate;
    r.model_ema_decay = !a->ema ? 0 : isnan(a->ema_decay) ? 0.9998 : a->ema_decay;
    r.model_ema_warmup = a->ema_warmup;
    r.optimizer.clip = (float)a->clip;
    r.optimizer.clip_kind = (cln_clip_kind)a->clip_kind;
    fit_schedule(a, &r);
    return r;
}
