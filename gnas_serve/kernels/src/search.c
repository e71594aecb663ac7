#include "search.h"

#include <stddef.h>

#define LINE 64
#define FETCHED 2048
#define AHEAD 4

/* Offer the rows of blocks [start, stop). */
static void scan(const Lists *lists, const Scratch *scratch, const Level *level, const Blocks *blocks, int64_t start,
                 int64_t stop, const uint8_t *marks, Kept *kept)
{
    float totals[BLOCK];
    const int64_t size = lists->shape.groups * BLOCK * GROUP, branches = lists->shape.branches;
    for (int64_t block = start; block < stop; block++) {
        const int32_t *rows = blocks->rows + block * BLOCK;
        uint32_t reaching = level->score_block(&lists->shape, &scratch->query, blocks->values + block * size,
                                               blocks->scales + block * branches * BLOCK, kept->floor,
                                               scratch->parts, totals);
        for (; reaching; reaching &= reaching - 1) {
            const int i = __builtin_ctz(reaching);
            if (totals[i] >= kept->floor && rows[i] >= 0 && (marks == NULL || !marks[rows[i]]))
                offer(kept, key_of(totals[i], rows[i]));
        }
    }
}

/* Bring a block near while another list is scanned: the processor cannot guess where the next one begins. */
static void fetch(const Lists *lists, int64_t block)
{
    const int64_t size = lists->shape.groups * BLOCK * GROUP;
    const int8_t *values = lists->items.values + block * size;
    for (int64_t i = 0; i < size && i < FETCHED; i += LINE)
        __builtin_prefetch(values + i);
}

/* Score rows with the query as it was rounded last. Which one comes after the next is known: it is fetched ahead. */
static void score_rounded(const Lists *lists, const Scratch *scratch, const Level *level, const int64_t *rows,
                          int64_t n, float *parts)
{
    const Table *table = &lists->vectors;
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            const int8_t *later = table->values + rows[i + AHEAD] * table->width;
            for (int64_t at = 0; at < table->width && at < FETCHED; at += LINE)
                __builtin_prefetch(later + at);
        }
        score_row(table, &lists->shape, &scratch->query, level, rows[i], parts + i * table->branches);
    }
}

int64_t begin_search(const Lists *lists, Scratch *scratch, const Level *level, const float *query, int64_t count,
                     int64_t nprobe, const int64_t *excluded, int64_t num_excluded)
{
    const Blocks *items = &lists->items;
    quantise(&lists->vectors, &lists->shape, query, &scratch->query);
    for (int64_t i = 0; i < num_excluded; i++)
        scratch->marks[excluded[i]] = 1;
    keep_none(&scratch->kept, scratch->keys, count);
    int64_t blocks = items->starts[items->num_lists];
    if (items->num_lists > 1) {
        keep_none(&scratch->lists, scratch->probed, nprobe);
        scan(lists, scratch, level, &lists->centroids, 0, lists->centroids.starts[1], NULL, &scratch->lists);
        order_kept(&scratch->lists);
        blocks = 0;
        for (int64_t i = 0; i < scratch->lists.length; i++) {
            const int64_t list = row_of(scratch->lists.keys[i]);
            blocks += items->starts[list + 1] - items->starts[list];
        }
    }
    return blocks * lists->shape.groups * BLOCK * GROUP;
}

void scan_lists(const Lists *lists, Scratch *scratch, const Level *level)
{
    const Blocks *items = &lists->items;
    const Kept *chosen = &scratch->lists;
    if (items->num_lists == 1)
        scan(lists, scratch, level, items, 0, items->starts[1], scratch->marks, &scratch->kept);
    else
        for (int64_t i = 0; i < chosen->length; i++) {
            const int64_t list = row_of(chosen->keys[i]);
            if (i + 1 < chosen->length)
                fetch(lists, items->starts[row_of(chosen->keys[i + 1])]);
            scan(lists, scratch, level, items, items->starts[list], items->starts[list + 1], scratch->marks,
                 &scratch->kept);
        }
    order_kept(&scratch->kept);
}

void unmark(const Lists *lists, Scratch *scratch, const int64_t *excluded, int64_t num_excluded)
{
    if (excluded == NULL)
        memset(scratch->marks, 0, (size_t)lists->vectors.count);
    else
        for (int64_t i = 0; i < num_excluded; i++)
            scratch->marks[excluded[i]] = 0;
}

int64_t end_search(const Lists *lists, const Scratch *scratch, const Level *level, int64_t *rows, float *parts)
{
    const Kept *kept = &scratch->kept;
    for (int64_t i = 0; i < kept->length; i++)
        rows[i] = row_of(kept->keys[i]);
    if (lists->shape.branches > 1)
        score_rounded(lists, scratch, level, rows, kept->length, parts);
    else
        for (int64_t i = 0; i < kept->length; i++)
            parts[i] = score_of(kept->keys[i]);
    return kept->length;
}

void score_rows(const Lists *lists, Scratch *scratch, const Level *level, const float *query, const int64_t *rows,
                int64_t n, float *parts)
{
    quantise(&lists->vectors, &lists->shape, query, &scratch->query);
    score_rounded(lists, scratch, level, rows, n, parts);
}
