/* What a network gets right and wrong: everything that is usually asked of a test, and classifying images of one's own.
 */
#ifndef CLNET_EVALUATE_H
#define CLNET_EVALUATE_H

#include "clnet/image.h"
#include "clnet/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- evaluation --- */

/* What the network makes of one image. */
typedef struct cln_prediction {
    int64_t index;             /* of the image in its split of the data set */
    int32_t label, prediction; /* the true class and the one with the largest logit */
    float probability;         /* of the prediction, by softmax */
} cln_prediction;

/* A class against all others. What would be 0/0 is NaN. */
typedef struct cln_class_score {
    int64_t images;    /* that are of the class */
    int64_t predicted; /* that are taken for it */
    int64_t correct;   /* both */
    double accuracy;   /* correct / images, also called recall */
    double precision;  /* correct / predicted */
    double f1;         /* the harmonic mean of the two */
} cln_class_score;

/* Of equal width, from 0 to 1. */
enum { CLN_CALIBRATION_BINS = 15 };
/* The images whose probability lies in (i / 15, (i + 1) / 15]. */
typedef struct cln_calibration_bin {
    int64_t count;     /* images */
    double confidence; /* mean probability of the prediction; NaN without images */
    double accuracy;   /* share of right predictions; NaN without images */
} cln_calibration_bin;

/* A test of a network, with all that it says of every image. */
typedef struct cln_evaluation {
    cln_score score;       /* over all images */
    int num_classes;       /* of the network */
    char **class_names;    /* num_classes of them */
    int top_k;             /* at most num_classes */
    double top_k_accuracy; /* the label is among the top_k classes of the largest logits */
    /* The expected calibration error of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: the mean
     * over the images of |accuracy - confidence| of their bins. NaN if a logit is not finite. */
    double calibration_error;
    cln_calibration_bin bins[CLN_CALIBRATION_BINS]; /* from the least probability up */
    cln_class_score *classes;                       /* [num_classes] */
    int64_t *confusion;                             /* [label][prediction] */
    cln_prediction *predictions; /* score.count of them, in the order of the data set or of its split */
    float *logits;               /* [score.count][num_classes] */
    cln_dataset *data;           /* the images, where predictions[i].index counts; NULL by cln_evaluation_from_logits */
} cln_evaluation;

/* Runs the network of a weights file over a data set, as cln_evaluate does, and keeps what it says of every image. The
 * largest logit is the prediction, the first among equals. The caller frees *out with cln_evaluation_free, and with it
 * all that it points to. */
CLN_API cln_status cln_evaluation_new(cln_context *ctx, cln_device *device, const cln_evaluate_options *options,
                                      cln_evaluation **out);
/* The same of logits that are there, [count][num_classes], copied. `class_names` (copied) NULL: "0", "1", ...; `top_k`
 * as in cln_evaluate_options. A label that is no class is CLN_INVALID_ARGUMENT. */
CLN_API cln_status cln_evaluation_from_logits(cln_context *ctx, const float *logits, const int32_t *labels,
                                              int64_t count, int num_classes, const char *const *class_names, int top_k,
                                              cln_evaluation **out);
/* With all it points to, the data set too. */
CLN_API void cln_evaluation_free(cln_evaluation *evaluation);

/* The wrong predictions, the most confident first: fills `out` with at most `most` indices into
 * evaluation->predictions, and returns how many. */
CLN_API int64_t cln_evaluation_mistakes(const cln_evaluation *evaluation, int64_t *out, int64_t most);

/* Files of comma-separated values, replaced as a whole. Of the classes, a line each: class, name, images, predicted,
 * correct, accuracy, precision, f1. */
CLN_API cln_status cln_evaluation_write_classes(cln_context *ctx, const cln_evaluation *evaluation, const char *path);
/* The confusion matrix: a line for each true class, a column for each predicted one, with their names. */
CLN_API cln_status cln_evaluation_write_confusion(cln_context *ctx, const cln_evaluation *evaluation, const char *path);
/* index, label, prediction (both numbers), probability. */
CLN_API cln_status cln_evaluation_write_predictions(cln_context *ctx, const cln_evaluation *evaluation,
                                                    const char *path);

/* --- classifying --- */

/* A network that is loaded once and then classifies images in memory. */
typedef struct cln_classifier cln_classifier;

/* Which network, and how it is run. */
typedef struct cln_classifier_options {
    const char *weights;            /* a file of any format that cln_weights_file_read takes */
    const cln_model *const *models; /* this and the next three as in cln_evaluate_options */
    int model_count;                /* of `models` */
    const cln_model *model;         /* NULL: the one that the file names */
    const char *hparams;            /* JSON; NULL: the file's, or the defaults */
    const char *normalize;          /* NULL: the file's. "dataset" cannot serve here */
    /* Size of the network's images; 0: the file's. A checkpoint of PyTorch Lightning does not say it: 32x32. */
    int image_height, image_width;
    /* NULL: the file's; those of CIFAR-10 for a checkpoint of PyTorch Lightning of 10 classes; else "0", "1", ... */
    const char *const *class_names;
    int class_count;     /* of class_names; must be that of the network */
    int batch_size;      /* images in a step; 0: 1 */
    const char *variant; /* as in cln_plan_options */
    bool tuned;          /* as in cln_fit_options */
    const char *tuning;  /* as in cln_fit_options */
} cln_classifier_options;

/* Borrows ctx and device; copies what it needs of `options`. The caller frees *out, before the device. */
CLN_API cln_status cln_classifier_new(cln_context *ctx, cln_device *device, const cln_classifier_options *options,
                                      cln_classifier **out);
/* With its weights and plan. */
CLN_API void cln_classifier_free(cln_classifier *classifier);
/* How many classes it tells apart. */
CLN_API int cln_classifier_classes(const cln_classifier *classifier);
/* NULL beyond the last; lives as long as the classifier. */
CLN_API const char *cln_classifier_class_name(const cln_classifier *classifier, int index);

/* Softmax probabilities of every class for `count` images of any size, [count][classes]. Each image is made grey or
 * coloured, resized (antialiased, as PIL's bilinear filter) and normalised as those of the training were. */
CLN_API cln_status cln_classifier_predict(cln_classifier *classifier, const cln_image *images, int64_t count,
                                          float *probabilities);
/* The indices of the `k` largest of `count` values, the largest first, the first among equals; k is at most count. */
CLN_API void cln_top_k(const float *values, int count, int k, int *indices);

#ifdef __cplusplus
}
#endif
#endif
