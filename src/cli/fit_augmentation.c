/* cltrain fit: what is done at random to the training images. What is not given is the recipe's. */
#include "fit.h"

#include <stdio.h>

static const char *const padding_modes[] = {"constant", "reflect", NULL};

const cli_option fit_augmentation_options[] = {
    {"augment", CLI_FLAG, FIT_AT(augment), NULL,
     "augment the training images, as is the default; --no-augment: leave them as they are, whatever the options below "
     "say",
     0, 0, NULL},
    {"hflip", CLI_REAL, FIT_AT(hflip), "P", "probability of a flip left to right (default 0.5)", 0, 1, NULL},
    {"scale", CLI_REALS, FIT_AT(scale), "A,B",
     "random resized crop: the share of the image that it covers, from A to B (default 0.8,1; 0,0 with "
     "--random-crop-padding); 0,0: no such crop",
     0, 1, NULL},
    {"ratio", CLI_REALS, FIT_AT(ratio), "A,B", "its ratio of width to height, from A to B (default 0.9,1.1)", 1e-3, 1e3,
     NULL},
    {"random-crop-padding", CLI_INT, FIT_AT(crop_padding), "N",
     "random crop of the image padded by N pixels on each side, in place of the resized crop unless --scale is given "
     "too (default 0)",
     0, 1 << 12, NULL},
    {"padding-mode", CLI_CHOICE, FIT_AT(padding_mode), "MODE",
     "what the padding is: constant (black, the default) or reflect (the image mirrored)", 0, 0, padding_modes},
    {"color-jitter", CLI_REALS, FIT_AT(color_jitter), "B,C,S[,H]",
     "change brightness, contrast and saturation by factors within 1 - B to 1 + B and so on, and the hue by up to H, "
     "at most 0.5, of the circle, in random order; one number is for the first three",
     0, 1000, NULL},
    {"cutout", CLI_INT, FIT_AT(cutout), "SIZE", "replace a square of SIZE pixels a side by the mean", 0, 1 << 12, NULL},
    {"reprob", CLI_REAL, FIT_AT(erasing), "P", "probability that a random box is erased, to the mean", 0, 1, NULL},
    {"mixup", CLI_REAL, FIT_AT(mixup), "ALPHA",
     "blend the images of a batch with each other, and their labels, by a share drawn from Beta(ALPHA, ALPHA)", 0, 1e6,
     NULL},
    {"cutmix", CLI_REAL, FIT_AT(cutmix), "ALPHA",
     "replace a box of each image by another's; with --mixup each batch has either", 0, 1e6, NULL},
    {.name = NULL}};

int fit_check_augmentation(const cli_command *command, const fit_arguments *a) {
    if (a->scale.count != 0 && a->scale.count != 2)
        return cli_misuse(command, "--scale: expected two numbers, found %d", a->scale.count);
    if (a->ratio.count != 0 && a->ratio.count != 2)
        return cli_misuse(command, "--ratio: expected two numbers, found %d", a->ratio.count);
    if (a->color_jitter.count == 2)
        return cli_misuse(command, "--color-jitter: expected 1, 3 or 4 numbers, found 2");
    return CLN_OK;
}

static void fill(cli_reals *list, cln_range range) {
    if (list->count == 0)
        *list = (cli_reals){2, {range.low, range.high}};
}

void fit_resolve_augmentation(fit_arguments *a) {
    const cln_augmentation recipe = cln_augmentation_default();
    double *jitter = a->color_jitter.values;
    if (isnan(a->hflip))
        a->hflip = recipe.hflip;
    fill(&a->scale, a->crop_padding > 0 ? (cln_range){0, 0} : recipe.scale);
    fill(&a->ratio, recipe.ratio);
    if (a->color_jitter.count == 1)
        jitter[1] = jitter[2] = jitter[0];
    a->color_jitter.count = 4;
}

cln_augmentation fit_augmentation(const fit_arguments *a) {
    const double *scale = a->scale.values, *ratio = a->ratio.values, *jitter = a->color_jitter.values;
    if (!a->augment)
        return (cln_augmentation){.hflip = 0};
    return (cln_augmentation){.hflip = a->hflip,
                              .scale = {scale[0], scale[1]},
                              .ratio = {ratio[0], ratio[1]},
                              .crop_padding = (int)a->crop_padding,
                              .padding_mode = a->padding_mode == 1 ? CLN_PAD_REFLECT : CLN_PAD_CONSTANT,
                              .brightness = jitter[0],
                              .contrast = jitter[1],
                              .saturation = jitter[2],
                              .hue = jitter[3],
                              .cutout = (int)a->cutout,
                              .erasing = a->erasing,
                              .mixup = a->mixup,
                              .cutmix = a->cutmix};
}

static const char *joint(int *count) {
    return (*count)++ ? "; " : " ";
}

/* What is on, as "augmentation: flip 0.5; mixup 0.2". */
void fit_show_augmentation(const cln_augmentation *a) {
    const struct {
        const char *name;
        double value;
    } parts[] = {
        {"brightness", a->brightness}, {"contrast", a->contrast}, {"saturation", a->saturation}, {"hue", a->hue},
        {"cutout", a->cutout},         {"erasing", a->erasing},   {"mixup", a->mixup},           {"cutmix", a->cutmix}};
    int count = 0;
    printf("augmentation:");
    if (a->hflip > 0)
        printf("%sflip %g", joint(&count), a->hflip);
    if (a->scale.high > 0)
        printf("%scrop of %g-%g, ratio %g-%g", joint(&count), a->scale.low, a->scale.high, a->ratio.low, a->ratio.high);
    if (a->crop_padding > 0)
        printf("%scrop padded by %d (%s)", joint(&count), a->crop_padding, padding_modes[a->padding_mode]);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].value > 0)
            printf("%s%s %g", joint(&count), parts[i].name, parts[i].value);
    printf("%s\n", count ? "" : " none");
}
