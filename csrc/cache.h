/* cache.h: the contract of caches (cache.c). As in fastlm.h every array belongs to the caller, token ids are int32, and
 * outputs come first, sizes last.
 */
#ifndef FASTLM_CACHE_H
#define FASTLM_CACHE_H

#include <stddef.h>
#include <stdint.h>

/* cache.c: a cache of the last `window` tokens (Kuhn & De Mori 1990) for contexts of 0 to orders - 1 tokens. With
 * agree(j, t) the tokens before j that equal the last ones up to t, a_m(w) = the sum of decay[t - j] over the positions
 * j <= t of the window with id[j] = w and agree(j, t) >= m, and S_m = the sum of a_m over w:
 *     p_m = (1 - weight_m) p_m-1 + weight_m a_m / S_m,   m = lowest .. orders - 1, p_lowest-1 the model's own,
 * weight_m = weight[m, size of S_m], and 0 where S_m is 0. The size is e + FLM_CACHE_SHIFT with 2^(e-1) <= S_m < 2^e,
 * but at least 0 and less than FLM_CACHE_SIZES. Nothing before the last token with starts != 0 counts (starts may be
 * NULL). Scratch: link (n); last, slot (V), of any content. */
typedef struct flm_cache {
    const double *decay;   /* (window) the weight of an age of 0, 1, ... tokens */
    const double *running; /* (window+1) sums of the first 0, 1, ... of them */
    size_t window, lowest, orders;
} flm_cache;

enum { FLM_CACHE_ORDERS = 32, FLM_CACHE_SIZES = 16, FLM_CACHE_SHIFT = 3 };
/* running[k] (window+1) = the sum of the first k of decay (window), in their order. Returns window, or the first k
 * whose decay[k] is not within [0, 1]. */
size_t flm_cache_running(double *running, const double *decay, size_t window);
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

#endif
