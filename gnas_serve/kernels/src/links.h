/* Sums along weighted links from the items of a history. */
#ifndef GNAS_LINKS_H
#define GNAS_LINKS_H

#include <stdint.h>

/* Item-to-item weights, CSR. */
typedef struct {
    const int64_t *offsets; /* (count + 1,) */
    const int32_t *items;
    const void *values; /* float32, or float16 where `is_half` */
    int is_half;
    int64_t count;
    double *totals;    /* (count,) zeros between calls */
    uint64_t *touched; /* a bit for each item, zeros between calls */
} Links;

/* Add up the weights of an item in the order of the history, in float64; times `factor`, rounded once. Writes the rows
   that are not 0, ascending, with their scores: how many, or -1 where there are more than `room`. */
int64_t follow(const Links *links, const int64_t *history, int64_t n, double factor, int64_t room, int64_t *rows,
               float *scores);

/* Look rows up among ascending ones: their scores, 0 where they are not there. */
void scores_at(const int64_t *rows, const float *scores, int64_t n, const int64_t *wanted, int64_t num_wanted,
               float *found);

#endif
