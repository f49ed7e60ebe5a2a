/* TFRecord framing: length, its checksum, data, its checksum. */
#ifndef CLN_SRC_RECORDS_H
#define CLN_SRC_RECORDS_H

#include "../base/base.h"

/* CRC-32C (Castagnoli), as in RFC 3720, appendix B.4. */
uint32_t cln__crc32c(const void *data, size_t size);
/* A checksum of data that may hold checksums themselves: rotated, and moved by a constant. */
uint32_t cln__crc32c_masked(const void *data, size_t size);

enum { CLN__RECORD_HEAD = 12, CLN__RECORD_TAIL = 4 };
/* What goes before and after the data of a record; both little-endian. */
void cln__record_frame(const void *data, size_t size, uint8_t head[CLN__RECORD_HEAD], uint8_t tail[CLN__RECORD_TAIL]);

#endif
