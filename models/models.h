/* The models' descriptions, one for each line of the registry's list. */
#ifndef CLN_MODELS_H
#define CLN_MODELS_H

#include "clnet/models.h"

#define CLN_MODEL_LIST(X)                                                                                              \
    X(googlenet)                                                                                                       \
    X(resnet)                                                                                                          \
    X(resnet_preact)                                                                                                   \
    X(densenet)

#define CLN_MODEL_EXTERN(name) extern const cln_model cln__model_##name;
CLN_MODEL_LIST(CLN_MODEL_EXTERN)
#undef CLN_MODEL_EXTERN

/* How GoogleNet and DenseNet are trained. */
extern const cln_recipe cln__adamw_recipe;

#endif
