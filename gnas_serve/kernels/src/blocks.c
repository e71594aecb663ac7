#include "blocks.h"

#include "arguments.h"

int lay_out(const Table *table, const Shape *shape, const int32_t *rows, const int64_t *starts, int64_t num_lists,
            Blocks *blocks)
{
    int64_t number = 0;
    for (int64_t l = 0; l < num_lists; l++)
        number += ((starts == NULL ? table->count : starts[l + 1] - starts[l]) + BLOCK - 1) / BLOCK;
    if ((blocks->values = quiet_zeros(number, (size_t)(shape->groups * BLOCK * GROUP))) == NULL ||
        (blocks->scales = quiet_zeros(number * shape->branches * BLOCK, 4)) == NULL ||
        (blocks->rows = quiet_zeros(number * BLOCK, 4)) == NULL || (blocks->starts = quiet_zeros(num_lists + 1, 8)) == NULL)
        return 0;
    int64_t block = 0;
    for (int64_t l = 0; l < num_lists; l++) {
        const int64_t first = starts == NULL ? 0 : starts[l], stop = starts == NULL ? table->count : starts[l + 1];
        for (int64_t place = first; place < stop; place += BLOCK, block++)
            for (int r = 0; r < BLOCK; r++) {
                const int is_there = place + r < stop;
                const int64_t row = !is_there ? -1 : rows == NULL ? place + r : rows[place + r];
                blocks->rows[block * BLOCK + r] = (int32_t)row;
                if (is_there)
                    pack_row(table, shape, row, r, blocks->values + block * shape->groups * BLOCK * GROUP,
                             blocks->scales + block * shape->branches * BLOCK);
            }
        blocks->starts[l + 1] = block;
    }
    blocks->num_lists = num_lists;
    return 1;
}

void free_blocks(Blocks *blocks)
{
    free(blocks->values);
    free(blocks->scales);
    free(blocks->rows);
    free(blocks->starts);
}
