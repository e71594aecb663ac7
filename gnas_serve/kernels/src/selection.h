/* The best of many scores, ties by the lower row: each score and its row are one number. */
#ifndef GNAS_SELECTION_H
#define GNAS_SELECTION_H

#include <stdint.h>
#include <string.h>

/* Larger for a higher score, and for a lower row where scores are equal; of -0.0 and 0.0 it makes one. */
static inline uint64_t key_of(float score, int64_t row)
{
    uint32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t) ~(uint32_t)row;
}

static inline int64_t row_of(uint64_t key) { return (uint32_t) ~(uint32_t)key; }

static inline float score_of(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    float score;
    bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Keeps the `count` largest keys of those that are offered. */
typedef struct {
    uint64_t *keys, *spare; /* `room` each */
    int64_t count, room, length;
    float floor; /* what a score has to reach to be offered */
} Kept;

int64_t room_for(int64_t count);
void keep_none(Kept *kept, uint64_t *memory, int64_t count);
void keep_largest(Kept *kept);
void order_kept(Kept *kept); /* the `count` largest, largest first */
void offer_best(Kept *kept, const float *scores, int64_t n); /* all but those at -inf, then ordered */

static inline void offer(Kept *kept, uint64_t key)
{
    kept->keys[kept->length++] = key;
    if (kept->length == kept->room)
        keep_largest(kept);
}

#endif
