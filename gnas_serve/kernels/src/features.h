/* The ranker's cross features of one list of candidates. */
#ifndef GNAS_FEATURES_H
#define GNAS_FEATURES_H

#include <stdint.h>

enum { SCORE = -1, SCORE_Z = -2, LOG_RANK = -3, CONTENT = -4 }; /* and b >= 0: branch b, standardised */

/* features: (n, columns); scores, log_ranks, content: (n,); parts: (n, branches). */
void cross_features(const int32_t *kinds, int64_t columns, const float *scores, const float *parts, int64_t branches,
                    const float *log_ranks, const float *content, int64_t n, float *features);

#endif
