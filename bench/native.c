/* What a CPU can do without OpenCL: 12 independent chains of multiply-adds in vector registers, on every core.
 *
 * One loop a vector width, chosen when it runs, so that one binary measures any x86 CPU; elsewhere the compiler's own
 * vectors. Twelve chains cover 4 cycles of latency on two units and a bit, and fit in 16 registers. */
#include "native.h"
#include "../src/cli/report.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <immintrin.h>
#endif

enum { CHAINS = 12, MAX_THREADS = 1024 };

#define EACH_CHAIN(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

/* Defines float name(int64_t rounds): a round is CHAINS multiply-adds of `vec`. */
#define LOOP(name, attribute, vec, splat, madd)                                                                        \
    attribute static float name(int64_t rounds) {                                                                      \
        vec a = splat(0.999f), b = splat(0.001f);                                                                      \
        EACH_CHAIN(DECLARE_##vec)                                                                                      \
        for (int64_t r = 0; r < rounds; r++) {                                                                         \
            EACH_CHAIN(madd)                                                                                           \
        }                                                                                                              \
        vec sum = splat(0.0f);                                                                                         \
        EACH_CHAIN(ADD)                                                                                                \
        union {                                                                                                        \
            vec v;                                                                                                     \
            float lane[sizeof(vec) / sizeof(float)];                                                                   \
        } out = {.v = sum};                                                                                            \
        return out.lane[0];                                                                                            \
    }
#define ADD(i) sum += x##i;

/* GCC's and Clang's generic vectors: 16 bytes, which every machine with vectors has. */
typedef float float4 __attribute__((vector_size(16)));
#define SPLAT_4(s) ((float4){s, s, s, s})
#define DECLARE_float4(i) float4 x##i = SPLAT_4((float)(i));
#ifdef __FP_FAST_FMAF
#define MADD_4(i)                                                                                                      \
    for (int l = 0; l < 4; l++)                                                                                        \
        x##i[l] = fmaf(x##i[l], a[l], b[l]);
#else
#define MADD_4(i) x##i = x##i * a + b;
#endif
LOOP(loop_generic, , float4, SPLAT_4, MADD_4)

#ifdef HAVE_X86
#define DECLARE___m256(i) __m256 x##i = _mm256_set1_ps((float)(i));
#define MADD_256(i) x##i = _mm256_fmadd_ps(x##i, a, b);
LOOP(loop_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, MADD_256)

#define DECLARE___m512(i) __m512 x##i = _mm512_set1_ps((float)(i));
#define MADD_512(i) x##i = _mm512_fmadd_ps(x##i, a, b);
LOOP(loop_avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps, MADD_512)
#endif

typedef struct loop {
    const char *name;
    float (*run)(int64_t rounds);
    int lanes;
} loop;

static loop widest_loop(void) {
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f"))
        return (loop){"native C, AVX-512, 12 chains", loop_avx512, 16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (loop){"native C, AVX2, 12 chains", loop_avx2, 8};
#endif
    return (loop){"native C, 16-byte vectors, 12 chains", loop_generic, 4};
}

/* One thread's share; the results are kept so that the loop is not optimised away. */
typedef struct worker {
    pthread_t thread;
    loop loop;
    int64_t rounds;
    float result;
} worker;

static void *work(void *argument) {
    worker *w = argument;
    w->result = w->loop.run(w->rounds);
    return NULL;
}

/* Seconds for `rounds` on each thread, or a negative number. */
static double time_threads(worker *workers, int threads, loop chosen, int64_t rounds) {
    double start = report_now_s();
    int started = 0;
    for (; started < threads; started++) {
        workers[started] = (worker){.loop = chosen, .rounds = rounds};
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
    }
    for (int i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    return started == threads ? report_now_s() - start : -1;
}

double native_gflops(int threads, double seconds, const char **name) {
    loop chosen = widest_loop();
    *name = chosen.name;
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!workers)
        return 0;
    int64_t rounds = 1000000;
    double taken = time_threads(workers, threads, chosen, rounds);
    if (taken > 0) {
        double wanted = (double)rounds * seconds / taken;
        rounds = wanted < 1e6 ? 1000000 : wanted > 1e12 ? (int64_t)1e12 : (int64_t)wanted;
        taken = time_threads(workers, threads, chosen, rounds);
    }
    free(workers);
    return taken > 0 ? 2.0 * CHAINS * chosen.lanes * (double)rounds * threads / taken * 1e-9 : 0;
}
