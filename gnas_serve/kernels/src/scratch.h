/* The working memory of searches. */
#ifndef GNAS_SCRATCH_H
#define GNAS_SCRATCH_H

#include "search.h"

/* Make what searches of `lists` need, all zeros: 0 with an error set where there is no room; free it either way. */
int make_scratch(const Lists *lists, Scratch *scratch);

/* Make room to keep `count` rows and `nprobe` lists: 0 with an error set where there is none. */
int make_room(Scratch *scratch, int64_t count, int64_t nprobe);

void free_scratch(Scratch *scratch);

#endif
