/* Short recipes: what reaches a good accuracy in a few epochs. How they were found is in docs/measuring.md. */
#include "race.h"

#include <string.h>

static const struct {
    const char *model, *options;
} recipes[] = {
    {"ResNet", "--epochs 6 --batch-size 64 --lr 0.15 --weight-decay 5e-4 --momentum 0.9 --nesterov "
               "--lr-scheduler onecycle --pct-start 0.25 --no-cycle-momentum "
               "--random-crop-padding 2 --padding-mode reflect"},
};

/* Of networks that nobody has looked at: their own recipe, in one cycle. */
static const char other[] = "--epochs 10 --lr-scheduler onecycle";

const char *short_recipe(const char *model) {
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].model, model) == 0)
            return recipes[i].options;
    return other;
}
