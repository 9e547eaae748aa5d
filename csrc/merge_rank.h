/* merge_rank.h: how the merge of two pieces is found; for the files that cut segments into pieces. */
#ifndef FASTLM_MERGE_RANK_H
#define FASTLM_MERGE_RANK_H

#include "pieces.h"
#include "word_hash.h"

static inline uint64_t key_of(int32_t left, int32_t right) { return (uint64_t)left << 32 | (uint32_t)right; }

/* The number of the merge of two pieces, `merges` where there is none. */
static inline uint32_t rank_of(const flm_pieces *p, int32_t left, int32_t right)
{
    for (size_t s = (size_t)hash_step(key_of(left, right)) & (p->slots - 1); p->slot[s]; s = (s + 1) & (p->slots - 1)) {
        const int32_t *merge = p->merge + 3 * (p->slot[s] - 1);
        if (merge[0] == left && merge[1] == right) return p->slot[s] - 1;
    }
    return (uint32_t)p->merges;
}

#endif
