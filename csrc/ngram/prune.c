/* ngram/prune.c: which n-grams say least that shorter ones do not say, and the backoffs once they are gone. Declared in
 * ngram.h. Entropy pruning: Seymore & Rosenfeld 1996, "Scalable backoff language models"; Stolcke 1998, "Entropy-based
 * pruning of backoff language models". */
#include "ngram/plain.h"
#include "simd/log.h"

#define LEAST 1e-9 /* of a probability that is left to other words: less is rounding */

/* log p of the word of n-gram c, which context h begins, after the context that h is linked to. */
static double log_p_below(const flm_trie *t, const int32_t *suffix, size_t h, int32_t c)
{
    const int32_t shorter = t->link[h];
    if (suffix && shorter >= 0 && (size_t)shorter < t->contexts && suffix[c] >= t->child[shorter] &&
        suffix[c] < t->child[shorter + 1])
        return (double)t->logp[suffix[c]];
    double backed_off = 0;
    const int32_t found = seek_plain(t, shorter, t->word[c], &backed_off);
    return (double)t->logp[found] + backed_off;
}

void flm_ngram_losses(float *loss, const flm_trie *t, const int32_t *suffix, const double *frequency, size_t first,
                      size_t last)
{
    for (size_t h = first; h < last; h++) {
        const size_t from = (size_t)t->child[h], to = (size_t)t->child[h + 1];
        double below = 1; /* what the shorter context says of words that have not followed this one */
        for (size_t c = from; c < to; c++) {
            loss[c] = (float)log_p_below(t, suffix, h, (int32_t)c);
            below -= exp_of((double)loss[c]);
        }
        if (below < LEAST || to - from == t->V) below = 0;
        const double backoff = (double)t->backoff[h], left = below > 0 ? exp_of(backoff) * below : 0;
        for (size_t c = from; c < to; c++) {
            const double p = exp_of((double)t->logp[c]), q = exp_of((double)loss[c]);
            const double after = log_of((left + p) / (below + q)); /* the backoff without the n-gram */
            const double nats = p * ((double)t->logp[c] - (double)loss[c] - after) + left * (backoff - after);
            loss[c] = nats > 0 ? (float)(frequency[h] * nats) : 0;
        }
    }
}

void flm_ngram_most(float *most, const float *loss, const int32_t *child, size_t contexts)
{
    for (size_t h = 0; h < contexts; h++) {
        most[h] = -1;
        for (int32_t c = child[h]; c < child[h + 1]; c++)
            if (loss[c] > most[h]) most[h] = loss[c];
    }
}

void flm_trie_raise(float *loss, const int32_t *child, size_t V, size_t contexts)
{
    for (size_t c = contexts; c-- > V;)
        for (int32_t i = child[c]; i < child[c + 1]; i++)
            if (loss[i] > loss[c]) loss[c] = loss[i];
}

void flm_ngram_rebalance(float *backoff, const flm_trie *t, const int32_t *suffix, size_t first, size_t last)
{
    for (size_t h = first; h < last; h++) {
        double left = 1, below = 1;
        for (int32_t c = t->child[h]; c < t->child[h + 1]; c++) {
            left -= exp_of((double)t->logp[c]);
            below -= exp_of(log_p_below(t, suffix, h, c));
        }
        const size_t n = (size_t)(t->child[h + 1] - t->child[h]);
        if (n == 0 || n == t->V || below < LEAST) backoff[h] = 0;
        else backoff[h] = (float)log_of((left > LEAST ? left : LEAST) / below);
    }
}
