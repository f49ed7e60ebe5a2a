/* Pictures of training and testing, as PNG or SVG by the ending of the file's name. Files are replaced as a whole. */
#ifndef CLNET_PLOT_H
#define CLNET_PLOT_H

#include "clnet/evaluate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether `path` ends in .png or .svg, in letters of either case. Every other ending is CLN_INVALID_ARGUMENT below. */
CLN_API bool cln_plot_can_write(const char *path);

/* --- learning curves --- */

/* A table of numbers, as the trainer writes metrics.csv. */
typedef struct cln_metrics {
    int rows, columns; /* the line of names is not counted */
    char **names;      /* of the columns */
    double *values;    /* [columns][rows]; NaN where there is nothing */
} cln_metrics;

/* Reads a file of comma-separated numbers under a line of names. What is no number, or a line with another number of
 * fields, is CLN_INVALID_FILE. The caller frees *out with cln_metrics_free. */
CLN_API cln_status cln_metrics_read(cln_context *ctx, const char *path, cln_metrics **out);
/* With names and values. */
CLN_API void cln_metrics_free(cln_metrics *metrics);
/* The values of a column, `rows` of them; NULL if there is none of this name. */
CLN_API const double *cln_metrics_column(const cln_metrics *metrics, const char *name);

/* One run of those in a picture. */
typedef struct cln_plot_run {
    const char *name;           /* for the legend */
    const cln_metrics *metrics; /* borrowed */
} cln_plot_run;

/* The most runs in one picture: there are as many colours. */
enum { CLN_PLOT_MAX_RUNS = 8 };
/* Loss and accuracy by epoch, in training and validation (columns epoch, train_loss, train_acc, val_loss, val_acc; only
 * the first is required), of one run or of several to compare. */
CLN_API cln_status cln_plot_curves(cln_context *ctx, const cln_plot_run *runs, int count, const char *path);

/* The loss against the learning rate, on a logarithmic axis, of a search for a good one; `suggestion` (NaN: none) is
 * marked. Rates must be above 0. */
CLN_API cln_status cln_plot_lr_find(cln_context *ctx, const double *rates, const double *losses, int count,
                                    double suggestion, const char *path);

/* --- tests --- */

/* The confusion matrix, a row for each true class. Colours are shares of the row, numbers (up to 20 classes) counts. */
CLN_API cln_status cln_plot_confusion(cln_context *ctx, const cln_evaluation *evaluation, const char *path);
/* The most confident mistakes with what was predicted and what is true. Needs evaluation->data. */
CLN_API cln_status cln_plot_mistakes(cln_context *ctx, const cln_evaluation *evaluation, const char *path);

/* --- images --- */

/* An image of a picture of many. */
typedef struct cln_tile {
    const uint8_t *planes;          /* [channels][height][width] as in cln_dataset; 1 (grey) or 3 channels */
    int channels, height, width;    /* of `planes`, in pixels */
    const char *caption, *caption2; /* lines below it; NULL: none */
} cln_tile;

/* Images in rows of `columns`. `title` may be NULL. */
CLN_API cln_status cln_plot_images(cln_context *ctx, const char *title, const cln_tile *tiles, int count, int columns,
                                   const char *path);

/* An image, such as that of cln_augmentation_grid, enlarged to be seen well. `title` may be NULL. */
CLN_API cln_status cln_plot_picture(cln_context *ctx, const char *title, const cln_image *image, const char *path);

/* The filters of a convolution: as colours where it has 3 input channels, else a grey row of input channels for each
 * filter. `layer` names its weight, or is what comes before ".weight"; NULL: the first layer. */
CLN_API cln_status cln_plot_filters(cln_context *ctx, const cln_weights_file *file, const char *layer,
                                    const char *path);

#ifdef __cplusplus
}
#endif
#endif
