/* Search for the best rows of a table, all of them or those of the lists nearest to a query. */
#ifndef GNAS_SEARCH_H
#define GNAS_SEARCH_H

#include "products.h"
#include "selection.h"

/* A table in blocks, list by list, each of whole blocks. */
typedef struct {
    int8_t *values;   /* (blocks, groups, BLOCK, GROUP) */
    float *scales;    /* (blocks, branches, BLOCK) */
    int32_t *rows;    /* (blocks, BLOCK), -1 where a list has ended */
    int64_t *starts;  /* (lists + 1,) the blocks where lists begin, and how many there are */
    int64_t num_lists;
} Blocks;

typedef struct {
    Table vectors;
    Shape shape;
    Blocks items, centroids; /* centroids: one list; none where the items are one */
} Lists;

/* What a search works with; enough for its table. */
typedef struct {
    Query query;
    uint8_t *marks;   /* (count,) zeros between searches */
    uint64_t *keys;   /* 2 * room_for(count) */
    uint64_t *probed; /* 2 * room_for(nprobe) */
    float *parts;     /* (branches, BLOCK) */
} Scratch;

/* Find the `count` best rows that are not excluded, best first, ties by the lower row: how many there are.
   rows: (count,); parts: (count, branches). */
int64_t search(const Lists *lists, Scratch *scratch, const Level *level, const float *query, int64_t count,
               int64_t nprobe, const int64_t *excluded, int64_t num_excluded, int64_t *rows, float *parts);

/* Score given rows: parts, (n, branches). */
void score_rows(const Lists *lists, Scratch *scratch, const Level *level, const float *query, const int64_t *rows,
                int64_t n, float *parts);

#endif
