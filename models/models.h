/* The models' descriptions, one for each line of the registry's list. */
#ifndef CLN_MODELS_H
#define CLN_MODELS_H

#include "clnet/models.h"

#define CLN_MODEL_LIST(X)                                                                                              \
    X(resnet)                                                                                                          \
    X(resnet_preact)

#define CLN_MODEL_EXTERN(name) extern const cln_model cln__model_##name;
CLN_MODEL_LIST(CLN_MODEL_EXTERN)
#undef CLN_MODEL_EXTERN

#endif
