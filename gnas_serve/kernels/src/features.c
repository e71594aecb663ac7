#include "features.h"

#include <math.h>

#define LEAST_DEVIATION 1e-6

static void copy(const float *values, int64_t n, float *out, int64_t stride)
{
    for (int64_t i = 0; i < n; i++)
        out[i * stride] = values[i];
}

/* To mean 0 and deviation 1, equal numbers to zeros; sums in float64, from the first to the last. */
static void standardise(const float *values, int64_t step, int64_t n, float *out, int64_t stride)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)values[i * step];
    const float mean = (float)(sum / (double)n);
    double squares = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const float centred = values[i * step] - mean;
        squares += (double)centred * (double)centred;
        out[i * stride] = centred;
    }
    const double deviation = sqrt(squares / (double)n);
    const float divisor = (float)(deviation > LEAST_DEVIATION ? deviation : LEAST_DEVIATION);
    for (int64_t i = 0; i < n; i++)
        out[i * stride] /= divisor;
}

void cross_features(const int32_t *kinds, int64_t columns, const float *scores, const float *parts, int64_t branches,
                    const float *log_ranks, const float *content, int64_t n, float *features)
{
    for (int64_t c = 0; c < columns; c++) {
        float *out = features + c;
        switch (kinds[c]) {
        case SCORE:
            copy(scores, n, out, columns);
            break;
        case SCORE_Z:
            standardise(scores, 1, n, out, columns);
            break;
        case LOG_RANK:
            copy(log_ranks, n, out, columns);
            break;
        case CONTENT:
            copy(content, n, out, columns);
            break;
        default:
            standardise(parts + kinds[c], branches, n, out, columns);
        }
    }
}
