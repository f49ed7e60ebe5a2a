/* Where libFuzzer's runtime is not installed: mutates the seeds, blindly but always in the same way, for as long as it
 * is told. Takes those of libFuzzer's arguments that scripts/fuzz.sh gives; a file is run once, a folder is skipped.
 *
 * usage: fuzz_<format> [-max_total_time=SECONDS] [-artifact_prefix=PREFIX] [FILE...] */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void __sanitizer_set_death_callback(void (*callback)(void));

enum { MAX_SEEDS = 64, POOL = 256, MAX_SIZE = 1 << 16, ONE_INPUT_SECONDS = 25 };

static const char *prefix = "";
static fuzz_bytes seeds[MAX_SEEDS], pool[POOL], current;
static int seed_count;
static uint64_t state = 1;

static size_t below(size_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return bound ? (size_t)(state >> 33) % bound : 0;
}

/* --- findings --- */

static void save_current(void) {
    char path[1024];
    snprintf(path, sizeof path, "%scrash", prefix);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(current.data, 1, current.size, file) != current.size || fclose(file) != 0)
        perror(path);
    else
        fprintf(stderr, "the input is saved as %s\n", path);
}

static void on_abort(int number) {
    (void)number;
    save_current();
    _exit(77);
}

static void on_alarm(int number) {
    (void)number;
    fprintf(stderr, "one input took more than %d seconds\n", ONE_INPUT_SECONDS);
    save_current();
    _exit(70);
}

/* --- mutations --- */

static void set_size(fuzz_bytes *b, size_t size) {
    b->data = realloc(b->data, size + 1);
    if (!b->data)
        exit(1);
    b->size = size;
}

static void copy(fuzz_bytes *to, const fuzz_bytes *from) {
    set_size(to, from->size);
    memcpy(to->data, from->data, from->size);
}

/* Puts `count` bytes of `from` at `at`, over what is there or before it. */
static void splice(fuzz_bytes *b, const fuzz_bytes *from, bool insert) {
    size_t first = below(from->size + 1), count = below(from->size - first + 1), at = below(b->size + 1);
    if (below(2))
        count = count < 16 ? count : below(16);
    if (b->size + count > MAX_SIZE)
        return;
    uint8_t *part = malloc(count + 1);
    if (!part)
        exit(1);
    memcpy(part, from->data + first, count);
    size_t before = b->size, tail = insert ? before - at : 0, end = at + count + tail;
    if (end > before)
        set_size(b, end);
    memmove(b->data + at + count, b->data + at, tail);
    memcpy(b->data + at, part, count);
    free(part);
}

static void cut(fuzz_bytes *b) {
    size_t at = below(b->size + 1), count = below(below(2) ? 16 : b->size) % (b->size - at + 1);
    memmove(b->data + at, b->data + at + count, b->size - at - count);
    b->size -= count;
}

/* A number that lengths and counts stumble over, in either order of bytes. */
static void put_number(fuzz_bytes *b) {
    static const uint64_t numbers[] = {0,          1,          2,          127,        128,        255,
                                       256,        32767,      65535,      0x7fffffff, 0x80000000, 0xffffffff,
                                       1ull << 32, 1ull << 53, 1ull << 62, INT64_MAX,  1ull << 63, UINT64_MAX};
    size_t size = (size_t)1 << below(4), at = below(b->size + 1);
    uint64_t value = numbers[below(sizeof numbers / sizeof *numbers)];
    value = below(2) ? value : b->size - value % 64;
    bool big = below(2);
    for (size_t i = 0; i < size && at + i < b->size; i++)
        b->data[at + i] = (uint8_t)(value >> 8 * (big ? size - 1 - i : i));
}

static void mutate(fuzz_bytes *b) {
    size_t at = below(b->size);
    switch (below(9)) {
    case 0:
    case 1:
        if (b->size)
            b->data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 2:
        if (b->size)
            b->data[at] = (uint8_t)below(256);
        break;
    case 3:
        if (b->size)
            b->data[at] = (uint8_t) "0123456789-.eE\"{}[]:,\\ \n\xff\x80"[below(26)];
        break;
    case 4:
        put_number(b);
        break;
    case 5:
        cut(b);
        break;
    case 6:
        if (below(4) == 0)
            b->size = below(b->size + 1);
        break;
    case 7:
        splice(b, &seeds[below((size_t)seed_count)], below(2));
        break;
    default: {
        fuzz_bytes self = {0};
        copy(&self, b);
        splice(b, &self, below(2));
        free(self.data);
    }
    }
}

/* --- running --- */

static void run_current(void) {
    uint8_t *exact = malloc(current.size ? current.size : 1); /* so that AddressSanitizer sees its end */
    if (!exact)
        exit(1);
    memcpy(exact, current.data, current.size);
    alarm(ONE_INPUT_SECONDS);
    LLVMFuzzerTestOneInput(exact, current.size);
    alarm(0);
    free(exact);
}

static void run_file(const char *path) {
    uint8_t part[4096];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    set_size(&current, 0);
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;)
        fuzz_put(&current, part, got);
    fclose(file);
    run_current();
    printf("%s: %zu bytes, no finding\n", path, current.size);
}

static void fuzz(long seconds) {
    time_t end = time(NULL) + seconds;
    uint64_t runs = 0;
    for (; seed_count < MAX_SEEDS && fuzz_seed(seed_count, &seeds[seed_count]); seed_count++) {
        copy(&current, &seeds[seed_count]);
        run_current();
    }
    for (; time(NULL) < end; runs++) {
        fuzz_bytes *kept = &pool[below(POOL)];
        copy(&current, kept->data && below(3) == 0 ? kept : &seeds[below((size_t)seed_count)]);
        for (size_t i = 1 + below(6); i > 0; i--)
            mutate(&current);
        run_current();
        if (below(8) == 0)
            copy(kept, &current);
    }
    printf("%llu inputs from %d seeds in %ld s, no finding\n", (unsigned long long)runs, seed_count, seconds);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].data);
    for (int i = 0; i < POOL; i++)
        free(pool[i].data);
}

int main(int argc, char **argv) {
    long seconds = -1;
    struct stat info;
    LLVMFuzzerInitialize(&argc, &argv);
    __sanitizer_set_death_callback(save_current);
    signal(SIGALRM, on_alarm);
    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "-max_total_time=%ld", &seconds) == 1)
            continue;
        if (strncmp(argv[i], "-artifact_prefix=", 17) == 0)
            prefix = argv[i] + 17;
        else if (argv[i][0] != '-' && stat(argv[i], &info) == 0 && S_ISREG(info.st_mode))
            run_file(argv[i]);
    }
    if (seconds >= 0)
        fuzz(seconds);
    free(current.data);
    return 0;
}
