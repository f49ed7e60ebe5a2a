/* Golden files of the training augmentation: flip, crop and resize, to within one grey level. */
#include "clnet/data.h"
#include "verify.h"

#include <math.h>

typedef struct augment_case {
    int64_t count, channels, height, width;
    const float *image, *result;
    const int64_t *flip, *box;
} augment_case;

static bool read(verify_case *c, augment_case *a) {
    const cln_file_tensor *image = verify_find(c, CLN_F32, "image");
    if (!image)
        return false;
    if (image->rank != 4 || image->count < 1 || image->count > INT32_MAX)
        return verify_fail(c, "tensor 'image' is not of four axes [n, c, h, w] with fewer than 2^31 values");
    a->count = image->shape[0];
    a->channels = image->shape[1];
    a->height = image->shape[2];
    a->width = image->shape[3];
    const int64_t boxes[2] = {a->count, 4};
    a->image = verify_floats(c, 4, image->shape, "image");
    a->result = a->image ? verify_floats(c, 4, image->shape, "result") : NULL;
    a->flip = a->result ? verify_int64s(c, 1, &a->count, "flip") : NULL;
    a->box = a->flip ? verify_int64s(c, 2, boxes, "box") : NULL;
    return a->box != NULL;
}

static bool to_grey(verify_case *c, const float *from, uint8_t *to, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (!(from[i] >= 0 && from[i] <= 255 && from[i] == floorf(from[i])))
            return verify_fail(c, "image value %g is not a whole grey level from 0 to 255", (double)from[i]);
        to[i] = (uint8_t)from[i];
    }
    return true;
}

static bool augment(verify_case *c, const augment_case *a, int64_t index, const uint8_t *image, uint8_t *out) {
    int box[4];
    for (int k = 0; k < 4; k++) {
        int64_t side = a->box[index * 4 + k];
        if (side < 0 || side > INT32_MAX)
            return verify_fail(c, "box of image %lld: %lld is out of range", (long long)index, (long long)side);
        box[k] = (int)side;
    }
    if (a->flip[index] != 0 && a->flip[index] != 1)
        return verify_fail(c, "flip of image %lld is neither 0 nor 1", (long long)index);
    return verify_ok(c, cln_augment_crop_flip(c->ctx, image, (int)a->channels, (int)a->height, (int)a->width,
                                              a->flip[index] == 1, box, out));
}

bool verify_augment(verify_case *c) {
    augment_case a;
    if (!read(c, &a))
        return false;
    int64_t size = a.channels * a.height * a.width;
    uint8_t *image = verify_alloc(c, size, 1), *out = verify_alloc(c, size, 1);
    double largest = 0;
    for (int64_t i = 0; i < a.count; i++) {
        if (!image || !out || !to_grey(c, a.image + i * size, image, size) || !augment(c, &a, i, image, out))
            return false;
        for (int64_t k = 0; k < size; k++) {
            double d = fabs((double)out[k] - (double)a.result[i * size + k]);
            if (isnan(d))
                return verify_add(c, "result", "", d, 1);
            largest = d > largest ? d : largest;
        }
    }
    return verify_add(c, "result", "", largest, 1);
}
