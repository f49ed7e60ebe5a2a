/* cltrain fit --augmentation-grid: in place of training, a picture of what the augmentation does. */
#include "clnet/plot.h"
#include "fit.h"

enum { IMAGES = 10 };

static cln_status draw(cln_context *ctx, const fit_arguments *a, const cln_dataset *data) {
    cln_loader_options options = {.seed = (uint64_t)a->seed, .augmentation = fit_augmentation(a)};
    cln_image picture;
    int count = data->count < IMAGES ? (int)data->count : IMAGES;
    cln_status status = cln_normalization_choose(ctx, a->normalize, data, &options.normalization);
    if (status == CLN_OK)
        status = cln_augmentation_grid(ctx, data, NULL, count, &options, 0, &picture);
    if (status != CLN_OK)
        return status;
    status = cln_plot_picture(ctx, "Images and, below, what the network sees of them", &picture, a->augmentation_grid);
    cln_image_free(&picture);
    return status;
}

cln_status fit_draw_augmentation(cln_context *ctx, const fit_arguments *a) {
    const cln_dataset_options size = {.height = a->image_size.values[0],
                                      .width = a->image_size.values[a->image_size.count > 1]};
    cln_dataset *data;
    cln_status status = cln_dataset_load(ctx, a->data, CLN_SPLIT_TRAIN, &size, &data);
    if (status != CLN_OK)
        return status;
    status = draw(ctx, a, data);
    if (status == CLN_OK && !a->quiet)
        printf("%s\n", a->augmentation_grid);
    cln_dataset_free(data);
    return status;
}
