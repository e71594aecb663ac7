#include "products.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define HIGH 16384.0 /* what the first digit counts */

/* Multiply a segment of groups of BLOCK rows, and add to the sums: exact in float64. */
typedef void Products(const Query *query, const int8_t *values, int64_t start, int64_t stop, const int32_t biases[2],
                      double sums[BLOCK]);

static int64_t end_of_segment(int64_t start, int64_t stop) { return stop - start < SEGMENT ? stop : start + SEGMENT; }

/* Taken into the function of each level, so that all of it is compiled for its instructions. Sums are rounded once. */
static inline __attribute__((always_inline)) float score_by(Products *products, const Shape *shape, const Query *query,
                                                            const int8_t *values, const float *scales, float *parts,
                                                            float totals[BLOCK])
{
    int64_t segment = 0;
    for (int64_t b = 0; b < shape->branches; b++) {
        const int64_t stop = shape->bounds[b + 1];
        const float scale = query->scales[b];
        float part[BLOCK];
        double sums[BLOCK] = {0.0};
        for (int64_t start = shape->bounds[b]; start < stop; start = end_of_segment(start, stop), segment++)
            products(query, values, start, end_of_segment(start, stop), query->biases[segment], sums);
        for (int r = 0; r < BLOCK; r++)
            part[r] = (float)sums[r] * scales[b * BLOCK + r] * scale;
        for (int r = 0; r < BLOCK; r++)
            totals[r] = b == 0 ? part[r] : totals[r] + part[r];
        memcpy(parts + b * BLOCK, part, sizeof part);
    }
    float best = totals[0];
    for (int r = 1; r < BLOCK; r++)
        best = totals[r] > best ? totals[r] : best;
    return best;
}

#define SCORE(name, target)                                                                                           \
    target static float score_##name(const Shape *shape, const Query *query, const int8_t *values,                    \
                                     const float *scales, float *parts, float totals[BLOCK])                          \
    {                                                                                                                 \
        return score_by(products_##name, shape, query, values, scales, parts, totals);                                \
    }

static void products_plain(const Query *query, const int8_t *values, int64_t start, int64_t stop,
                           const int32_t biases[2], double sums[BLOCK])
{
    int32_t high[BLOCK] = {0}, rest[BLOCK] = {0};
    (void)biases;
    for (int64_t g = start; g < stop; g++) {
        const int8_t *bytes = values + g * BLOCK * GROUP;
        for (int r = 0; r < BLOCK; r++)
            for (int k = 0; k < GROUP; k++) {
                high[r] += (int32_t)bytes[r * GROUP + k] * (int32_t)query->wide_high[g * GROUP + k];
                rest[r] += (int32_t)bytes[r * GROUP + k] * (int32_t)query->rest[g * GROUP + k];
            }
    }
    for (int r = 0; r < BLOCK; r++)
        sums[r] += (double)high[r] * HIGH + (double)rest[r];
}

SCORE(plain, )

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Four digits of one group, for every row. */
AVX2 static inline __m256i four_digits(const int16_t *digits)
{
    int64_t four;
    memcpy(&four, digits, sizeof four);
    return _mm256_set1_epi64x(four);
}

AVX2 static inline void products_avx2(const Query *query, const int8_t *values, int64_t start, int64_t stop,
                                      const int32_t biases[2], double sums[BLOCK])
{
    __m256i high[4], rest[4]; /* of four rows each, two sums of a row */
    (void)biases;
    for (int f = 0; f < 4; f++)
        high[f] = rest[f] = _mm256_setzero_si256();
    for (int64_t g = start; g < stop; g++) {
        const __m256i highs = four_digits(query->wide_high + g * GROUP), rests = four_digits(query->rest + g * GROUP);
#pragma GCC unroll 4
        for (int f = 0; f < 4; f++) {
            const __m128i *bytes = (const __m128i *)(values + (g * BLOCK + f * 4) * GROUP);
            const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes));
            high[f] = _mm256_add_epi32(high[f], _mm256_madd_epi16(wide, highs));
            rest[f] = _mm256_add_epi32(rest[f], _mm256_madd_epi16(wide, rests));
        }
    }
    for (int f = 0; f < 4; f++) {
        const __m256i both = _mm256_permute4x64_epi64(_mm256_hadd_epi32(high[f], rest[f]), 0xd8);
        const __m256d highs = _mm256_cvtepi32_pd(_mm256_castsi256_si128(both));
        const __m256d rests = _mm256_cvtepi32_pd(_mm256_extracti128_si256(both, 1));
        const __m256d whole = _mm256_add_pd(_mm256_mul_pd(highs, _mm256_set1_pd(HIGH)), rests);
        _mm256_storeu_pd(sums + 4 * f, _mm256_add_pd(_mm256_loadu_pd(sums + 4 * f), whole));
    }
}

SCORE(avx2, AVX2)

VNNI static inline __m512i four_bytes(const int8_t *digits)
{
    int32_t four;
    memcpy(&four, digits, sizeof four);
    return _mm512_set1_epi32(four);
}

VNNI static inline void add_doubled(double *sums, __m256i high, __m256i rest)
{
    const __m512d highs = _mm512_mul_pd(_mm512_cvtepi32_pd(high), _mm512_set1_pd(HIGH));
    const __m512d whole = _mm512_add_pd(highs, _mm512_cvtepi32_pd(rest));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), whole));
}

/* The instruction multiplies signed bytes with unsigned ones, bytes + 128: 128 times the digits is taken out again.
   Two sums of each kind, as one would wait for itself. */
VNNI static inline void products_vnni(const Query *query, const int8_t *values, int64_t start, int64_t stop,
                                      const int32_t biases[2], double sums[BLOCK])
{
    const __m512i shift = _mm512_set1_epi8((char)0x80);
    __m512i high[2], middle[2], low[2];
    for (int p = 0; p < 2; p++)
        high[p] = middle[p] = low[p] = _mm512_setzero_si512();
    int64_t g = start;
    for (; g + 2 <= stop; g += 2) {
#pragma GCC unroll 2
        for (int p = 0; p < 2; p++) {
            const int64_t at = (g + p) * GROUP;
            const __m512i bytes = _mm512_xor_si512(_mm512_loadu_si512(values + at * BLOCK), shift);
            high[p] = _mm512_dpbusd_epi32(high[p], bytes, four_bytes(query->high + at));
            middle[p] = _mm512_dpbusd_epi32(middle[p], bytes, four_bytes(query->middle + at));
            low[p] = _mm512_dpbusd_epi32(low[p], bytes, four_bytes(query->low + at));
        }
    }
    if (g < stop) {
        const int64_t at = g * GROUP;
        const __m512i bytes = _mm512_xor_si512(_mm512_loadu_si512(values + at * BLOCK), shift);
        high[0] = _mm512_dpbusd_epi32(high[0], bytes, four_bytes(query->high + at));
        middle[0] = _mm512_dpbusd_epi32(middle[0], bytes, four_bytes(query->middle + at));
        low[0] = _mm512_dpbusd_epi32(low[0], bytes, four_bytes(query->low + at));
    }
    __m512i highs = _mm512_add_epi32(high[0], high[1]);
    __m512i rests = _mm512_slli_epi32(_mm512_add_epi32(middle[0], middle[1]), 7);
    rests = _mm512_add_epi32(rests, _mm512_add_epi32(low[0], low[1]));
    highs = _mm512_sub_epi32(highs, _mm512_set1_epi32(biases[0]));
    rests = _mm512_sub_epi32(rests, _mm512_set1_epi32(biases[1]));
    add_doubled(sums, _mm512_castsi512_si256(highs), _mm512_castsi512_si256(rests));
    add_doubled(sums + 8, _mm512_extracti64x4_epi64(highs, 1), _mm512_extracti64x4_epi64(rests, 1));
}

SCORE(vnni, VNNI)

static int has_vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

static int has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#endif

static int has_all(void) { return 1; }

static const struct {
    Level level;
    int (*is_there)(void);
} LEVELS[] = {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    {{"avx512vnni", score_vnni}, has_vnni},
    {{"avx2", score_avx2}, has_avx2},
#endif
    {{"plain", score_plain}, has_all},
};

const Level *best_level(void) { return find_level(NULL); }

const Level *find_level(const char *name)
{
    for (size_t i = 0; i < sizeof LEVELS / sizeof LEVELS[0]; i++)
        if ((name == NULL || strcmp(name, LEVELS[i].level.name) == 0) && LEVELS[i].is_there())
            return &LEVELS[i].level;
    return NULL;
}

void quantise(const Table *table, const Shape *shape, const float *vector, Query *query)
{
    int64_t segment = 0;
    for (int64_t b = 0; b < table->branches; b++) {
        const int64_t width = table->bounds[b + 1] - table->bounds[b];
        const int64_t start = shape->bounds[b], stop = shape->bounds[b + 1];
        const float *components = vector + table->bounds[b];
        float peak = 0.0f;
        for (int64_t i = 0; i < width; i++) {
            const float size = fabsf(components[i]);
            peak = size > peak ? size : peak;
        }
        const float scale = peak / (float)LARGEST;
        const int is_zero = !(scale >= 1.17549435e-38f) || !(peak <= 3.40282347e38f);
        for (int64_t i = 0; i < width; i++) {
            const int64_t at = start * GROUP + i;
            const int32_t whole = is_zero ? 0 : (int32_t)rintf(components[i] / scale);
            const int32_t high = (whole + (1 << 13)) >> 14;
            const int32_t rest = whole - high * (1 << 14);
            const int32_t middle = (rest + (1 << 6)) >> 7;
            query->high[at] = (int8_t)high;
            query->middle[at] = (int8_t)middle;
            query->low[at] = (int8_t)(rest - middle * (1 << 7));
            query->wide_high[at] = (int16_t)high;
            query->rest[at] = (int16_t)rest;
        }
        query->scales[b] = is_zero ? 0.0f : scale;
        for (int64_t first = start; first < stop; first = end_of_segment(first, stop), segment++) {
            int32_t high = 0, rest = 0;
            for (int64_t i = first * GROUP; i < end_of_segment(first, stop) * GROUP; i++) {
                high += query->wide_high[i];
                rest += query->rest[i];
            }
            query->biases[segment][0] = 128 * high;
            query->biases[segment][1] = 128 * rest;
        }
    }
}

void pack_row(const Table *table, const Shape *shape, int64_t row, int r, int8_t *values, float *scales)
{
    const int8_t *bytes = table->values + row * table->width;
    for (int64_t b = 0; b < table->branches; b++) {
        const int64_t start = table->bounds[b], width = table->bounds[b + 1] - start;
        int8_t *to = values + ((int64_t)shape->bounds[b] * BLOCK + r) * GROUP;
        int64_t i = 0;
        for (; i + GROUP <= width; i += GROUP, to += BLOCK * GROUP)
            memcpy(to, bytes + start + i, GROUP);
        if (i < width) {
            memset(to, 0, GROUP);
            memcpy(to, bytes + start + i, (size_t)(width - i));
        }
        scales[b * BLOCK + r] = table->scales[row * table->branches + b];
    }
}
