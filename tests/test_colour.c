/* Brightness, contrast, saturation and hue: against torchvision, and where they change nothing. */
#include "../src/data/augment.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 4, WIDTH = 5, PLANE = HEIGHT * WIDTH };

typedef struct change {
    cln__colour what;
    double factor;
} change;

typedef struct colour_case {
    int channels, count;
    change changes[CLN__COLOURS]; /* one after another */
    uint8_t result[3 * PLANE];
} colour_case;

/* The results of torchvision 0.28.0's transforms.functional (on PyTorch 2.13.0) on the uint8 tensor
 * (37 * c + 11 * y * y + 53 * x + 7 * c * x * y) % 256. */
static const colour_case cases[] = {
    {3, 1, {{CLN__BRIGHTNESS, 1.4}}, {0,   74,  148, 222, 255, 15,  89,  163, 238, 255, 61,  135, 210, 255, 0,
                                      138, 212, 255, 2,   77,  51,  126, 200, 255, 255, 67,  151, 235, 255, 44,
                                      113, 207, 255, 36,  130, 190, 255, 39,  142, 246, 103, 177, 252, 255, 42,
                                      119, 212, 255, 42,  135, 165, 255, 33,  147, 255, 242, 16,  149, 255, 57}},
    {3, 1, {{CLN__BRIGHTNESS, 0.3}}, {0,  15, 31, 47, 63, 3,  19, 35, 51, 66, 13, 29, 45, 60, 0,  29, 45, 61, 0,  16,
                                      11, 27, 42, 58, 74, 14, 32, 50, 68, 9,  24, 44, 64, 7,  27, 40, 63, 8,  30, 52,
                                      22, 38, 54, 69, 9,  25, 45, 65, 9,  29, 35, 59, 7,  31, 55, 51, 3,  32, 60, 12}},
    {3, 1, {{CLN__CONTRAST, 1.7}}, {0,  7,   97,  187, 255, 0,   25,  115, 205, 255, 0,   81,  171, 255, 0,
                                    85, 175, 255, 0,   10,  0,   69,  160, 250, 255, 0,   100, 202, 255, 0,
                                    54, 168, 255, 0,   75,  148, 255, 0,   90,  216, 42,  132, 222, 255, 0,
                                    61, 175, 255, 0,   81,  117, 255, 0,   95,  233, 211, 0,   98,  255, 0}},
    {3, 1, {{CLN__CONTRAST, 0.4}}, {71,  92,  113, 134, 156, 75,  96,  118, 139, 160, 88,  110, 131, 152, 71,
                                    110, 132, 153, 72,  93,  86,  107, 128, 149, 170, 90,  114, 138, 162, 84,
                                    103, 130, 157, 81,  108, 125, 155, 82,  112, 141, 100, 122, 143, 164, 83,
                                    105, 132, 158, 83,  110, 118, 150, 80,  113, 145, 140, 76,  114, 152, 87}},
    {3, 1, {{CLN__SATURATION, 1.8}}, {0,   28,  81,  134, 211, 0,   35,  84,  155, 255, 19,  64,  131, 255, 0,
                                      74,  137, 255, 0,   0,   42,  95,  148, 201, 255, 53,  115, 176, 255, 0,
                                      86,  156, 248, 0,   107, 141, 242, 0,   117, 217, 109, 162, 215, 255, 0,
                                      120, 194, 255, 0,   97,  153, 247, 0,   119, 255, 208, 0,   121, 255, 0}},
    {3, 1, {{CLN__SATURATION, 0.2}}, {24,  77,  130, 183, 212, 35,  92,  149, 184, 121, 68,  129, 168, 110, 60,
                                      123, 166, 112, 66,  110, 31,  84,  137, 190, 219, 42,  100, 160, 196, 83,
                                      75,  140, 181, 74,  78,  130, 178, 76,  86,  134, 38,  91,  144, 197, 175,
                                      49,  109, 170, 156, 96,  82,  150, 143, 90,  97,  137, 138, 92,  106, 107}},
    {3, 1, {{CLN__HUE, 0.3}}, {74,  127, 180, 233, 30, 85, 152, 219, 30,  135, 118, 199, 24,  140, 186,
                               173, 12,  142, 202, 41, 0,  53,  106, 159, 249, 11,  64,  117, 210, 223,
                               44,  97,  188, 203, 0,  99, 192, 205, 2,   82,  52,  105, 158, 211, 243,
                               63,  126, 189, 228, 32, 96, 169, 215, 26,  130, 151, 210, 28,  142, 176}},
    {3, 1, {{CLN__HUE, -0.15}}, {0,   53,  106, 159, 249, 11,  64,  117, 228, 177, 44,  97,  215, 142, 0,
                                 99,  210, 144, 2,   176, 74,  127, 180, 233, 89,  85,  152, 219, 108, 32,
                                 118, 199, 108, 26,  186, 173, 90,  28,  202, 176, 44,  97,  150, 204, 30,
                                 55,  117, 178, 30,  223, 88,  158, 24,  203, 112, 143, 12,  205, 122, 41}},
    {3,
     4,
     {{CLN__HUE, 0.1}, {CLN__CONTRAST, 1.25}, {CLN__BRIGHTNESS, 0.8}, {CLN__SATURATION, 1.5}},
     {0,  39,  90,  146, 21,  0,  50,  105, 0,   255, 29,  85,  0,   237, 0,   84,  0,   238, 0,   0,
      0,  27,  81,  134, 237, 0,  38,  88,  241, 41,  19,  68,  233, 11,  0,   74,  227, 14,  0,   180,
      78, 139, 192, 232, 0,   92, 170, 243, 0,   0,   130, 223, 0,   0,   240, 183, 0,   0,   255, 78}},
    {3,
     4,
     {{CLN__SATURATION, 0.5}, {CLN__BRIGHTNESS, 1.2}, {CLN__HUE, -0.3}, {CLN__CONTRAST, 0.7}},
     {62, 106, 151, 195, 219, 71, 119, 169, 215, 94,  99,  152, 203, 88,  95,  145, 200, 89,  101, 167,
      84, 129, 173, 218, 142, 93, 146, 198, 132, 105, 121, 181, 123, 106, 150, 167, 117, 107, 160, 115,
      53, 97,  142, 186, 203, 62, 109, 155, 174, 174, 90,  139, 160, 162, 71,  136, 159, 164, 76,  109}},
    {1, 1, {{CLN__CONTRAST, 1.7}}, {0, 15, 105, 196, 255, 0,  34,  124, 214, 255,
                                    0, 90, 180, 255, 0,   94, 184, 255, 0,   19}},
    {1, 2, {{CLN__CONTRAST, 0.5}, {CLN__BRIGHTNESS, 1.3}}, {68, 102, 137, 171, 206, 75,  110, 144, 179, 213,
                                                            97, 131, 166, 200, 68,  132, 167, 201, 70,  104}},
};

static void fill(uint8_t *image, int channels) {
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                *image++ = (uint8_t)(37 * c + 11 * y * y + 53 * x + 7 * c * x * y);
}

START_TEST(torchvisions_numbers) {
    const colour_case *p = &cases[_i];
    uint8_t image[3 * PLANE];
    int most = 0;
    fill(image, p->channels);
    for (int i = 0; i < p->count; i++)
        cln__colour_adjust(p->changes[i].what, p->changes[i].factor, image, p->channels, PLANE);
    for (int i = 0; i < p->channels * PLANE; i++)
        most = abs(image[i] - p->result[i]) > most ? abs(image[i] - p->result[i]) : most;
    /* On the machine that they were made on there is no difference at all; elsewhere the last digit of a float may tip
     * a level over. */
    ck_assert_int_le(most, 1);
}
END_TEST

START_TEST(factors_that_change_nothing) {
    const change changes[] = {
        {CLN__BRIGHTNESS, 1}, {CLN__CONTRAST, 1}, {CLN__SATURATION, 1}, {CLN__HUE, 0}, {CLN__HUE, 1e-9}};
    uint8_t image[3 * 256], before[sizeof image];
    for (int i = 0; i < 3 * 256; i++)
        image[i] = before[i] = (uint8_t)cln__philox(3, 0, (uint64_t)i).word[0];
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        int most = 0;
        cln__colour_adjust(changes[i].what, changes[i].factor, image, 3, 256);
        for (int k = 0; k < 3 * 256; k++)
            most = abs(image[k] - before[k]) > most ? abs(image[k] - before[k]) : most;
        /* The way to hue and back loses a level here and there, as torchvision's does. */
        ck_assert_int_le(most, changes[i].what == CLN__HUE);
        memcpy(image, before, sizeof image);
    }
}
END_TEST

START_TEST(grey_has_no_hue_and_no_saturation) {
    uint8_t image[3 * 256];
    for (int i = 0; i < 3 * 256; i++)
        image[i] = (uint8_t)i;
    for (int channels = 1; channels <= 3; channels += 2)
        for (int what = CLN__SATURATION; what <= CLN__HUE; what++) {
            cln__colour_adjust((cln__colour)what, 0.37, image, channels, 256);
            int most = 0;
            for (int i = 0; i < 3 * 256; i++)
                most = abs(image[i] - (uint8_t)i) > most ? abs(image[i] - (uint8_t)i) : most;
            /* 0.2989 + 0.587 + 0.114 is a little less than 1: truncated, the grey of a grey is one level lower. */
            ck_assert_int_le(most, channels == 3 && what == CLN__SATURATION);
            for (int i = 0; i < 3 * 256; i++)
                image[i] = (uint8_t)i;
        }
}
END_TEST

START_TEST(extremes) {
    uint8_t image[3] = {10, 20, 200}, grey[1] = {77};
    cln__colour_adjust(CLN__CONTRAST, 0, grey, 1, 1);
    ck_assert_uint_eq(grey[0], 77);
    cln__colour_adjust(CLN__BRIGHTNESS, 1000, image, 3, 1);
    ck_assert(image[0] == 255 && image[1] == 255 && image[2] == 255);
    cln__colour_adjust(CLN__BRIGHTNESS, 0, image, 3, 1);
    ck_assert(image[0] == 0 && image[1] == 0 && image[2] == 0);
    cln__colour_adjust(CLN__HUE, 0.5, image, 3, 1);
    ck_assert(image[0] == 0 && image[1] == 0 && image[2] == 0);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, torchvisions_numbers, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, factors_that_change_nothing);
    tcase_add_test(tests, grey_has_no_hue_and_no_saturation);
    tcase_add_test(tests, extremes);
}

int main(void) {
    return suite_run("colour", add_tests);
}
