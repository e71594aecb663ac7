/* Tables as they are scanned: in blocks, list by list. */
#ifndef GNAS_BLOCKS_H
#define GNAS_BLOCKS_H

#include "search.h"

/* Copy a table into blocks: list l has the rows[starts[l] .. starts[l + 1]], or with NULL one list has all. Needs no
   lock of the interpreter. 0 where there is no room; to be freed either way. */
int lay_out(const Table *table, const Shape *shape, const int32_t *rows, const int64_t *starts, int64_t num_lists,
            Blocks *blocks);

void free_blocks(Blocks *blocks);

#endif
