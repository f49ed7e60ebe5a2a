/* Models by name. A new one is a file here and a line in models.h. */
#include "models.h"

#include <string.h>

#define MODEL_ADDRESS(name) &cln__model_##name,
static const cln_model *const models[] = {CLN_MODEL_LIST(MODEL_ADDRESS)};
#undef MODEL_ADDRESS

const cln_recipe cln__adamw_recipe = {
    .optimizer = {.kind = CLN_ADAMW, .weight_decay = 1e-4f},
    .learning_rate = 1e-3f,
    .gamma = 0.1f,
    .milestones = {2, {100, 150}},
    .epochs = 180,
    .batch_size = 128,
};

const cln_model *const *cln_models(int *count) {
    *count = (int)(sizeof models / sizeof *models);
    return models;
}

const cln_model *cln_model_find(const char *name) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i]->name, name) == 0)
            return models[i];
    return NULL;
}
