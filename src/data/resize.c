/* Resizing 8-bit planes: along the rows, then along the columns, each pass a weighted sum of neighbours rounded to
 * whole grey levels. Filter, window, fixed point and rounding are those of PIL's Image.resize with BILINEAR, so that
 * the results are the same to the bit (Pillow up to 12; 13 begins with the columns of tall images, which may move a
 * pixel by one level). */
#include "image.h"

#include <math.h>
#include <stdlib.h>

enum { FRACTION_BITS = 22 };

/* Which source pixels make up each result along one axis, and their weights, `taps` to a result. */
typedef struct filter {
    int taps;
    int *first, *count;
    int32_t *weight;
} filter;

static void filter_free(filter *f) {
    free(f->first);
    free(f->count);
    free(f->weight);
}

/* The pixels within `reach` of the result's centre, weighted by a triangle that is 0 at that distance. */
static void fill(filter *f, int result, int from, double scale, double reach, double *triangle) {
    double centre = (result + 0.5) * scale, sum = 0;
    int first = (int)(centre - reach + 0.5), end = (int)(centre + reach + 0.5);
    first = first < 0 ? 0 : first;
    end = end > from ? from : end;
    for (int i = first; i < end; i++) {
        double distance = fabs((i - centre + 0.5) * (1 / reach));
        sum += triangle[i - first] = distance < 1 ? 1 - distance : 0;
    }
    f->first[result] = first;
    f->count[result] = end - first;
    int32_t *weight = f->weight + (size_t)result * (size_t)f->taps;
    for (int i = 0; i < end - first; i++)
        weight[i] = (int32_t)(triangle[i] / sum * (1 << FRACTION_BITS) + 0.5);
}

static bool filter_new(int from, int to, filter *f) {
    double scale = (double)from / to, reach = scale > 1 ? scale : 1;
    f->taps = 2 * (int)ceil(reach) + 1;
    f->first = calloc((size_t)to, sizeof *f->first);
    f->count = calloc((size_t)to, sizeof *f->count);
    f->weight = calloc((size_t)to * (size_t)f->taps, sizeof *f->weight);
    double *triangle = calloc((size_t)f->taps, sizeof *triangle);
    bool ok = f->first && f->count && f->weight && triangle;
    for (int i = 0; ok && i < to; i++)
        fill(f, i, from, scale, reach, triangle);
    free(triangle);
    return ok;
}

static uint8_t sum_up(const uint8_t *pixel, size_t stride, const int32_t *weight, int count) {
    int32_t sum = 1 << (FRACTION_BITS - 1);
    for (int i = 0; i < count; i++)
        sum += pixel[(size_t)i * stride] * weight[i];
    sum >>= FRACTION_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum); /* the weights' sum may exceed 1 by rounding */
}

static void along_row(const filter *f, const uint8_t *row, int to, uint8_t *out) {
    for (int x = 0; x < to; x++)
        out[x] = sum_up(row + f->first[x], 1, f->weight + (size_t)x * (size_t)f->taps, f->count[x]);
}

static void resize_plane(const uint8_t *plane, int from_height, int from_width, const filter *rows,
                         const filter *columns, uint8_t *narrow, int height, int width, uint8_t *out) {
    for (int y = 0; y < from_height; y++)
        along_row(rows, plane + (size_t)y * (size_t)from_width, width, narrow + (size_t)y * (size_t)width);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            *out++ = sum_up(narrow + (size_t)columns->first[y] * (size_t)width + x, (size_t)width,
                            columns->weight + (size_t)y * (size_t)columns->taps, columns->count[y]);
}

cln_status cln__image_resize(cln_context *ctx, const cln__image *image, int height, int width, uint8_t *out) {
    filter rows = {0}, columns = {0};
    uint8_t *narrow = malloc((size_t)image->height * (size_t)width);
    bool ok = filter_new(image->width, width, &rows) && filter_new(image->height, height, &columns) && narrow;
    size_t plane = (size_t)image->height * (size_t)image->width;
    for (int c = 0; ok && c < image->channels; c++)
        resize_plane(image->planes + (size_t)c * plane, image->height, image->width, &rows, &columns, narrow, height,
                     width, out + (size_t)c * (size_t)height * (size_t)width);
    free(narrow);
    filter_free(&rows);
    filter_free(&columns);
    return ok ? CLN_OK : cln__fail_memory(ctx, "resizing an image");
}
