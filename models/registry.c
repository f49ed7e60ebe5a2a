/* Models by name. A new one is a file here and a line in models.h. */
#include "models.h"

#include <string.h>

#define MODEL_ADDRESS(name) &cln__model_##name,
static const cln_model *const models[] = {CLN_MODEL_LIST(MODEL_ADDRESS)};
#undef MODEL_ADDRESS

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
