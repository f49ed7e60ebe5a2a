/* The commands of cltrain. */
#ifndef CLN_SRC_COMMANDS_H
#define CLN_SRC_COMMANDS_H

#include "options.h"

#define CLI_PROGRAM "cltrain"

/* Rows of option tables that several commands have; `at` is the offset of the member. */
#define CLI_IMAGE_SIZE(at)                                                                                             \
    {                                                                                                                  \
        "image-size", CLI_INTS, at, "N|H,W",                                                                           \
            "size to which the images of an image folder are resized; default: their own, if all are equal (in a "     \
            "test: that of the training)",                                                                             \
            1, 4096, NULL                                                                                              \
    }
#define CLI_SPLIT_INDICES(at)                                                                                          \
    {                                                                                                                  \
        "split-indices", CLI_TEXT, at, "FILE",                                                                         \
            "a text file of training images, as numbers from 0 with white space between them, each at most once: the " \
            "last ones, as many as --val-split says, are held back for validation, those before train, others are "    \
            "left "                                                                                                    \
            "out. The numbers count the images of the data set as they lie in its files, in a sample of CIFAR-10 too", \
            0, 0, NULL                                                                                                 \
    }

extern const cli_command fit_command, validate_command, test_command, predict_command, plot_command, export_command,
    summary_command, devices_command, models_command;

#endif
