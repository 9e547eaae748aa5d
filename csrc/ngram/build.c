/* ngram/build.c: the trie of a text's n-grams with interpolated modified Kneser-Ney probabilities, from the sorted
 * n-grams of ngram/sort.c. Declared in ngram.h. */
#include "ngram.h"

#include <string.h>

#include "simd/log.h"

void flm_ngram_sizes(size_t *size, const uint8_t *shared, const uint8_t *reach, size_t first, size_t last, size_t order)
{
    memset(size, 0, (order + 1) * sizeof *size);
    for (size_t r = first; r < last; r++)
        for (size_t k = shared[r] + 1u; k <= (reach[r] & FLM_NGRAM_LENGTH); k++) size[k]++;
}

/* The first tokens that the n-gram of rank r has in common with the one before or behind it, the larger number. */
static inline size_t repeated(const uint8_t *shared, size_t r, size_t end)
{
    const size_t before = shared[r], behind = r + 1 < end ? shared[r + 1] : 0;
    return before > behind ? before : behind;
}

void flm_ngram_keep_repeated(uint8_t *reach, const uint8_t *shared, const size_t *begin, size_t first, size_t last,
                             size_t whole)
{
    for (size_t v = first; v < last; v++)
        for (size_t r = begin[v]; r < begin[v + 1]; r++) {
            const size_t kept = repeated(shared, r, begin[v + 1]) + 1, most = kept > whole ? kept : whole;
            if ((reach[r] & FLM_NGRAM_LENGTH) > most) reach[r] = (uint8_t)((reach[r] & FLM_NGRAM_BEGINS) | most);
        }
}

double flm_ngram_counting_bytes(const size_t *nodes, size_t n, size_t order)
{
    const double all = (double)nodes[order], two = (double)(nodes[order - 1] - nodes[order > 3 ? order - 3 : 0]);
    const double numbering = 24 * (double)n + 16 * all, estimating = 24 * all + 8 * two;
    return numbering > estimating ? numbering : estimating;
}

void flm_ngram_count_words(int32_t *count, const int32_t *id, const uint8_t *starts, size_t n)
{
    for (size_t i = 0; i < n; i++) count[id[i]] += !starts[i];
}

void flm_ngram_number(int32_t *word, int32_t *link, int32_t *child, int32_t *count, int32_t *node, const int32_t *above,
                      size_t next, const int32_t *id, const int32_t *position, const int32_t *rank,
                      const uint8_t *shared, const uint8_t *reach, const uint8_t *span, const size_t *begin,
                      size_t first, size_t last, size_t k, size_t order)
{
    for (size_t v = first; v < last; v++) {
        if (k == 2) child[v] = (int32_t)next;
        for (size_t r = begin[v]; r < begin[v + 1]; r++) {
            const size_t length = reach[r] & FLM_NGRAM_LENGTH, same = shared[r], at = (size_t)position[r];
            if (k > 2 && same < k - 1 && length >= k - 1) child[above[r]] = (int32_t)next;
            if (length < k) {
                node[r] = -1;
                // An n-gram that was left out occurs once: the shorter one that it ends in is met after its first token.
                if (k > 2 && same < k && (span[at] & FLM_NGRAM_LENGTH) >= k && above[rank[at + 1]] >= 0)
                    __atomic_fetch_add(&count[above[rank[at + 1]]], 1, __ATOMIC_RELAXED);
                continue;
            }
            if (same < k) {
                const int32_t suffix = k == 2 ? id[at + 1] : above[rank[at + 1]];
                word[next] = id[at + k - 1];
                link[next] = suffix;
                __atomic_fetch_add(&count[suffix], 1, __ATOMIC_RELAXED);
                next++;
            }
            node[r] = (int32_t)(next - 1);
            if (k == order || (reach[r] & FLM_NGRAM_BEGINS)) __atomic_fetch_add(&count[next - 1], 1, __ATOMIC_RELAXED);
        }
    }
}

void flm_ngram_count_counts(int64_t *times, const int32_t *count, size_t n)
{
    memset(times, 0, 5 * sizeof *times);
    for (size_t i = 0; i < n; i++)
        if (count[i] > 0 && count[i] < 5) times[count[i]]++;
}

/* Sets *at, where an int32 may stand that is not needed any more. */
static inline void put_over(float *at, float x) { memcpy(at, &x, sizeof x); }

void flm_ngram_estimate(float *logp, float *backoff, double *p, const double *shorter, const int32_t *child,
                        const int32_t *link, const int32_t *count, const int32_t *pruned, const double *discount,
                        size_t first, size_t last, size_t origin, size_t origin_shorter)
{
    double last_gamma = 1, log_gamma = 0;
    for (size_t h = first; h < last; h++) {
        const size_t from = (size_t)child[h], to = (size_t)child[h + 1];
        double total = 0, mass = 0;
        if (pruned && to > from) total = mass = pruned[h];
        for (size_t c = from; c < to; c++) {
            total += count[c];
            mass += discount[count[c] < 3 ? count[c] : 3];
        }
        const double gamma = to == from ? 1 : mass / total;
        if (gamma != last_gamma) { /* most contexts have one successor, seen once */
            last_gamma = gamma;
            log_gamma = log_of(gamma);
        }
        backoff[h] = (float)log_gamma;
        for (size_t c = from; c < to; c++) {
            const double own = (count[c] - discount[count[c] < 3 ? count[c] : 3]) / total;
            const double q = own + gamma * shorter[(size_t)link[c] - origin_shorter];
            if (p) p[c - origin] = q;
            put_over(logp + c, q < 1 ? (float)log_of(q) : 0);
        }
    }
}

void flm_ngram_unigrams(float *logp, double *p, const int32_t *count, const double *discount, size_t V)
{
    double total = 0, mass = 0;
    for (size_t v = 0; v < V; v++) {
        total += count[v];
        mass += discount[count[v] < 3 ? count[v] : 3];
    }
    for (size_t v = 0; v < V; v++) {
        const double own =
            total > 0 ? (count[v] - discount[count[v] < 3 ? count[v] : 3] + mass / (double)V) / total : 1 / (double)V;
        p[v] = own;
        put_over(logp + v, own < 1 ? (float)log_of(own) : 0);
    }
}
