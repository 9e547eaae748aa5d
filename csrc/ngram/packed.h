/* ngram/packed.h: reads the fields of packed n-grams, see flm_ngrams in ngram.h. Tables that were checked need no bounds
 * here. */
#ifndef FLM_PACKED_H
#define FLM_PACKED_H

#include <string.h>

#include "ngram.h"

/* At least 57 bits from bit `at` on; the lowest comes first. The 8 bytes from the byte of that bit are read. */
static inline uint64_t eight_at(const uint8_t *from, size_t at)
{
    uint64_t x;
    memcpy(&x, from + (at >> 3), sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x >> (at & 7);
}

/* `bits` bits, 0 to 57, from bit `at` on. */
static inline uint64_t bits_at(const uint8_t *from, size_t at, unsigned bits)
{
    return eight_at(from, at) & ((UINT64_C(1) << bits) - 1);
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The number of bits that are set. */
static inline uint32_t set_bits(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    return (uint32_t)(((x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f)) * UINT64_C(0x0101010101010101) >> 56);
}

static inline size_t gram_at(const flm_ngrams *g, size_t c) { return (c - g->V) * g->gram_bits; }

/* The word of an n-gram from V on. */
static inline int32_t word_of(const flm_ngrams *g, size_t c)
{
    return (int32_t)bits_at(g->gram, gram_at(g, c), g->word_bits);
}

/* log p of an n-gram from V on, but for what is added where all words follow its context. */
static inline float value_of(const flm_ngrams *g, size_t c)
{
    const uint32_t code = (uint32_t)bits_at(g->gram, gram_at(g, c) + g->word_bits, g->value_bits);
    return g->book ? g->book[code] : float_of(code);
}

/* Where a context's record stands: the block's pair, and the bit where the link begins. */
typedef struct place {
    const uint64_t *block;
    size_t link;
    unsigned delta_bits, bits; /* of its first field, and of a whole record of its block */
    int ends;                  /* whether the next context is of another block */
} place;

static inline place place_of(const flm_ngrams *g, size_t h)
{
    const size_t i = h % FLM_NGRAM_BLOCK;
    const uint64_t *const block = g->block + 2 * (h / FLM_NGRAM_BLOCK);
    const unsigned delta_bits = (unsigned)(block[1] & 63), bits = delta_bits + g->context_bits;
    return (place){block, (size_t)(block[1] >> 6) + i * bits + delta_bits, delta_bits, bits,
                   i + 1 == FLM_NGRAM_BLOCK || h + 1 == g->contexts};
}

/* The children of a context are n-grams [from, to). */
typedef struct children {
    size_t from, to;
} children;

static inline children children_at(const flm_ngrams *g, place p)
{
    const size_t at = p.link - p.delta_bits;
    const size_t from = (size_t)(p.block[0] + bits_at(g->context, at, p.delta_bits));
    if (p.ends) return (children){from, (size_t)p.block[2]};
    return (children){from, (size_t)(p.block[0] + bits_at(g->context, at + p.bits, p.delta_bits))};
}

/* The context of the longest proper suffix, or -1. */
static inline int32_t link_at(const flm_ngrams *g, place p)
{
    return (int32_t)bits_at(g->context, p.link, g->link_bits) - 1;
}

static inline float backoff_at(const flm_ngrams *g, place p)
{
    const uint32_t code = (uint32_t)bits_at(g->context, p.link + g->link_bits, g->backoff_bits);
    if (g->backoff_bits == 32) return float_of(code);
    return (float)((int32_t)code + g->lowest) * (1.0f / FLM_NGRAM_STEPS);
}

static inline uint32_t key_of(const flm_ngrams *g, size_t h)
{
    return (uint32_t)bits_at(g->context, place_of(g, h).link + g->link_bits + g->backoff_bits, g->key_bits);
}

static inline children children_of(const flm_ngrams *g, size_t h) { return children_at(g, place_of(g, h)); }
static inline int32_t link_of(const flm_ngrams *g, size_t h) { return link_at(g, place_of(g, h)); }
static inline float backoff_of(const flm_ngrams *g, size_t h) { return backoff_at(g, place_of(g, h)); }

/* What is added to the log p of a context's children. */
static inline float share_at(const flm_ngrams *g, place p, children c)
{
    return c.to - c.from == g->V ? backoff_at(g, p) : 0;
}

/* The context that n-gram c is, or -1 where nothing has followed it. */
static inline int32_t context_of(const flm_ngrams *g, size_t c)
{
    if (c >= g->inner_nodes) return -1;
    const uint32_t *at = g->inner + 3 * (c / 64);
    const uint64_t bits = at[1] | (uint64_t)at[2] << 32, bit = UINT64_C(1) << c % 64;
    return bits & bit ? (int32_t)(at[0] + set_bits(bits & (bit - 1))) : -1;
}

/* The n-gram among [from, to) that ends in word w, or -1. */
static inline int32_t find_word(const flm_ngrams *g, children c, int32_t w)
{
    const size_t width = g->gram_bits;
    const uint64_t mask = (UINT64_C(1) << g->word_bits) - 1, wanted = (uint64_t)w;
    size_t at = gram_at(g, c.from), n = c.to - c.from;
    if (n == 0) return -1;
    size_t found = c.from;
    while (n > 1) {
        const size_t half = n / 2, middle = at + half * width;
        const int below = (eight_at(g->gram, middle) & mask) <= wanted;
        at = below ? middle : at;
        found = below ? found + half : found;
        n -= half;
    }
    return (eight_at(g->gram, at) & mask) == wanted ? (int32_t)found : -1;
}

/* log p of word w after context h, -1 for none. */
static inline double log_p_of(const flm_ngrams *g, int32_t h, int32_t w)
{
    double sum = 0;
    while (h >= 0) {
        const place p = place_of(g, (size_t)h);
        const children c = children_at(g, p);
        const int32_t found = find_word(g, c, w);
        if (found >= 0) return sum + (double)value_of(g, (size_t)found) + (double)share_at(g, p, c);
        sum += (double)backoff_at(g, p);
        h = link_at(g, p);
    }
    return sum + (double)g->unigram[w];
}

/* The longest context that ends context h followed by word w. */
static inline int32_t next_context(const flm_ngrams *g, int32_t h, int32_t w)
{
    while (h >= 0) {
        const place p = place_of(g, (size_t)h);
        const int32_t c = find_word(g, children_at(g, p), w);
        const int32_t found = c < 0 ? -1 : context_of(g, (size_t)c);
        if (found >= 0) return found;
        h = link_at(g, p);
    }
    return context_of(g, (size_t)w);
}

#endif
