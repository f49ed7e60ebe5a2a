/* Counter-based random numbers: Philox 4x32-10. Nothing here has state. */
#include "base.h"

/* Two 32x32-bit products, each split in a high and a low half: the multipliers and the key increments are those of
 * the paper's table 2 (the golden ratio and sqrt(3) - 1). */
static cln__random philox_round(cln__random x, uint32_t key0, uint32_t key1) {
    uint64_t p0 = (uint64_t)0xD2511F53u * x.word[0], p1 = (uint64_t)0xCD9E8D57u * x.word[2];
    return (cln__random){{
        (uint32_t)(p1 >> 32) ^ x.word[1] ^ key0,
        (uint32_t)p1,
        (uint32_t)(p0 >> 32) ^ x.word[3] ^ key1,
        (uint32_t)p0,
    }};
}

cln__random cln__philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    cln__random x = {{
        (uint32_t)counter_low,
        (uint32_t)(counter_low >> 32),
        (uint32_t)counter_high,
        (uint32_t)(counter_high >> 32),
    }};
    for (int round = 0; round < 10; round++) {
        x = philox_round(x, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return x;
}

float cln__uniform(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

uint64_t cln__stream_key(uint64_t seed, unsigned stream) {
    /* In the top byte, so that neighbouring seeds' streams cannot meet: with the low bits, seed 1's stream 3 would be
     * seed 3's stream 1. */
    return seed ^ (uint64_t)stream << 56;
}
