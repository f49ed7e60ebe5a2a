/* cltrain fit: the themes that say what is trained on what, and how, taken together. clbench race takes the same. */
#include "fit.h"

const fit_arguments fit_defaults = {.epochs = -1,
                                    .batch_size = -1,
                                    .seed = 42,
                                    .workers = 2,
                                    .augment = true,
                                    .hflip = NAN,
                                    .top_k = 1,
                                    .optimizer = -1,
                                    .scheduler = -1,
                                    .accumulate = 1,
                                    .ema_decay = NAN,
                                    .weight_decay_norm_bias = true,
                                    .monitor = -1,
                                    .mode = -1,
                                    .lr = NAN,
                                    .momentum = NAN,
                                    .weight_decay = NAN,
                                    .gamma = NAN,
                                    .milestones = {.count = -1},
                                    .min_lr = NAN,
                                    .pct_start = NAN,
                                    .div_factor = NAN,
                                    .final_div_factor = NAN,
                                    .base_momentum = NAN,
                                    .max_momentum = NAN,
                                    .cycle_momentum = true,
                                    .warmup_lr = NAN,
                                    .last = true,
                                    .sanity_val_steps = 2,
                                    .tensorboard = true,
                                    .lr_find_threshold = NAN,
                                    .save_every = 30,
                                    .validation = 0.1};

int fit_check_training(const cli_command *command, const fit_arguments *a) {
    if (a->image_size.count > 2)
        return cli_misuse(command, "--image-size: expected N or H,W, found %d numbers", a->image_size.count);
    int status = fit_check_recipe(command, a);
    status = status == CLN_OK ? fit_check_schedule(command, a) : status;
    return status == CLN_OK ? fit_check_augmentation(command, a) : status;
}

cln_fit_options fit_training(const fit_arguments *a, const cln_augmentation *augmentation) {
    return (cln_fit_options){.model = a->model,
                             .recipe = fit_recipe(a),
                             .init_weights = a->init_weights,
                             .freeze = a->freeze,
                             .label_smoothing = (float)a->label_smoothing,
                             .data = a->data,
                             .normalize = a->normalize,
                             .validation = a->validation,
                             .split_indices = a->split_indices,
                             .image_height = a->image_size.values[0],
                             .image_width = a->image_size.values[a->image_size.count > 1],
                             .seed = (uint64_t)a->seed,
                             .workers = (int)a->workers,
                             .augmentation = augmentation,
                             .variant = a->variant,
                             .tuned = !a->tuning.none,
                             .tuning = a->tuning.path};
}
