#include "links.h"

#include <string.h>

/* Finite halves alone: their exponent is biased by 15, that of a float by 127. */
static float of_half(uint16_t half)
{
    const uint32_t bits = (uint32_t)(half & 0x8000u) << 16 | (uint32_t)(half & 0x7fffu) << 13;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number * 0x1p112f;
}

int64_t follow(const Links *links, const int64_t *history, int64_t n, double factor, int64_t room, int64_t *rows,
               float *scores)
{
    const uint16_t *halves = links->values;
    const float *floats = links->values;
    for (int64_t h = 0; h < n; h++)
        for (int64_t i = links->offsets[history[h]]; i < links->offsets[history[h] + 1]; i++) {
            const int32_t item = links->items[i];
            if (item < 0 || item >= links->count)
                continue; /* they are of a file, which somebody may write to though nobody should */
            links->totals[item] += (double)(links->is_half ? of_half(halves[i]) : floats[i]);
            links->touched[item >> 6] |= (uint64_t)1 << (item & 63);
        }
    int64_t found = 0;
    for (int64_t word = 0; word < (links->count + 63) / 64; word++) {
        uint64_t bits = links->touched[word];
        links->touched[word] = 0;
        for (; bits; bits &= bits - 1) {
            const int64_t row = word * 64 + __builtin_ctzll(bits);
            const double total = links->totals[row];
            links->totals[row] = 0.0;
            if (total != 0.0 && found >= 0 && found < room) {
                rows[found] = row;
                scores[found++] = (float)(total * factor);
            } else if (total != 0.0) {
                found = -1;
            }
        }
    }
    return found;
}

void scores_at(const int64_t *rows, const float *scores, int64_t n, const int64_t *wanted, int64_t num_wanted,
               float *found)
{
    for (int64_t i = 0; i < num_wanted; i++) {
        int64_t low = 0;
        for (int64_t size = n; size > 1; size -= size / 2)
            low += rows[low + size / 2 - 1] < wanted[i] ? size / 2 : 0;
        if (low < n && rows[low] < wanted[i])
            low++;
        found[i] = low < n && rows[low] == wanted[i] ? scores[low] : 0.0f;
    }
}
