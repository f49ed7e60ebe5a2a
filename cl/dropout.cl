/* y = x / (1 - p), or 0 with probability p; applied to dy it is its own gradient.
 *
 * The mask is drawn with Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), as in
 * src/base/random.c, from the key and the counter (element's NCHW number, step + layer * 2^40): it does not depend on
 * the layout.
 * Work-items: (run of pixels, channel block from `first_block` on, image). y may be x. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#define uvec_1 uint
#define uvec_2 uint2
#define uvec_4 uint4
#define uvec_8 uint8
#define uvec_16 uint16
#define to_uint_1 convert_uint
#define to_uint_2 convert_uint2
#define to_uint_4 convert_uint4
#define to_uint_8 convert_uint8
#define to_uint_16 convert_uint16
#define to_float_1 convert_float
#define to_float_2 convert_float2
#define to_float_4 convert_float4
#define to_float_8 convert_float8
#define to_float_16 convert_float16
#define lvec_1 ulong
#define lvec_2 ulong2
#define lvec_4 ulong4
#define lvec_8 ulong8
#define lvec_16 ulong16
#define lanes_1 0
#define lanes_2 0, 1
#define lanes_4 lanes_2, 2, 3
#define lanes_8 lanes_4, 4, 5, 6, 7
#define lanes_16 lanes_8, 8, 9, 10, 11, 12, 13, 14, 15

typedef VEC(B) vec;
typedef PASTE(uvec_, B) uvec;
typedef PASTE(lvec_, B) lvec;
#define TO_UINT PASTE(to_uint_, B)
#define TO_FLOAT PASTE(to_float_, B)

/* The first of the four words, for every lane. */
static inline uvec philox(ulong key, ulong high, lvec low) {
    uint key0 = (uint)key, key1 = (uint)(key >> 32);
    uvec x0 = TO_UINT(low & (ulong)0xffffffff), x1 = TO_UINT(low >> 32);
    uvec x2 = (uvec)((uint)high), x3 = (uvec)((uint)(high >> 32));
    for (int round = 0; round < 10; round++) {
        uvec high0 = mul_hi(x0, (uvec)(0xD2511F53u)), low0 = x0 * 0xD2511F53u;
        uvec high1 = mul_hi(x2, (uvec)(0xCD9E8D57u)), low1 = x2 * 0xCD9E8D57u;
        x0 = high1 ^ x1 ^ key0;
        x2 = high0 ^ x3 ^ key1;
        x1 = low1;
        x3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return x0;
}

__kernel void dropout(__global const float *x, ulong4 xv, __global float *y, ulong4 yv, ulong2 key, int layer, float p,
                      int channels, int first_channel, int first_block, int pixels, int run) {
    int block = first_block + get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    lvec channel = (lvec)(PASTE(lanes_, B)) + (ulong)(first_channel + get_global_id(1) * B);
    lvec element = (channel + (ulong)n * channels) * (ulong)pixels;
    float scale = 1.0f / (1.0f - p);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        uvec word = philox(key.s0, key.s1 + ((ulong)layer << 40), element + (ulong)pixel);
        vec uniform = TO_FLOAT(word >> 8) * 0x1p-24f;
        vec kept = select((vec)(0.0f), LOAD(B, x + AT(xv, n, block, pixel)) * scale, uniform >= p);
        STORE(B, kept, y + AT(yv, n, block, pixel));
    }
}
