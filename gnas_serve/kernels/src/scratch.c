#include "scratch.h"

#include "arguments.h"

int make_scratch(const Lists *lists, Scratch *scratch)
{
    const int64_t columns = lists->shape.groups * GROUP, branches = lists->shape.branches;
    Query *query = &scratch->query;
    return (query->high = zeros(columns, 1)) != NULL && (query->middle = zeros(columns, 1)) != NULL &&
           (query->low = zeros(columns, 1)) != NULL && (query->wide_high = zeros(columns, 2)) != NULL &&
           (query->rest = zeros(columns, 2)) != NULL && (query->scales = zeros(branches, 4)) != NULL &&
           (query->biases = zeros(lists->shape.segments, 8)) != NULL &&
           (scratch->marks = zeros(lists->vectors.count, 1)) != NULL &&
           (scratch->parts = zeros(branches * BLOCK, 4)) != NULL;
}

static int enlarge(uint64_t **memory, int64_t *room, int64_t count)
{
    const int64_t wanted = 2 * room_for(count);
    if (wanted <= *room)
        return 1;
    uint64_t *larger = zeros(wanted, sizeof *larger);
    if (larger == NULL)
        return 0;
    free(*memory);
    *memory = larger;
    *room = wanted;
    return 1;
}

int make_room(Scratch *scratch, int64_t count, int64_t nprobe)
{
    return enlarge(&scratch->keys, &scratch->room, count) && enlarge(&scratch->probed, &scratch->probed_room, nprobe);
}

void free_scratch(Scratch *scratch)
{
    Query *query = &scratch->query;
    void *memory[] = {query->high,   query->middle, query->low,    query->wide_high, query->rest,    query->scales,
                      query->biases, scratch->marks, scratch->keys, scratch->probed,  scratch->parts};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        free(memory[i]);
}
