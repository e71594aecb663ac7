/* Exact inner products of a query, rounded to whole numbers, with rows of bytes. */
#ifndef GNAS_PRODUCTS_H
#define GNAS_PRODUCTS_H

#include <stdint.h>

#define BLOCK 16        /* rows that are multiplied together */
#define GROUP 4         /* columns of a row that lie together in a block */
#define LARGEST 2080768 /* of a component of a query: 127 * 2**14, three signed digits */
#define SEGMENT 256     /* groups whose products add up within 32 bits */

static inline int64_t end_of_segment(int64_t start, int64_t stop)
{
    return stop - start < SEGMENT ? stop : start + SEGMENT;
}

/* (count, width) rows of bytes as they are stored; a scale for each row and branch. */
typedef struct {
    const int8_t *values;
    const float *scales;
    const int32_t *bounds; /* (branches + 1,) the columns where branches begin, and the width */
    int64_t count, width, branches;
} Table;

/* How the columns of a table lie in blocks: each branch padded to whole groups. */
typedef struct {
    int32_t *bounds; /* (branches + 1,) the groups where branches begin, and how many there are */
    int64_t branches, groups, segments;
} Shape;

/* A query in whole numbers: component = scale * (2**14 * high + rest), rest = 128 * middle + low. */
typedef struct {
    int8_t *high, *middle, *low; /* (groups, GROUP) */
    int16_t *wide_high, *rest;   /* the same digits as other instructions take them */
    float *scales;               /* (branches,) */
    int32_t (*biases)[2];        /* (segments,) 128 times the sums of `high` and of `rest` */
} Query;

/* Score a block: values (groups, BLOCK, GROUP), scales (branches, BLOCK). Writes the branches' parts, (branches,
   BLOCK), each product * scale of the row * scale of the query in float32, and the parts added up from the first to
   the last; gives a bit for each total that reaches `floor`. */
typedef uint32_t ScoreBlock(const Shape *shape, const Query *query, const int8_t *values, const float *scales,
                            float floor, float *parts, float totals[BLOCK]);

/* Multiply a segment of groups of the query with as many bytes of one row as it is stored, n of them. */
typedef double RowProduct(const Query *query, const int8_t *values, int64_t start, int64_t n, const int32_t biases[2]);

typedef struct {
    const char *name; /* of the instructions that it is written for */
    ScoreBlock *score_block;
    RowProduct *row_product;
} Level;

const Level *best_level(void);
const Level *find_level(const char *name); /* NULL where this processor does not have it */

/* Round a query, (width,), to whole numbers. */
void quantise(const Table *table, const Shape *shape, const float *vector, Query *query);

/* Score one row as it is stored: the branches' parts, (branches,), the same numbers. */
void score_row(const Table *table, const Shape *shape, const Query *query, const Level *level, int64_t row,
               float *parts);

/* Lay one row out as the r-th of a block. */
void pack_row(const Table *table, const Shape *shape, int64_t row, int r, int8_t *values, float *scales);

#endif
