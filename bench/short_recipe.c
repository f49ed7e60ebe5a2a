/* Short recipes: what reaches a good accuracy in a few epochs. How they were found is in docs/measuring.md. */
#include "race.h"

#include <string.h>

/* The schedule comes last, so that it can be left out where another one is chosen. */
static const struct {
    const char *model, *options;
} recipes[] = {
    {"ResNet", "--epochs 6 --batch-size 64 --optimizer muon --lr 0.008 --weight-decay 0.1 --momentum 0.95 "
               "--random-crop-padding 2 --padding-mode reflect "
               "--lr-scheduler onecycle --pct-start 0.25 --no-cycle-momentum"},
};

/* Of networks that nobody has looked at: their own recipe, in one cycle. */
static const char other[] = "--epochs 10 --lr-scheduler onecycle";

const char *short_recipe(const char *model) {
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].model, model) == 0)
            return recipes[i].options;
    return other;
}
