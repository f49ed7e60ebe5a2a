/* Internal side of clnet/base.h: failing with a message, checked arithmetic, counter-based random numbers. */
#ifndef CLN_SRC_BASE_H
#define CLN_SRC_BASE_H

#include "clnet/base.h"

#include <locale.h>
#include <stdarg.h>

#if defined(__GNUC__)
#define CLN__PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define CLN__PRINTF(text, first)
#endif

#define CLN_TRY(expression)                                                                                            \
    do {                                                                                                               \
        cln_status cln_try_status_ = (expression);                                                                     \
        if (cln_try_status_ != CLN_OK)                                                                                 \
            return cln_try_status_;                                                                                    \
    } while (0)

/* Records the message of a failure at its origin and returns `status`. Thread-safe. */
cln_status cln__fail(cln_context *ctx, cln_status status, const char *format, ...) CLN__PRINTF(3, 4);
/* The message of the last failure, to be told in another one: unlike cln_context_error's it stays, whatever other
 * threads do. The caller frees it; NULL without memory. */
char *cln__error_copy(cln_context *ctx);
/* CLN_OUT_OF_MEMORY with a message naming what the host memory was for. */
cln_status cln__fail_memory(cln_context *ctx, const char *what);
/* Queues a warning (the oldest ones are kept, a flood is cut off with a note). Thread-safe. */
void cln__warn(cln_context *ctx, const char *format, ...) CLN__PRINTF(2, 3);

/* Seconds of a clock that never goes back. */
double cln__now_s(void);

/* a * b and a + b for non-negative numbers; false if the result does not fit. */
bool cln__mul_size(size_t a, size_t b, size_t *out);
bool cln__add_size(size_t a, size_t b, size_t *out);
/* n*c*h*w; false if an axis is below 1 or the product exceeds 2^48: room for padding, for bytes, and for sums. */
bool cln__shape_count(cln_shape shape, int64_t *out);
/* "8x16x32x32" into `text`, which must hold 84 bytes; returns `text`. */
char *cln__shape_text(cln_shape shape, char *text);
bool cln__shape_equal(cln_shape a, cln_shape b);

int64_t cln__least(int64_t a, int64_t b);
int64_t cln__most(int64_t a, int64_t b);
int64_t cln__divide_up(int64_t a, int64_t b);
int64_t cln__round_up(int64_t a, int64_t multiple);

/* printf into a malloc'ed string; NULL for lack of memory. The caller frees it. */
char *cln__format(const char *format, ...) CLN__PRINTF(1, 2);
char *cln__format_va(const char *format, va_list arguments);

bool cln__starts_with(const char *text, const char *start);

/* From here on, this thread reads and prints numbers with a point, whatever locale the program has set. To be ended
 * with what it returns. */
locale_t cln__point_begin(void);
void cln__point_end(locale_t before);
/* "1,234,567" into `text`, of a number that is not negative; returns `text`. */
const char *cln__count(int64_t value, char text[32]);
/* The bytes of the UTF-8 sequence at `text` (`size` bytes are left, at least 1), 0 if it is not valid. */
size_t cln__utf8_length(const char *text, size_t size);

/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random words
 * that depend on (key, counter) alone, so any sample's numbers can be drawn at any time, in any order. */
typedef struct cln__random {
    uint32_t word[4];
} cln__random;
cln__random cln__philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);
/* Uniform in [0, 1), 24 bits. */
float cln__uniform(uint32_t word);

/* Purposes that draw from one seed without touching each other's numbers: xor'ed into the key. */
enum {
    CLN__STREAM_INIT = 1,
    CLN__STREAM_SHUFFLE = 2,
    CLN__STREAM_AUGMENT = 3,
    CLN__STREAM_DROPOUT = 4,
    CLN__STREAM_SPLIT = 5,
    CLN__STREAM_SYNTHETIC = 6,
    CLN__STREAM_MIX = 7,
};
uint64_t cln__stream_key(uint64_t seed, unsigned stream);

#endif
