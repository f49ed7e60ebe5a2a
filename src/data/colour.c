/* Brightness, contrast, saturation and hue of 8-bit images: what torchvision's functional_tensor computes for uint8, in
 * the same float arithmetic and with the same truncations, so that the results are the same but for the mean in
 * contrast, whose last digit depends on the order of a sum. */
#include "augment.h"

static uint8_t to_byte(float value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static uint8_t grey_of(uint8_t r, uint8_t g, uint8_t b) {
    return (uint8_t)(0.2989f * r + 0.587f * g + 0.114f * b);
}

/* Every byte becomes a blend of itself and one level. */
static void blend_with(double factor, float level, uint8_t *bytes, size_t count) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++)
        table[v] = to_byte((float)factor * (float)v + (float)(1 - factor) * level);
    for (size_t i = 0; i < count; i++)
        bytes[i] = table[bytes[i]];
}

static float mean_of(const uint8_t *image, int channels, size_t plane) {
    const uint8_t *r = image, *g = r + plane, *b = g + plane;
    uint64_t sum = 0;
    for (size_t i = 0; i < plane; i++)
        sum += channels == 3 ? grey_of(r[i], g[i], b[i]) : r[i];
    return (float)((double)sum / (double)plane);
}

static void adjust_saturation(double factor, uint8_t *image, size_t plane) {
    uint8_t *r = image, *g = r + plane, *b = g + plane;
    const float keep = (float)factor, add = (float)(1 - factor);
    for (size_t i = 0; i < plane; i++) {
        float grey = add * (float)grey_of(r[i], g[i], b[i]);
        r[i] = to_byte(keep * (float)r[i] + grey);
        g[i] = to_byte(keep * (float)g[i] + grey);
        b[i] = to_byte(keep * (float)b[i] + grey);
    }
}

/* --- hue --- */

/* In turns of the circle, 0 to 1; as PIL has it. The colours are r, g, b from 0 to 1, not all the same. */
static float hue_of(float r, float g, float b, float max, float range) {
    float from_r = (max - r) / range, from_g = (max - g) / range, from_b = (max - b) / range;
    float sixths = max == r ? from_b - from_g : max == g ? 2 + from_r - from_b : 4 + from_g - from_r;
    float hue = sixths / 6 + 1;
    return hue >= 1 ? hue - 1 : hue;
}

static uint8_t from_unit(float value) {
    return (uint8_t)((value < 0 ? 0 : value > 1 ? 1 : value) * 255.999f);
}

/* From hue (times 6), saturation and value back. */
static void set_colour(float sixths, float s, float v, uint8_t *r, uint8_t *g, uint8_t *b) {
    int whole = (int)sixths;
    float f = sixths - (float)whole;
    uint8_t top = from_unit(v), p = from_unit(v * (1 - s)), q = from_unit(v * (1 - s * f)),
            t = from_unit(v * (1 - s * (1 - f)));
    const uint8_t by_sixth[6][3] = {{top, t, p}, {q, top, p}, {p, top, t}, {p, q, top}, {t, p, top}, {top, p, q}};
    const uint8_t *colour = by_sixth[whole % 6];
    *r = colour[0];
    *g = colour[1];
    *b = colour[2];
}

static void adjust_hue(double turn, uint8_t *image, size_t plane) {
    uint8_t *red = image, *green = red + plane, *blue = green + plane;
    for (size_t i = 0; i < plane; i++) {
        uint8_t high = red[i] > green[i] ? red[i] : green[i], low = red[i] < green[i] ? red[i] : green[i];
        high = high > blue[i] ? high : blue[i];
        low = low < blue[i] ? low : blue[i];
        if (high == low) /* grey has no hue */
            continue;
        float r = (float)red[i] / 255, g = (float)green[i] / 255, b = (float)blue[i] / 255;
        float max = (float)high / 255, range = max - (float)low / 255;
        float hue = hue_of(r, g, b, max, range) + (float)turn;
        hue = hue < 0 ? hue + 1 : hue >= 1 ? hue - 1 : hue;
        set_colour(hue * 6, range / max, max, &red[i], &green[i], &blue[i]);
    }
}

void cln__colour_adjust(cln__colour what, double factor, uint8_t *image, int channels, size_t plane) {
    switch (what) {
    case CLN__BRIGHTNESS:
        blend_with(factor, 0, image, (size_t)channels * plane);
        break;
    case CLN__CONTRAST:
        blend_with(factor, mean_of(image, channels, plane), image, (size_t)channels * plane);
        break;
    case CLN__SATURATION:
        if (channels == 3)
            adjust_saturation(factor, image, plane);
        break;
    case CLN__HUE:
        if (channels == 3)
            adjust_hue(factor, image, plane);
        break;
    case CLN__COLOURS:
        break;
    }
}
