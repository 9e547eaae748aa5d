/* ngram/factor.c: n-grams over factors of the context: tokens at chosen distances, the word being spelt, the words
 * before it. Declared in ngram.h. A context of k factors is known by a 64-bit key that mixes them. */
#include "ngram/packed.h"

#include "simd/hash.h"

#define VALUE_SALT UINT64_C(0x5851f42d4c957f2d) /* keeps the mixed values of factors apart from keys; any odd number */

/* The key of a context with its k-th factor added, k from 0. */
static inline uint64_t lengthen(uint64_t key, const flm_factors *f, const int32_t *last, const int64_t *spelt, size_t k)
{
    const int32_t which = f->factor[k];
    const uint64_t value = which > 0 ? (uint64_t)(int64_t)last[which - 1] + 2 : (uint64_t)spelt[-which];
    return mix64((key ^ (f->keys == 1 ? value : mix64(value ^ VALUE_SALT))) + (k + 1) * GOLDEN_GAMMA);
}

static inline void forget(const flm_factors *f, int32_t *last, int64_t *spelt)
{
    for (size_t k = 0; k < f->reach; k++) last[k] = -1;
    memset(spelt, 0, FLM_SPELT * sizeof *spelt);
}

static inline void read_on(const flm_factors *f, int32_t *last, int64_t *spelt, int32_t token)
{
    for (size_t k = f->reach; k-- > 1;) last[k] = last[k - 1];
    if (f->reach) last[0] = token;
    const int32_t letter = f->letter ? f->letter[token] : 0;
    if (letter <= 0 && spelt[0] != 0) {
        memmove(spelt + 1, spelt, (FLM_SPELT - 1) * sizeof *spelt);
        spelt[0] = 0;
    }
    const uint64_t added = (uint64_t)(letter < 0 ? -(int64_t)letter : letter);
    if (letter != 0) spelt[0] = (int64_t)mix64((uint64_t)spelt[0] + added * GOLDEN_GAMMA);
}

void flm_factor_keys(uint64_t *key, int32_t *last, int64_t *spelt, const flm_factors *f, const int32_t *id,
                     const uint8_t *starts, size_t level, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (starts[i]) forget(f, last, spelt);
        key[i] = 0;
        for (size_t k = 0; k < level; k++) key[i] = lengthen(key[i], f, last, spelt, k);
        read_on(f, last, spelt, id[i]);
    }
}

void flm_factor_sort(int32_t *item, uint64_t *sorted, int32_t *spare, uint64_t *spare_key, size_t *begin,
                     const uint64_t *key, const int32_t *position, const int32_t *id, size_t m, size_t V)
{
    memset(begin, 0, (V + 1) * sizeof *begin);
    for (size_t i = 0; i < m; i++) begin[(size_t)id[position[i]] + 1]++;
    for (size_t v = 0; v < V; v++) begin[v + 1] += begin[v];
    for (size_t i = 0; i < m; i++) item[begin[id[position[i]]]++] = (int32_t)i;
    for (size_t r = 0; r < m; r++) sorted[r] = key[position[item[r]]];
    flm_sort_keys(sorted, item, spare_key, spare, m, 8);
}

size_t flm_factor_number(int32_t *word, int32_t *count, int32_t *from, int32_t *context_of, int32_t *shorter,
                         int64_t *context, int32_t *child, int32_t *link, size_t *contexts, const int32_t *above,
                         const int32_t *item, const uint64_t *sorted, const int32_t *position, const int32_t *id,
                         size_t m)
{
    size_t grams = 0, c = 0;
    for (size_t r = 0; r < m; r++) {
        const int32_t at = position[item[r]], w = id[at];
        const int fresh = r == 0 || sorted[r] != sorted[r - 1];
        if (fresh) {
            context[c] = (int64_t)sorted[r];
            child[c++] = (int32_t)grams;
        }
        if (fresh || w != word[grams - 1]) {
            word[grams] = w;
            count[grams] = 0;
            from[grams] = at;
            context_of[grams++] = (int32_t)(c - 1);
        }
        count[grams - 1]++;
        shorter[item[r]] = (int32_t)(grams - 1);
        if (above) link[above[item[r]]] = (int32_t)(c - 1);
    }
    *contexts = c;
    return grams;
}

unsigned flm_factor_bucket_bits(size_t n)
{
    unsigned bits = 0;
    while (bits < FLM_FACTOR_BUCKET_BITS && n >> bits >= 2 * FLM_FACTOR_BUCKET) bits++;
    return bits;
}

/* The number that the `bits` bits of a key after the first `skipped` make. */
static inline uint64_t part_of(uint64_t key, unsigned skipped, unsigned bits)
{
    return bits ? key << skipped >> (64 - bits) : 0;
}

void flm_factor_buckets(int32_t *bucket, uint32_t *part, const int64_t *key, size_t first, unsigned bucket_bits,
                        size_t n)
{
    size_t b = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t mine = part_of((uint64_t)key[i], 0, bucket_bits);
        while (b <= mine) bucket[b++] = (int32_t)(first + i);
        part[i] = (uint32_t)part_of((uint64_t)key[i], bucket_bits, FLM_FACTOR_KEY);
    }
    while (b <= (size_t)1 << bucket_bits) bucket[b++] = (int32_t)(first + n);
}

/* The context of a level that has a key, or -1; start: of the level's buckets. */
static inline int32_t find_key(const flm_ngrams *g, const int32_t *start, unsigned bucket_bits, uint64_t key)
{
    const int32_t *const bucket = start + part_of(key, 0, bucket_bits);
    const uint32_t part = (uint32_t)part_of(key, bucket_bits, FLM_FACTOR_KEY);
    size_t at = (size_t)bucket[0], n = (size_t)bucket[1] - at;
    if (n == 0) return -1;
    while (n > 1) {
        const size_t half = n / 2;
        at = key_of(g, at + half) <= part ? at + half : at;
        n -= half;
    }
    return key_of(g, at) == part ? (int32_t)at : -1;
}

void flm_factor_read(int32_t *node, int32_t *last, int64_t *spelt, const flm_factors *f, const flm_ngrams *g,
                     const flm_factor_index *index, const int32_t *id, const uint8_t *starts, const size_t *size,
                     size_t T)
{
    size_t n = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            int32_t *const tokens = last + s * f->reach;
            int64_t *const words = spelt + s * FLM_SPELT;
            if (starts && starts[n]) forget(f, tokens, words);
            read_on(f, tokens, words, id[n]);
            uint64_t key = 0;
            const int32_t *start = index->bucket;
            node[n] = -1;
            for (size_t k = 0; k < f->levels; k++) {
                key = lengthen(key, f, tokens, words, k);
                const int32_t found = find_key(g, start, index->bucket_bits[k], key);
                if (found < 0) break;
                node[n] = found;
                start += ((size_t)1 << index->bucket_bits[k]) + 1;
            }
        }
}

void flm_factor_unpack(int32_t *word, float *logp, int32_t *child, int32_t *link, float *backoff, const flm_ngrams *g)
{
    for (size_t v = 0; v < g->V; v++) {
        word[v] = (int32_t)v;
        logp[v] = g->unigram[v];
    }
    for (size_t h = 0; h < g->contexts; h++) {
        const children of = children_of(g, h);
        const float share = share_at(g, place_of(g, h), of);
        child[h] = (int32_t)of.from;
        link[h] = link_of(g, h);
        backoff[h] = of.to - of.from < g->V ? backoff_of(g, h) : 0;
        for (size_t c = of.from; c < of.to; c++) {
            word[c] = word_of(g, c);
            logp[c] = value_of(g, c) + share;
        }
    }
    child[g->contexts] = (int32_t)g->nodes;
}

void flm_factor_unpack_keys(int64_t *key, const flm_ngrams *g, const flm_factor_index *index)
{
    const int32_t *start = index->bucket;
    for (size_t k = 0; k + 1 < g->order; k++) {
        const unsigned bits = index->bucket_bits[k];
        for (size_t b = 0; b < (size_t)1 << bits; b++)
            for (int32_t h = start[b]; h < start[b + 1]; h++) {
                const uint64_t high = bits ? (uint64_t)b << (64 - bits) : 0;
                key[h] = (int64_t)(high | (uint64_t)key_of(g, (size_t)h) << (64 - FLM_FACTOR_KEY) >> bits);
            }
        start += ((size_t)1 << bits) + 1;
    }
}
