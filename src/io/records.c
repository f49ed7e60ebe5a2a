/* The checksums are computed bit by bit: a run writes kilobytes. */
#include "records.h"

uint32_t cln__crc32c(const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
    }
    return ~crc;
}

uint32_t cln__crc32c_masked(const void *data, size_t size) {
    uint32_t crc = cln__crc32c(data, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void put(uint64_t value, int bytes, uint8_t *out) {
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

void cln__record_frame(const void *data, size_t size, uint8_t head[CLN__RECORD_HEAD], uint8_t tail[CLN__RECORD_TAIL]) {
    put(size, 8, head);
    put(cln__crc32c_masked(head, 8), 4, head + 8);
    put(cln__crc32c_masked(data, size), 4, tail);
}
