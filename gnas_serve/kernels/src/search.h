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

/* What one search at a time works with; enough for its table. */
typedef struct {
    Query query;
    uint8_t *marks;            /* (count,) zeros between searches */
    uint64_t *keys, *probed;   /* of `kept` and of `lists` */
    int64_t room, probed_room; /* how many of them there are */
    float *parts;              /* (branches, BLOCK) */
    Kept kept, lists;          /* of the search that has begun */
} Scratch;

/* Find the `count` best rows that are not excluded, best first, ties by the lower row, in three steps: round the query,
   mark what is excluded and choose the lists, which tells how many bytes are to be scanned; scan, which reads and
   writes nothing that the caller gave; and write down what was found: how many rows, (count,), and their parts,
   (count, branches). In between, unmark what was excluded: NULL where it may have changed since. */
int64_t begin_search(const Lists *lists, Scratch *scratch, const Level *level, const float *query, int64_t count,
                     int64_t nprobe, const int64_t *excluded, int64_t num_excluded);
void scan_lists(const Lists *lists, Scratch *scratch, const Level *level);
void unmark(const Lists *lists, Scratch *scratch, const int64_t *excluded, int64_t num_excluded);
int64_t end_search(const Lists *lists, const Scratch *scratch, const Level *level, int64_t *rows, float *parts);

/* Score given rows: parts, (n, branches). */
void score_rows(const Lists *lists, Scratch *scratch, const Level *level, const float *query, const int64_t *rows,
                int64_t n, float *parts);

#endif
