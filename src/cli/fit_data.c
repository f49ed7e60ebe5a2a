/* cltrain fit: which images, and how they are read. */
#include "fit.h"

const cli_option fit_data_options[] = {
    {"data", CLI_TEXT, FIT_AT(data), "PATH",
     "required: a folder with CIFAR-10 or CIFAR-100 (binary), IDX files, or images as <split>/<class>/<image> with "
     "the splits train and test (or val); or fashion-mnist",
     0, 0, NULL},
    CLI_IMAGE_SIZE(FIT_AT(image_size)),
    {"normalize", CLI_TEXT, FIT_AT(normalize), "HOW",
     "dataset (computed), cifar10 (published values), or means/deviations as in 0.5,0.5,0.5/0.2,0.2,0.2; default: "
     "cifar10 for the CIFAR-10 layout, else dataset",
     0, 0, NULL},
    {"val-split", CLI_REAL, FIT_AT(validation), "F|N",
     "hold back this share, or this number, of the training images for validation (default 0.1); 0 trains on all of "
     "them and keeps the last weights",
     0, 1e9, NULL},
    CLI_SPLIT_INDICES(FIT_AT(split_indices)),
    {"workers", CLI_INT, FIT_AT(workers), "N", "threads that prepare batches (default 2)", 0, 64, NULL},
    {.name = NULL}};
