#include "products.h"

#include <math.h>
#include <string.h>

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
            peak = size > peak || size != size ? size : peak; /* what is no number stays */
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
