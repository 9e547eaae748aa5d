/* ngram/top.c: the likeliest words after a context, from what has followed it and the likeliest single words. Declared
 * in ngram.h. */
#include "ngram/packed.h"

/* The best so far, likeliest first, ties to the lower word. */
typedef struct best {
    int32_t *word;
    float *logp;
    size_t n, k;
} best;

static inline void offer(best *b, int32_t w, float logp)
{
    size_t at = b->n;
    if (at == b->k) {
        if (logp < b->logp[at - 1] || (logp == b->logp[at - 1] && w > b->word[at - 1])) return;
        at--;
    } else b->n++;
    for (; at > 0 && (logp > b->logp[at - 1] || (logp == b->logp[at - 1] && w < b->word[at - 1])); at--) {
        b->word[at] = b->word[at - 1];
        b->logp[at] = b->logp[at - 1];
    }
    b->word[at] = w;
    b->logp[at] = logp;
}

void flm_ngram_top(int32_t *word, float *logp, uint32_t *seen, const struct flm_ngrams *g, const int32_t *falling,
                   const int32_t *node, size_t k, size_t N)
{
    for (size_t v = 0; v < g->V; v++) seen[v] = 0;
    for (size_t n = 0; n < N; n++) {
        best b = {word + n * k, logp + n * k, 0, k};
        const uint32_t now = (uint32_t)n + 1;
        double weight = 0;
        for (int32_t h = node[n]; h >= 0;) { /* the longest context that knows a word has the say */
            const place p = place_of(g, (size_t)h);
            const children after = children_at(g, p);
            const float more = (float)(weight + (double)share_at(g, p, after));
            for (size_t c = after.from; c < after.to; c++) {
                const int32_t w = word_of(g, c);
                if (seen[w] == now) continue;
                seen[w] = now;
                offer(&b, w, value_of(g, c) + more);
            }
            weight += (double)backoff_at(g, p);
            h = link_at(g, p);
        }
        size_t unseen = 0;
        for (size_t v = 0; v < g->V && unseen < k; v++)
            if (seen[falling[v]] != now) {
                offer(&b, falling[v], g->unigram[falling[v]] + (float)weight);
                unseen++;
            }
    }
}
