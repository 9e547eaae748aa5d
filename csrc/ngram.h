/* ngram.h: the contract of what is counted: n-grams (ngram/), n-grams over factors (ngram/factor.c) and caches
 * (cache.c). As in fastlm.h every array belongs to the caller, token ids are int32, and outputs come first, sizes last.
 */
#ifndef FASTLM_NGRAM_H
#define FASTLM_NGRAM_H

#include <stddef.h>
#include <stdint.h>

/* ngram/sort.c, ngram/build.c, ngram/score.c: interpolated modified Kneser-Ney (Chen & Goodman 1999) of any order up to
 * 127. The n-grams of a text are the nodes of a trie, numbered level after level: node v < V is word v by itself, the
 * children of node h are [child[h], child[h+1]) in the order of their words. link[c] is the n-gram without its oldest
 * word, -1 for a single word. Only the first `contexts` nodes have children, a backoff and a child[]. */
typedef struct flm_ngrams {
    const int32_t *word, *link; /* (nodes) */
    const int32_t *child;       /* (contexts+1) */
    const float *logp;          /* (nodes) log p(word | the words before it in the n-gram) */
    const float *backoff;       /* (contexts) log of the factor of p(w | a word less) where hw is no node */
    size_t nodes, contexts, V, order;
} flm_ngrams;

enum { FLM_NGRAM_LENGTH = 127, FLM_NGRAM_BEGINS = 128 };
enum { FLM_NGRAM_SOUND, FLM_NGRAM_CHILD, FLM_NGRAM_WORD, FLM_NGRAM_LINK, FLM_NGRAM_SUM };
#define FLM_NGRAM_MASS 1e-3

/* Building, in this order; the ranges [first, last) of words may be shared out to threads.
 * span[i] (n) = tokens that an n-gram from i on has: at most `order`, none of the next document (starts[i] != 0 at the
 * first token of each, which is read and never predicted), none after a token `boundary` (-1: contexts run on).
 * FLM_NGRAM_BEGINS is added where nothing stands before: such an n-gram counts every time it is met. */
void flm_ngram_spans(uint8_t *span, const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t n);
/* position (n) = the positions of the text by their token, ascending; those of word v are [begin[v], begin[v+1]). */
void flm_ngram_group(int32_t *position, size_t *begin, const int32_t *id, size_t n, size_t V);
/* cut (tasks+1): the words of task t are [cut[t], cut[t+1]), which begin about n / tasks of the n positions: cut[t] is
 * the first v with begin[v] >= n t / tasks. */
void flm_ngram_cuts(size_t *cut, const size_t *begin, size_t V, size_t tasks);
/* The positions of the word that has most, among the words [first, last): `most` of flm_ngram_sort. */
size_t flm_ngram_largest_group(const size_t *begin, size_t first, size_t last);
/* Sorts the n-grams of words [first, last) by the tokens after the first. rank: where each position went; shared[r]:
 * first tokens that the r-th n-gram has in common with the one before it, 0 at begin[v]; reach[r] = span[position[r]].
 * Scratch: key (2*most), spare (most), `most` the largest group. Cost about n * order * log2(V) / 8 bytes moved. */
void flm_ngram_sort(int32_t *position, int32_t *rank, uint8_t *shared, uint8_t *reach, uint64_t *key, int32_t *spare,
                    const int32_t *id, const uint8_t *span, const size_t *begin, size_t first, size_t last, size_t most,
                    size_t order, size_t V);
/* size[k] (order+1) = nodes of level k, n-grams of k words, that the ranks [first, last) begin. */
void flm_ngram_sizes(size_t *size, const uint8_t *shared, const uint8_t *reach, size_t first, size_t last,
                     size_t order);
/* The highest order, from 2 to `order`, for which the rest of counting n tokens takes at most `memory` bytes; the lower
 * of 2 and `order` where none does. nodes[k] (order+1): n-grams of up to k words. With k words, in bytes:
 *     numbering:  24 n (the text and its position, rank, node and above: 4 each; the flags) + 16 nodes[k] (word, link,
 *                 child, count);
 *     estimating: 24 nodes[k] (the same, logp and backoff) + 8 (nodes[k-1] - nodes[k-3]) (the probabilities of two
 *                 levels in double). */
size_t flm_ngram_order_within(const size_t *nodes, size_t n, size_t order, double memory);
/* count[id[i]]++ (V) for every token that is predicted, starts[i] == 0: the counts of order 1. */
void flm_ngram_count_words(int32_t *count, const int32_t *id, const uint8_t *starts, size_t n);
/* Numbers the nodes of level k >= 2 from `next` on: word, link, child of the level above, node[r] of every rank, and
 * count (zero at first): how often an n-gram of level `order` occurs, of how many n-grams one longer a shorter one is
 * the suffix, plus how often it begins. above: node[] of level k-1 (unused for k = 2). Adds to count atomically. */
void flm_ngram_number(int32_t *word, int32_t *link, int32_t *child, int32_t *count, int32_t *node, const int32_t *above,
                      size_t next, const int32_t *id, const int32_t *position, const int32_t *rank,
                      const uint8_t *shared, const uint8_t *reach, const size_t *begin, size_t first, size_t last,
                      size_t k, size_t order);
/* times[k] (5) = how many of count (n) are k, for k = 1..4. */
void flm_ngram_count_counts(int64_t *times, const int32_t *count, size_t n);
/* p(w) = (a(w) - D(a(w)) + sum_v D(a(v)) / V) / sum_v a(v), 1/V without any count; logp of nodes [0, V). discount (4):
 * D(0) = 0, D(1), D(2), D(3 and more). */
void flm_ngram_unigrams(float *logp, double *p, const int32_t *count, const double *discount, size_t V);
/* For the contexts h in [first, last), all of one level, S(h) the sum of a(hw):
 * gamma(h) = sum_w D(a(hw)) / S(h); p(w|h) = (a(hw) - D(a(hw))) / S(h) + gamma(h) p(w|h without its oldest word).
 * p, shorter: linear probabilities of the level of hw (NULL: not wanted) and of the one above, whose first nodes are
 * origin and above. */
void flm_ngram_estimate(float *logp, float *backoff, double *p, const double *shorter, const int32_t *child,
                        const int32_t *link, const int32_t *count, const double *discount, size_t first, size_t last,
                        size_t origin, size_t above);

/* FLM_NGRAM_SOUND, or what is wrong with tables from a file, at node *where: the order of the children, a word, a link,
 * or a sum of probabilities more than FLM_NGRAM_MASS from 1 (node `nodes`: of single words); where `sums` is 0 a sum
 * need only be finite.
 * Nothing below looks again. */
int flm_ngram_check(const flm_ngrams *g, int sums, size_t *where);
/* nats[i] = -log p(id[i] | state), then state reads id[i]. A state is a node with children, or -1: nothing read. */
void flm_ngram_score(double *nats, int32_t *state, const flm_ngrams *g, const int32_t *id, size_t n);
/* node[n] = the state after row n's token; state (S) in and out. */
void flm_ngram_read(int32_t *node, int32_t *state, const flm_ngrams *g, const int32_t *id, const uint8_t *starts,
                    const size_t *size, size_t T);
/* nats[n] = -log p(target[n] | node[n]), 0 where target[n] < 0. Does not touch V. */
void flm_ngram_nats(double *nats, const flm_ngrams *g, const int32_t *node, const int32_t *target, size_t N);
/* out[n,v] = log p(v | node[n]): the unigrams times the backoffs, and what has been seen written over them. */
void flm_ngram_log_probabilities(float *out, const flm_ngrams *g, const int32_t *node, size_t N);

/* ngram/left_out.c: the same for the text that was counted, each target's own occurrence left out of the counts: its
 * n-gram has one less; where that was the last it vanishes, and the n-gram a word shorter has one less; and so on. */
typedef struct flm_ngram_counts {
    const int32_t *count;       /* (nodes) a */
    const double *discount;     /* (order,4) */
    const double *total, *mass; /* (contexts+1) S(h), and the sum of D(a(hw)) over w; last of no context at all */
} flm_ngram_counts;

enum { FLM_NGRAM_NEVER = 128 };
/* nats[i] = -log p(target[i] | node[i]), 0 where target[i] < 0; out (N,V) or NULL = log p(v | node[i]) for every v,
 * nothing left out where target[i] < 0. Returns N, or the first i whose target never followed its node. Scratch:
 * 2*V. */
size_t flm_ngram_left_out(double *nats, float *out, double *scratch, const flm_ngrams *g, const flm_ngram_counts *n,
                          const int32_t *node, const int32_t *target, size_t N);

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

/* ngram/factor.c: n-grams whose context is not the tokens before the next one but `levels` factors of them, the most
 * telling first (factored language models, Bilmes & Kirchhoff 2003): factor k > 0 is the token k places back, 0 the
 * letters of the word being spelt, -1 and -2 the words before it. letter[v] (V) > 0 stands for a letter, or
 * several, equal for those that differ in case alone; < 0 ends a word and begins the next one with the letters that
 * -letter[v] stands for; 0 ends words; NULL: there are none. A state is last (reach) int32, the tokens read,
 * newest first, -1 for none, and spelt (FLM_SPELT), 0 at first. The tables are those of flm_ngrams, but contexts and
 * n-grams are numbered apart: the children of context h are n-grams [child[h], child[h+1]), the n-grams before V being
 * single tokens, link[h] is the context without its last factor, -1 for none, and nothing is linked but contexts. */
typedef struct flm_factors {
    const int32_t *factor; /* (levels) */
    const int32_t *letter; /* (V) or NULL */
    size_t levels, reach;  /* reach: the largest factor, 0 or more */
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
/* How many slots the hash table of so many contexts gets: the least power of two that leaves half of them free. */
size_t flm_factor_slots(size_t contexts);
/* slot: a hash table of the contexts' keys; slots: a power of two, at least twice the contexts. Returns how many keys it
 * holds: all, or those before the first that has no free place among FLM_FACTOR_PROBES. The limit is for a file whose
 * keys were chosen to share a place, with which filling the table and looking up would be quadratic; of tables of 10^9
 * evenly spread keys fewer than one in 10^30 would be refused. */
enum { FLM_FACTOR_PROBES = 512 };
size_t flm_factor_index(int32_t *slot, size_t slots, const int64_t *context, size_t contexts);
/* node[n] = the longest context known after row n's token, -1 for none; states of the sequences in and out. */
void flm_factor_read(int32_t *node, int32_t *last, int64_t *spelt, const flm_factors *f, const int32_t *slot,
                     size_t slots, const int64_t *context, const int32_t *id, const uint8_t *starts, const size_t *size,
                     size_t T);
/* As flm_ngram_check, for such tables, `order` being the levels + 1. The contexts stand level by level, each linked to
 * one of the level before. */
int flm_factor_check(const struct flm_ngrams *g, size_t *where);
/* ngram/top.c: the k likeliest words after each of N contexts of either kind of table, likeliest first, ties to the
 * lower one; k <= V. falling (V): the words, likeliest first by themselves. Cost: the n-grams after the context and its
 * shorter ones; V once for all N, for scratch: seen (V). */
void flm_ngram_top(int32_t *word, float *logp, uint32_t *seen, const struct flm_ngrams *g, const int32_t *falling,
                   const int32_t *node, size_t k, size_t N);
/* Sorts n values by their keys, stably; key < 2^(8*bytes). */
void flm_sort_keys(uint64_t *key, int32_t *value, uint64_t *spare_key, int32_t *spare, size_t n, unsigned bytes);

#endif
