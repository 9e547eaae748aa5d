/* ngram.h: the contract of what is counted: n-grams (ngram/) and n-grams over factors (ngram/factor.c). As in fastlm.h every array belongs to the caller, token ids are int32, and outputs come first, sizes last.
 */
#ifndef FASTLM_NGRAM_H
#define FASTLM_NGRAM_H

#include <stddef.h>
#include <stdint.h>

/* ngram/sort.c, ngram/build.c: interpolated modified Kneser-Ney (Chen & Goodman 1999) of any order up to 127, as plain
 * arrays. The n-grams of a text are the nodes of a trie, numbered level after level: node v < V is word v by itself, the
 * children of node h are [child[h], child[h+1]) in the order of their words. link[c] is the longest n-gram there is that
 * ends c and has fewer words, -1 for a single word. Only the first `contexts` nodes have children, a backoff and a
 * child[]. Such arrays are what is counted, pruned and exchanged with other tools; predictions read packed tables. */
typedef struct flm_trie {
    const int32_t *word, *link; /* (nodes) */
    const int32_t *child;       /* (contexts+1) */
    const float *logp;          /* (nodes) log p(word | the words before it in the n-gram) */
    const float *backoff;       /* (contexts) log of the factor of p(w | a word less) where hw is no node */
    size_t nodes, contexts, V, order;
} flm_trie;

/* ngram/pack.c, ngram/packed.h: the same in 6 to 8 bytes an n-gram, as predictions read it and files hold it. N-grams
 * keep their numbers; contexts, the n-grams with children, are numbered apart, in the order of their n-grams, so that a
 * state, or -1 for nothing read, takes no table. Where n-gram c is a context, bit c of `inner` is set, and its number is
 * how many bits before are. An n-gram from V on is a record of word_bits + value_bits: its word, and the place of its
 * log p in `book`, or the float itself where book is NULL and value_bits 32. Contexts stand in blocks of 32: block[2b]
 * is the first child of the first of them, block[2b+1] = 64 * (bit of its record) + delta_bits; a record is, of
 * delta_bits, the first child counted from the block's; of link_bits, 1 + the context that is the longest proper suffix,
 * 0 for none; of backoff_bits, the backoff in steps of 1 / FLM_NGRAM_STEPS above `lowest` steps, or where backoff_bits
 * are 32 the float; and of key_bits, see below. One more pair than there are blocks says where all end. The backoff of
 * a context that all V words follow is never needed as such; it is added to the log p of each of them, so that these sum
 * to one. Both bit strings end in FLM_NGRAM_PAD bytes of zeros, so that 8 bytes can be read wherever a field begins.
 * Packed n-grams: Whittaker & Raj 2001; Heafield 2011, "KenLM: faster and smaller language model queries". */
typedef struct flm_ngrams {
    const uint8_t *gram, *context;
    const uint64_t *block; /* (2 * blocks + 2) */
    const uint32_t *inner; /* (3 * words) for each 64 n-grams: the contexts before them, their bits, low half first */
    const float *unigram;  /* (V) log p of single words */
    const float *book;     /* (2^value_bits), or NULL */
    int32_t lowest;
    unsigned word_bits, value_bits, link_bits, backoff_bits, key_bits;
    unsigned gram_bits, context_bits;              /* word_bits + value_bits; link_bits + backoff_bits + key_bits */
    size_t nodes, contexts, inner_nodes, V, order; /* inner_nodes: 64 * words; no n-gram from there on is a context */
} flm_ngrams;

enum { FLM_NGRAM_LENGTH = 127, FLM_NGRAM_BEGINS = 128, FLM_NGRAM_BLOCK = 32, FLM_NGRAM_PAD = 8 };
enum { FLM_NGRAM_STEPS = 1 << 15 }; /* of a nat: a backoff is so exact that sums of probabilities are 1 within 1.6e-5 */
enum {
    FLM_NGRAM_SOUND,
    FLM_NGRAM_CHILD,
    FLM_NGRAM_WORD,
    FLM_NGRAM_LINK,
    FLM_NGRAM_SUM,
    FLM_NGRAM_BLOCKS,
    FLM_NGRAM_INNER,
    FLM_NGRAM_KEY
};
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
/* Sorts the n-grams of words [first, last) by the tokens after the first. rank: where each position went, or NULL; shared[r]:
 * first tokens that the r-th n-gram has in common with the one before it, 0 at begin[v]; reach[r] = span[position[r]].
 * Scratch: key (2*most), spare (most), `most` the largest group. Cost about n * order * log2(V) / 8 bytes moved. */
void flm_ngram_sort(int32_t *position, int32_t *rank, uint8_t *shared, uint8_t *reach, uint64_t *key, int32_t *spare,
                    const int32_t *id, const uint8_t *span, const size_t *begin, size_t first, size_t last, size_t most,
                    size_t order, size_t V);
/* size[k] (order+1) = nodes of level k, n-grams of k words, that the ranks [first, last) begin. */
void flm_ngram_sizes(size_t *size, const uint8_t *shared, const uint8_t *reach, size_t first, size_t last,
                     size_t order);
/* Shortens reach[r] for the ranks of words [first, last), so that of the n-grams of more than `whole` words those are
 * left whose words before the last occur more than once. What a context that occurs once predicts, a shorter one
 * predicts as well that also occurs once; and nearly as surely. */
void flm_ngram_keep_repeated(uint8_t *reach, const uint8_t *shared, const size_t *begin, size_t first, size_t last,
                             size_t whole);
/* The bytes that the rest of counting n tokens takes at most, for 2 words or more. nodes[k] (order+1): n-grams of up to k
 * words. With k = order:
 *     numbering:  24 n (the text and its position, rank, node and above: 4 each; the flags) + 16 nodes[k] (word, link,
 *                 child, count);
 *     estimating: 24 nodes[k] (the same, logp and backoff) + 8 (nodes[k-1] - nodes[k-3]) (the probabilities of two
 *                 levels in double). */
double flm_ngram_counting_bytes(const size_t *nodes, size_t n, size_t order);
/* count[id[i]]++ (V) for every token that is predicted, starts[i] == 0: the counts of order 1. */
void flm_ngram_count_words(int32_t *count, const int32_t *id, const uint8_t *starts, size_t n);
/* Numbers the nodes of level k >= 2 from `next` on: word, link, child of the level above, node[r] of every rank, and
 * count (zero at first): how often an n-gram of level `order` occurs, of how many n-grams one longer a shorter one is
 * the suffix, those that reach leaves out included, plus how often it begins. above: node[] of level k-1 (unused for
 * k = 2). Adds to count atomically. */
void flm_ngram_number(int32_t *word, int32_t *link, int32_t *child, int32_t *count, int32_t *node, const int32_t *above,
                      size_t next, const int32_t *id, const int32_t *position, const int32_t *rank,
                      const uint8_t *shared, const uint8_t *reach, const uint8_t *span, const size_t *begin,
                      size_t first, size_t last, size_t k, size_t order);
/* times[k] (5) = how many of count (n) are k, for k = 1..4. */
void flm_ngram_count_counts(int64_t *times, const int32_t *count, size_t n);
/* p(w) = (a(w) - D(a(w)) + sum_v D(a(v)) / V) / sum_v a(v), 1/V without any count; logp of nodes [0, V). discount (4):
 * D(0) = 0, D(1), D(2), D(3 and more). Here and below logp may be the memory of count, which is overwritten then. */
void flm_ngram_unigrams(float *logp, double *p, const int32_t *count, const double *discount, size_t V);
/* For the contexts h in [first, last), all of one level, S(h) the sum of a(hw):
 * gamma(h) = sum_w D(a(hw)) / S(h); p(w|h) = (a(hw) - D(a(hw))) / S(h) + gamma(h) p(w|h without its oldest word).
 * p, shorter: linear probabilities of the level of hw (NULL: not wanted) and of the one above, whose first nodes are
 * origin and above. pruned (contexts) or NULL: how many more words have followed, once each, which are left out; they are
 * part of S(h), and gamma(h) has all that they would have: 1 where no others have followed. */
void flm_ngram_estimate(float *logp, float *backoff, double *p, const double *shorter, const int32_t *child,
                        const int32_t *link, const int32_t *count, const int32_t *pruned, const double *discount,
                        size_t first, size_t last, size_t origin, size_t above);

/* Packing. code[c] (nodes; those of V and more are set) = the place in the book of the log p of n-gram c, and backoff[h]
 * as packed, for the contexts [first, last) of one level; contexts of fewer words come before. book (size) rises; p
 * (size) = exp(book). A context's codes are the nearest, then moved by a place where that brings the sum of its
 * probabilities nearer to what the exact ones leave to other words, and its backoff is what makes the sum one, in steps
 * of 1 / FLM_NGRAM_STEPS. t: of either kind of n-grams, logp and backoff exact. suffix (nodes): each n-gram after the
 * context that its own is linked to, or NULL: looked for. Where t->backoff is `backoff` it is
 * overwritten. Cost: a search in the book and one for the suffix for each n-gram. */
void flm_ngram_quantise(uint16_t *code, float *backoff, const flm_trie *t, const float *book, const double *p,
                        const int32_t *suffix, size_t size, size_t first, size_t last);
/* Fills inner (3 * words) and returns how many contexts there are. */
size_t flm_ngram_rank(uint32_t *inner, const int32_t *child, size_t contexts, size_t words);
/* first[i], link[i], backoff[i] (contexts that have children) from the contexts of a trie, see flm_ngrams. */
void flm_ngram_contexts(int32_t *first, int32_t *link, float *backoff, const flm_trie *t, const uint32_t *inner,
                        size_t words);
/* Sets block (2 * blocks + 2) for contexts whose first children are first (contexts), the last of which end at `nodes`;
 * returns the bits of all records, which have fixed_bits beside delta_bits. */
size_t flm_ngram_blocks(uint64_t *block, const int32_t *first, size_t contexts, size_t nodes, unsigned fixed_bits);
/* Writes the records of contexts into zeros; backoff: codes or the bits of floats; key: NULL for none. */
void flm_ngram_pack_contexts(uint8_t *context, const uint64_t *block, const int32_t *first, const int32_t *link,
                             const uint32_t *backoff, const uint32_t *key, unsigned link_bits, unsigned backoff_bits,
                             unsigned key_bits, size_t contexts);
/* Writes n records of n-grams into zeros: code (n), or where it is NULL the floats logp (n), of 32 bits. */
void flm_ngram_pack_grams(uint8_t *gram, const int32_t *word, const uint16_t *code, const float *logp,
                          unsigned word_bits, unsigned value_bits, size_t n);
/* The plain arrays of a packed trie: word, link, logp (nodes), child (contexts+1), backoff (contexts), as of flm_trie;
 * contexts: of flm_ngram_shorter. Links are searched for. */
void flm_ngram_unpack(int32_t *word, int32_t *link, int32_t *child, float *logp, float *backoff, const flm_ngrams *g,
                      size_t contexts);

/* ngram/prune.c. loss[c] (nodes) = by how many nats a token the model's cross-entropy rises where the child c of one of
 * the contexts [first, last) is removed and the context's backoff computed anew:
 *     frequency(h) (p(w|h) (log p(w|h) - log p(w|h') - log b') + (1 - sum_seen p) (log b - log b')),
 * b and b' the backoffs before and after, h' the context that h is linked to; frequency (contexts): of h in text. t: of
 * either kind of n-grams; suffix (nodes): the longest n-gram that ends each one, where it is known, else NULL. Cost: two
 * exponentials an n-gram, and a search where its suffix is not known. */
void flm_ngram_losses(float *loss, const flm_trie *t, const int32_t *suffix, const double *frequency, size_t first,
                      size_t last);
/* most[h] (contexts) = the largest loss among the children of a context, -1 where it has none. */
void flm_ngram_most(float *most, const float *loss, const int32_t *child, size_t contexts);
/* Raises the loss of n-grams of a trie from V on to that of their children, without which they cannot be removed. */
void flm_trie_raise(float *loss, const int32_t *child, size_t V, size_t contexts);
/* Sets the backoffs of the contexts [first, last), all of one level, so that probabilities sum to one; t->backoff may be
 * `backoff`. */
void flm_ngram_rebalance(float *backoff, const flm_trie *t, const int32_t *suffix, size_t first, size_t last);

/* FLM_NGRAM_SOUND, or what is wrong with plain arrays from a file, at node *where: the order of the children, a word, a
 * link, or a sum of probabilities more than FLM_NGRAM_MASS from 1 (node `nodes`: of single words), where `sums`
 * is 0 only one that is not finite. */
int flm_trie_check(const flm_trie *t, int sums, size_t *where);
/* FLM_NGRAM_SOUND, or what is wrong with packed tables from a file, at n-gram or context *where: where children begin, a word,
 * a link, where blocks are, which n-grams are contexts, or a sum of probabilities more than FLM_NGRAM_MASS from 1
 * (*where = contexts: of single words). Nothing below looks again. The arrays have the lengths that the numbers of *g
 * ask for, the bits of contexts being at most context_bits. */
int flm_ngram_check(const flm_ngrams *g, int sums, size_t *where, size_t context_bits);
/* end[k] (order+1) = how many contexts have up to k words; returns the words of the longest n-grams, order + 1 where
 * these are more than `order`. */
size_t flm_ngram_levels(size_t *end, const flm_ngrams *g);
/* How many n-grams have fewer words than the longest, which have `words`; end: of flm_ngram_levels. */
size_t flm_ngram_shorter(const flm_ngrams *g, const size_t *end, size_t words);
/* length, followed, backoff (N): of contexts, the words, how many words have followed, and the log of the share that
 * they leave; 0, V, 0 of no context. end: of flm_ngram_levels. */
void flm_ngram_describe(int32_t *length, int32_t *followed, float *backoff, const flm_ngrams *g, const size_t *end,
                        const int32_t *node, size_t N);
/* order[n] = the words of the longest n-gram of the tables that ends with target[n] after the context node[n], 1 where it
 * is the word alone. end: of flm_ngram_levels. */
void flm_ngram_matched(int32_t *order, const flm_ngrams *g, const size_t *end, const int32_t *node,
                       const int32_t *target, size_t N);
/* nats[i] = -log p(id[i] | state), then state reads id[i]. A state is a context, or -1: nothing read. */
void flm_ngram_score(double *nats, int32_t *state, const flm_ngrams *g, const int32_t *id, size_t n);
/* node[n] = the state after row n's token; state (S) in and out. */
void flm_ngram_read(int32_t *node, int32_t *state, const flm_ngrams *g, const int32_t *id, const uint8_t *starts,
                    const size_t *size, size_t T);
/* nats[n] = -log p(target[n] | node[n]), 0 where target[n] < 0. Does not touch V. */
void flm_ngram_nats(double *nats, const flm_ngrams *g, const int32_t *node, const int32_t *target, size_t N);
/* out[n,v] = log p(v | node[n]): the unigrams times the backoffs, and what has been seen written over them. */
void flm_ngram_log_probabilities(float *out, const flm_ngrams *g, const int32_t *node, size_t N);
/* out (N,1+S): out[n,0] = log p(target[n] | node[n]), 0 where target[n] < 0; out[n,1+s] = log p(word[s] | node[n]).
 * column (V) = 1 + s for word[s], 0 for other words. Scratch: base (S). Cost: S and what has followed the contexts. */
void flm_ngram_of_words(float *out, float *base, const flm_ngrams *g, const int32_t *node, const int32_t *target,
                        const int32_t *word, const int32_t *column, size_t S, size_t N);

/* ngram/left_out.c: the same of plain arrays, for the text that was counted, each target's own occurrence left out of
 * the counts: its n-gram has one less; where that was the last it vanishes, and the n-gram a word shorter has one less;
 * and so on. */
typedef struct flm_ngram_counts {
    const int32_t *count;       /* (nodes) a */
    const double *discount;     /* (order,4) */
    const double *total, *mass; /* (contexts+1) S(h), and the sum of D(a(hw)) over w; last of no context at all */
} flm_ngram_counts;

enum { FLM_NGRAM_NEVER = 128 };
/* nats[i] = -log p(target[i] | node[i]), 0 where target[i] < 0; out (N,V) or NULL = log p(v | node[i]) for every v,
 * not touched where target[i] < 0. Returns N, or the first i whose target never followed its node. Scratch: 2*V. */
size_t flm_ngram_left_out(double *nats, float *out, double *scratch, const flm_trie *g, const flm_ngram_counts *n,
                          const int32_t *node, const int32_t *target, size_t N);

/* ngram/factor.c: n-grams whose context is not the tokens before the next one but `levels` factors of them, the most
 * telling first (factored language models, Bilmes & Kirchhoff 2003): factor k > 0 is the token k places back, 0 the
 * letters of the word being spelt, -1 and -2 the words before it. letter[v] (V) > 0 stands for a letter, or
 * several, equal for those that differ in case alone; < 0 ends a word and begins the next one with the letters that
 * -letter[v] stands for; 0 ends words; NULL: there are none. A state is last (reach) int32, the tokens read,
 * newest first, -1 for none, and spelt (FLM_SPELT), 0 at first. The tables are those of flm_trie, but contexts and
 * n-grams are numbered apart: the children of context h are n-grams [child[h], child[h+1]), the n-grams before V being
 * single tokens, link[h] is the context without its last factor, -1 for none, and nothing is linked but contexts. In
 * keys of version 1, those of older files, a word spelt by one letter can cancel the factors before it. */
typedef struct flm_factors {
    const int32_t *factor; /* (levels) */
    const int32_t *letter; /* (V) or NULL */
    size_t levels, reach;  /* reach: the largest factor, 0 or more */
    unsigned keys;         /* the version of the keys, 1 or 2 */
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
/* Packed, such n-grams have no `inner`, and of each level's contexts, which stand in the order of their keys, a record
 * keeps FLM_FACTOR_KEY bits of the key; the bucket_bits[k] bits above these say in which bucket of level k + 1 it is:
 * contexts [start[b], start[b+1]), start being bucket + 2^bucket_bits[0] + 1 + ... for the levels before. About 3 in
 * 10^5 of the contexts that no text had are taken for another one. */
typedef struct flm_factor_index {
    const size_t *end;           /* (levels+1) contexts of up to 0, 1, ... factors */
    const unsigned *bucket_bits; /* (levels) */
    const int32_t *bucket;
} flm_factor_index;

enum { FLM_FACTOR_KEY = 20, FLM_FACTOR_BUCKET = 8, FLM_FACTOR_BUCKET_BITS = 31 };
/* The bits that tell buckets of n contexts apart, so that at least FLM_FACTOR_BUCKET of them stand in each on average. */
unsigned flm_factor_bucket_bits(size_t n);
/* bucket (2^bucket_bits + 1) and part (n), the bits kept, of n contexts whose keys rise; the first is context `first`. */
void flm_factor_buckets(int32_t *bucket, uint32_t *part, const int64_t *key, size_t first, unsigned bucket_bits,
                        size_t n);
/* node[n] = the longest context known after row n's token, -1 for none; states of the sequences in and out. */
void flm_factor_read(int32_t *node, int32_t *last, int64_t *spelt, const flm_factors *f, const struct flm_ngrams *g,
                     const flm_factor_index *index, const int32_t *id, const uint8_t *starts, const size_t *size,
                     size_t T);
/* As flm_ngram_check, for such tables, `order` being the levels + 1. The contexts stand level by level, each linked to
 * one of the level before. */
int flm_factor_check(const struct flm_ngrams *g, const flm_factor_index *index, size_t *where, size_t context_bits);
/* Sets end (order), see flm_factor_index, from plain arrays; FLM_NGRAM_SOUND, or what keeps them from being packed. */
int flm_factor_levels(size_t *end, const flm_trie *t, size_t *where);
/* The plain arrays of such tables: word, logp (nodes), child (contexts+1), link, backoff (contexts). */
void flm_factor_unpack(int32_t *word, float *logp, int32_t *child, int32_t *link, float *backoff,
                       const struct flm_ngrams *g);
/* key (contexts): the bits that are kept of it, zeros below. */
void flm_factor_unpack_keys(int64_t *key, const struct flm_ngrams *g, const flm_factor_index *index);
/* ngram/top.c: the k likeliest words after each of N contexts of either kind of table, likeliest first, ties to the
 * lower one; k <= V. falling (V): the words, likeliest first by themselves. Cost: the n-grams after the context and its
 * shorter ones; V once for all N, for scratch: seen (V). */
void flm_ngram_top(int32_t *word, float *logp, uint32_t *seen, const struct flm_ngrams *g, const int32_t *falling,
                   const int32_t *node, size_t k, size_t N);
/* Sorts n values by their keys, stably; key < 2^(8*bytes). */
void flm_sort_keys(uint64_t *key, int32_t *value, uint64_t *spare_key, int32_t *spare, size_t n, unsigned bytes);

#endif
