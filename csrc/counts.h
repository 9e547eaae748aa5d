/* counts.h: the part of fastlm.h about caches and n-grams over factors. */
#ifndef FASTLM_COUNTS_H
#define FASTLM_COUNTS_H

#include <stddef.h>
#include <stdint.h>

struct flm_ngrams;

/* cache.c: a cache of the last `window` tokens (Kuhn & De Mori 1990) for contexts of 0 to orders - 1 tokens. With
 * agree(j, t) the tokens before j that equal the last ones up to t, a_m(w) = the sum of decay[t - j] over the positions
 * j <= t of the window with id[j] = w and agree(j, t) >= m, and S_m = the sum of a_m over w:
 *     p_m = (1 - weight_m) p_m-1 + weight_m a_m / S_m,   m = lowest .. orders - 1, p_lowest-1 the model's own,
 * weight_m = weight[m, size of S_m], the size being log2 S_m in steps of 1, and 0 where S_m is 0. Nothing before the
 * last token with starts != 0 counts (starts may be NULL). Scratch: link (n); last, slot (V), of any content. */
typedef struct flm_cache {
    const double *decay;             /* (window) the weight of an age of 0, 1, ... tokens                             */
    const double *running;           /* (window+1) sums of the first 0, 1, ... of them                                */
    size_t window, lowest, orders;
} flm_cache;

enum { FLM_CACHE_ORDERS = 32, FLM_CACHE_SIZES = 16, FLM_CACHE_SMALL = 3 };
/* For t = first .. n-1: total[t-first,m] = S_m and count[t-first,m] = a_m(target[t-first]) (n-first,orders), 0 below
 * the lowest order; count 0 where the target is -1. Cost: the occurrences of id[t] and of the target in the window. */
void flm_cache_counts(double *total, double *count, const flm_cache *c, const int32_t *id, const uint8_t *starts,
                      const int32_t *target, int32_t *link, int32_t *last, size_t first, size_t n);
/* p_orders-1 after t = first .. n-1 is left[t-first] p_lowest-1, plus mass[t-first,k] of word[t-first,k] (width each;
 * -1 and 0 behind the last). width: no fewer than the tokens that a window can hold. weight (orders,FLM_CACHE_SIZES);
 * scratch (width). */
void flm_cache_rows(int32_t *word, float *mass, float *left, size_t width, const flm_cache *c, const double *weight,
                    const int32_t *id, const uint8_t *starts, int32_t *link, int32_t *last, int32_t *slot,
                    double *scratch, size_t first, size_t n);

/* factor.c: n-grams whose context is not the tokens before the next one but `levels` factors of them, the most telling
 * first (factored language models, Bilmes & Kirchhoff 2003): factor k > 0 is the token k places back, 0 the letters of
 * the word being spelt, -1 and -2 the words before it. letter[v] (V) > 0 stands for a letter, equal for those that
 * differ in case alone; 0 ends words; NULL: there are none. A state is last (reach) int32, the tokens read, newest
 * first, -1 for none, and spelt (FLM_SPELT), 0 at first. The tables are those of flm_ngrams, but contexts and n-grams
 * are numbered apart: the children of context h are n-grams [child[h], child[h+1]), the n-grams before V being single
 * tokens, link[h] is the context without its last factor, -1 for none, and nothing is linked but contexts. */
typedef struct flm_factors {
    const int32_t *factor;           /* (levels)                                                                      */
    const int32_t *letter;           /* (V) or NULL                                                                   */
    size_t levels, reach;            /* reach: the largest factor, 0 or more                                          */
} flm_factors;

enum { FLM_SPELT = 3 };
/* key[i] (n) = of the first `level` factors before id[i]; starts[0] != 0. Scratch: a state. */
void flm_factor_keys(uint64_t *key, int32_t *last, int64_t *spelt, const flm_factors *f, const int32_t *id,
                     const uint8_t *starts, size_t level, size_t n);
/* Sorts m n-grams, id[position[i]] after key[position[i]], by key and token: item (m), and their keys, sorted (m).
 * Scratch: spare, spare_key (m), begin (V+1). */
void flm_factor_sort(int32_t *item, uint64_t *sorted, int32_t *spare, uint64_t *spare_key, size_t *begin,
                     const uint64_t *key, const int32_t *position, const int32_t *id, size_t m, size_t V);
/* From m sorted n-grams, which end longer ones or, on the highest level, occurrences, the different ones: word, count
 * (how many of the m), from (a position), context_of, returned as their number; their contexts: key, first n-gram, and
 * *contexts as their number. shorter[i] (m) = which of the different ones i is; link[above[i]] = its context, where
 * above (m), the context of the longer n-gram, is not NULL. */
size_t flm_factor_number(int32_t *word, int32_t *count, int32_t *from, int32_t *context_of, int32_t *shorter,
                         int64_t *context, int32_t *child, int32_t *link, size_t *contexts, const int32_t *above,
                         const int32_t *item, const uint64_t *sorted, const int32_t *position, const int32_t *id,
                         size_t m);
/* slot: a hash table of the contexts' keys; slots: a power of two above contexts. */
void flm_factor_index(int32_t *slot, size_t slots, const int64_t *context, size_t contexts);
/* node[n] = the longest context known after row n's token, -1 for none; states of the sequences in and out. */
void flm_factor_read(int32_t *node, int32_t *last, int64_t *spelt, const flm_factors *f, const int32_t *slot,
                     size_t slots, const int64_t *context, const int32_t *id, const uint8_t *starts,
                     const size_t *size, size_t T);
/* As flm_ngram_check, for such tables. */
int flm_factor_check(const struct flm_ngrams *g, size_t *where);
/* ngram_top.c: the k likeliest words after each of N contexts of either kind of table, likeliest first, ties to the
 * lower one; k <= V. falling (V): the words, likeliest first by themselves. Cost: the n-grams after the context and its
 * shorter ones; V once for all N, for scratch: seen (V). */
void flm_ngram_top(int32_t *word, float *logp, uint32_t *seen, const struct flm_ngrams *g, const int32_t *falling,
                   const int32_t *node, size_t k, size_t N);
/* Sorts n values by their keys, stably; key < 2^(8*bytes). */
void flm_sort_keys(uint64_t *key, int32_t *value, uint64_t *spare_key, int32_t *spare, size_t n, unsigned bytes);

#endif
