#include "products.h"

#include <stddef.h>
#include <string.h>

#define HIGH 16384.0 /* what the first digit counts */

/* Multiply a segment of groups of BLOCK rows, and add to the sums: exact in float64. */
typedef void Products(const Query *query, const int8_t *values, int64_t start, int64_t stop, const int32_t biases[2],
                      double sums[BLOCK]);

/* Give a bit for each number that reaches `floor`. */
typedef uint32_t Reaching(const float numbers[BLOCK], float floor);

/* Taken into the function of each level, so that all of it is compiled for its instructions. Sums are rounded once. */
static inline __attribute__((always_inline)) uint32_t score_by(Products *products, Reaching *reaching,
                                                               const Shape *shape, const Query *query,
                                                               const int8_t *values, const float *scales, float floor,
                                                               float *parts, float totals[BLOCK])
{
    float total[BLOCK];
    int64_t segment = 0;
    for (int64_t b = 0; b < shape->branches; b++) {
        const int64_t stop = shape->bounds[b + 1];
        const float scale = query->scales[b];
        float part[BLOCK], of_rows[BLOCK];
        double sums[BLOCK] = {0.0};
        for (int64_t start = shape->bounds[b]; start < stop; start = end_of_segment(start, stop), segment++)
            products(query, values, start, end_of_segment(start, stop), query->biases[segment], sums);
        memcpy(of_rows, scales + b * BLOCK, sizeof of_rows);
        for (int r = 0; r < BLOCK; r++)
            part[r] = (float)sums[r] * of_rows[r] * scale;
        if (b == 0)
            memcpy(total, part, sizeof total);
        else
            for (int r = 0; r < BLOCK; r++)
                total[r] += part[r];
        memcpy(parts + b * BLOCK, part, sizeof part);
    }
    memcpy(totals, total, sizeof total);
    return reaching(total, floor);
}

#define SCORE(name, target)                                                                                           \
    target static uint32_t score_##name(const Shape *shape, const Query *query, const int8_t *values,                 \
                                        const float *scales, float floor, float *parts, float totals[BLOCK])          \
    {                                                                                                                 \
        return score_by(products_##name, reaching_##name, shape, query, values, scales, floor, parts, totals);        \
    }

static uint32_t reaching_plain(const float numbers[BLOCK], float floor)
{
    uint32_t bits = 0;
    for (int r = 0; r < BLOCK; r++)
        bits |= (uint32_t)(numbers[r] >= floor) << r;
    return bits;
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

static double row_plain(const Query *query, const int8_t *values, int64_t start, int64_t n, const int32_t biases[2])
{
    const int16_t *highs = query->wide_high + start * GROUP, *rests = query->rest + start * GROUP;
    int32_t high = 0, rest = 0;
    (void)biases;
    for (int64_t i = 0; i < n; i++) {
        high += (int32_t)values[i] * (int32_t)highs[i];
        rest += (int32_t)values[i] * (int32_t)rests[i];
    }
    return (double)high * HIGH + (double)rest;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

AVX2 static inline uint32_t reaching_avx2(const float numbers[BLOCK], float floor)
{
    const __m256 least = _mm256_set1_ps(floor);
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(numbers), least, _CMP_GE_OQ));
    return (uint32_t)low | (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(numbers + 8), least, _CMP_GE_OQ))
                               << 8;
}

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

AVX2 static inline int32_t sum_of(__m256i eight)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

AVX2 static double row_avx2(const Query *query, const int8_t *values, int64_t start, int64_t n,
                            const int32_t biases[2])
{
    const int16_t *highs = query->wide_high + start * GROUP, *rests = query->rest + start * GROUP;
    __m256i high = _mm256_setzero_si256(), rest = _mm256_setzero_si256();
    int64_t i = 0;
    (void)biases;
    for (; i + 16 <= n; i += 16) {
        const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(values + i)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(wide, _mm256_loadu_si256((const __m256i *)(highs + i))));
        rest = _mm256_add_epi32(rest, _mm256_madd_epi16(wide, _mm256_loadu_si256((const __m256i *)(rests + i))));
    }
    int32_t last_high = sum_of(high), last_rest = sum_of(rest);
    for (; i < n; i++) {
        last_high += (int32_t)values[i] * (int32_t)highs[i];
        last_rest += (int32_t)values[i] * (int32_t)rests[i];
    }
    return (double)last_high * HIGH + (double)last_rest;
}

VNNI static inline uint32_t reaching_vnni(const float numbers[BLOCK], float floor)
{
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(numbers), _mm512_set1_ps(floor), _CMP_GE_OQ);
}

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

VNNI static double row_vnni(const Query *query, const int8_t *values, int64_t start, int64_t n,
                            const int32_t biases[2])
{
    const __m512i shift = _mm512_set1_epi8((char)0x80);
    const int8_t *highs = query->high + start * GROUP, *middles = query->middle + start * GROUP;
    const int8_t *lows = query->low + start * GROUP;
    __m512i high = _mm512_setzero_si512(), middle = high, low = high;
    for (int64_t i = 0; i < n; i += 64) {
        const __mmask64 there = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
        const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, values + i), shift);
        high = _mm512_dpbusd_epi32(high, bytes, _mm512_maskz_loadu_epi8(there, highs + i));
        middle = _mm512_dpbusd_epi32(middle, bytes, _mm512_maskz_loadu_epi8(there, middles + i));
        low = _mm512_dpbusd_epi32(low, bytes, _mm512_maskz_loadu_epi8(there, lows + i));
    }
    const __m512i rest = _mm512_add_epi32(_mm512_slli_epi32(middle, 7), low);
    return (double)(_mm512_reduce_add_epi32(high) - biases[0]) * HIGH +
           (double)(_mm512_reduce_add_epi32(rest) - biases[1]);
}

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
    {{"avx512vnni", score_vnni, row_vnni}, has_vnni},
    {{"avx2", score_avx2, row_avx2}, has_avx2},
#endif
    {{"plain", score_plain, row_plain}, has_all},
};

const Level *best_level(void) { return find_level(NULL); }

const Level *find_level(const char *name)
{
    for (size_t i = 0; i < sizeof LEVELS / sizeof LEVELS[0]; i++)
        if ((name == NULL || strcmp(name, LEVELS[i].level.name) == 0) && LEVELS[i].is_there())
            return &LEVELS[i].level;
    return NULL;
}

void score_row(const Table *table, const Shape *shape, const Query *query, const Level *level, int64_t row,
               float *parts)
{
    const int8_t *bytes = table->values + row * table->width;
    int64_t segment = 0;
    for (int64_t b = 0; b < table->branches; b++) {
        const int64_t first = shape->bounds[b], stop = shape->bounds[b + 1];
        const int64_t width = table->bounds[b + 1] - table->bounds[b];
        double sum = 0.0;
        for (int64_t start = first; start < stop; start = end_of_segment(start, stop), segment++) {
            const int64_t done = (start - first) * GROUP, most = SEGMENT * GROUP;
            const int64_t n = width - done < most ? width - done : most;
            sum += level->row_product(query, bytes + table->bounds[b] + done, start, n, query->biases[segment]);
        }
        parts[b] = (float)sum * table->scales[row * table->branches + b] * query->scales[b];
    }
}
