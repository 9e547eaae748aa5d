/* ngram/plain.h: looks n-grams up in plain arrays, see flm_trie in ngram.h. */
#ifndef FLM_PLAIN_H
#define FLM_PLAIN_H

#include "ngram.h"

/* The child of context h for word w in plain arrays, or -1. */
static inline int32_t find_plain(const flm_trie *t, int32_t h, int32_t w)
{
    size_t from = (size_t)t->child[h], n = (size_t)t->child[h + 1] - from;
    if (n == 0) return -1;
    while (n > 1) {
        const size_t half = n / 2;
        from = t->word[from + half] <= w ? from + half : from;
        n -= half;
    }
    return t->word[from] == w ? (int32_t)from : -1;
}

/* The n-gram for word w after the longest context that has one, from context h on; *log_backoff gains what it costs. */
static inline int32_t seek_plain(const flm_trie *t, int32_t h, int32_t w, double *log_backoff)
{
    for (; h >= 0; h = t->link[h]) {
        if ((size_t)h >= t->contexts) continue;
        const int32_t c = find_plain(t, h, w);
        if (c >= 0) return c;
        *log_backoff += (double)t->backoff[h];
    }
    return w;
}

#endif
