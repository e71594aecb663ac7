#include "selection.h"

#define BINS 1024
#define FEW 32

int64_t room_for(int64_t count) { return count < 256 ? 1024 : 4 * count; }

void keep_none(Kept *kept, uint64_t *memory, int64_t count)
{
    kept->count = count;
    kept->room = room_for(count);
    kept->keys = memory;
    kept->spare = memory + kept->room;
    kept->length = 0;
    kept->floor = -3.40282347e38f; /* the lowest number: what is at -inf is never kept */
}

/* Bring the `count` largest of n different keys to the front. Keys are counted by bins over their range; those of the
   bin that the limit falls into are divided again: without a comparison that a processor could guess wrongly. */
static void select_largest(uint64_t *keys, int64_t n, int64_t count, uint64_t *spare)
{
    while (n > count && count > 0) {
        uint64_t least = keys[0], most = keys[0];
        for (int64_t i = 1; i < n; i++) {
            least = keys[i] < least ? keys[i] : least;
            most = keys[i] > most ? keys[i] : most;
        }
        int shift = 0;
        while ((most - least) >> shift >= BINS)
            shift++;
        int32_t bins[BINS] = {0};
        for (int64_t i = 0; i < n; i++)
            bins[(keys[i] - least) >> shift]++;
        int64_t above = 0;
        int64_t bin = BINS - 1;
        while (above + bins[bin] < count)
            above += bins[bin--];
        /* Above the bin: kept. In it: to be divided. */
        int64_t front = 0, level = 0;
        for (int64_t i = 0; i < n; i++) {
            const uint64_t key = keys[i];
            const int64_t place = (int64_t)((key - least) >> shift);
            spare[level] = key;
            level += place == bin;
            keys[front] = key;
            front += place > bin;
        }
        memcpy(keys + front, spare, (size_t)level * sizeof *keys);
        keys += front;
        count -= front;
        n = level;
    }
}

void keep_largest(Kept *kept)
{
    if (kept->length <= kept->count)
        return;
    select_largest(kept->keys, kept->length, kept->count, kept->spare);
    kept->length = kept->count;
    uint64_t least = UINT64_MAX;
    for (int64_t i = 0; i < kept->length; i++)
        least = kept->keys[i] < least ? kept->keys[i] : least;
    if (kept->length)
        kept->floor = score_of(least);
}

static void insert_sorted(uint64_t *keys, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        int64_t j = i;
        for (; j > 0 && keys[j - 1] < key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Sort by the digits of eight bits in [from, to), largest first: no comparison that a processor could guess wrongly. */
static void sort_digits(uint64_t *keys, int64_t n, uint64_t *spare, int from, int to)
{
    uint64_t differing = 0;
    for (int64_t i = 1; i < n; i++)
        differing |= keys[i] ^ keys[0];
    uint64_t *source = keys, *target = spare;
    for (int shift = from; shift < to; shift += 8) {
        if (!((differing >> shift) & 0xff))
            continue;
        int32_t starts[257] = {0};
        for (int64_t i = 0; i < n; i++)
            starts[256 - ((source[i] >> shift) & 0xff)]++;
        for (int d = 1; d < 257; d++)
            starts[d] += starts[d - 1];
        for (int64_t i = 0; i < n; i++) /* a digit begins behind all larger ones */
            target[starts[255 - ((source[i] >> shift) & 0xff)]++] = source[i];
        uint64_t *other = source;
        source = target;
        target = other;
    }
    if (source != keys)
        memcpy(keys, source, (size_t)n * sizeof *keys);
}

/* Sort by score, which seldom leaves rows to be told apart. */
static void sort_falling(uint64_t *keys, int64_t n, uint64_t *spare)
{
    if (n <= FEW) {
        insert_sorted(keys, n);
        return;
    }
    sort_digits(keys, n, spare, 32, 64);
    for (int64_t start = 0, stop; start < n; start = stop) {
        for (stop = start + 1; stop < n && keys[stop] >> 32 == keys[start] >> 32; stop++)
            ;
        if (stop - start > FEW)
            sort_digits(keys + start, stop - start, spare, 0, 32);
        else if (stop - start > 1)
            insert_sorted(keys + start, stop - start);
    }
}

void order_kept(Kept *kept)
{
    keep_largest(kept);
    sort_falling(kept->keys, kept->length, kept->spare);
}

void offer_best(Kept *kept, const float *scores, int64_t n)
{
    for (int64_t first = 0; first < n; first += 16) {
        const int64_t stop = first + 16 < n ? first + 16 : n;
        int any = 0;
        for (int64_t i = first; i < stop; i++)
            any |= scores[i] >= kept->floor;
        if (!any)
            continue;
        for (int64_t i = first; i < stop; i++)
            if (scores[i] >= kept->floor)
                offer(kept, key_of(scores[i], i));
    }
    order_kept(kept);
}
