/* ngram/pack.c: from plain arrays of n-grams to packed ones, and back. Declared in ngram.h. Probabilities become places
 * in a code book (Federico & Bertoldi 2006, "How many bits are needed to store probabilities for phrase-based
 * translation?"); backoffs are computed anew from these, so that probabilities still sum to one. */
#include "ngram/packed.h"
#include "ngram/plain.h"
#include "simd/log.h"

/* What is quantised, as packed so far. */
typedef struct quantiser {
    const flm_trie *t;
    const float *book, *backoff;
    const double *p;
    uint16_t *code;
    size_t size;
} quantiser;

/* p of word w after context h, whose words have their codes; suffix: the n-gram of both, where it is known, or -1. */
static double packed_p(const quantiser *q, int32_t h, int32_t w, int32_t suffix)
{
    const flm_trie *t = q->t;
    double sum = 0;
    if (h >= 0 && (size_t)h < t->contexts && suffix >= t->child[h] && suffix < t->child[h + 1] &&
        (size_t)(t->child[h + 1] - t->child[h]) < t->V)
        return q->p[q->code[suffix]];
    for (; h >= 0 && (size_t)h < t->contexts; h = t->link[h]) {
        const int32_t c = find_plain(t, h, w);
        if (c >= 0) {
            if ((size_t)(t->child[h + 1] - t->child[h]) == t->V) sum += (double)q->backoff[h];
            return sum == 0 ? q->p[q->code[c]] : q->p[q->code[c]] * exp_of(sum);
        }
        sum += (double)q->backoff[h];
    }
    return exp_of(sum + (double)t->logp[w]);
}

static uint16_t nearest(const quantiser *q, float x)
{
    size_t at = 0, n = q->size;
    while (n > 1) {
        const size_t half = n / 2;
        at = q->book[at + half] <= x ? at + half : at;
        n -= half;
    }
    if (at + 1 < q->size && q->book[at + 1] - x < x - q->book[at]) at++;
    return (uint16_t)at;
}

/* Moves codes by a place while that brings their sum nearer to what it lacks; returns what it still lacks. */
static double adjust(const quantiser *q, size_t from, size_t to, double lacks)
{
    for (size_t c = from; c < to; c++) {
        uint16_t *const code = q->code + c;
        if (lacks > 0 ? (size_t)*code + 1 == q->size : *code == 0) continue;
        const uint16_t moved = (uint16_t)(lacks > 0 ? *code + 1 : *code - 1);
        const double after = lacks - (q->p[moved] - q->p[*code]);
        if ((after < 0 ? -after : after) >= (lacks < 0 ? -lacks : lacks)) continue;
        *code = moved;
        lacks = after;
    }
    return lacks;
}

/* Lowers codes by as little as it takes until the sum lacks at least `least`. */
static double lower(const quantiser *q, size_t from, size_t to, double lacks, double least)
{
    while (lacks < least) {
        size_t best = to;
        double step = 0;
        for (size_t c = from; c < to; c++) {
            if (q->code[c] == 0) continue;
            const double d = q->p[q->code[c]] - q->p[q->code[c] - 1];
            const int enough = lacks + d >= least, is_enough = lacks + step >= least;
            if (best == to || (enough != is_enough ? enough : enough ? d < step : d > step)) {
                best = c;
                step = d;
            }
        }
        if (best == to) break;
        q->code[best]--;
        lacks += step;
    }
    return lacks;
}

#define LEAST_SHARE 1e-12 /* of the probability: what has less is taken for nothing */
#define LARGEST 24.0      /* nats of a backoff: less than 4e-11 is left or, of something so rare, never asked for */

static float in_steps(double nats)
{
    const double x = (nats < -LARGEST ? -LARGEST : nats > LARGEST ? LARGEST : nats) * FLM_NGRAM_STEPS + 0.5;
    const int32_t down = (int32_t)x;
    return (float)(down > x ? down - 1 : down) * (1.0f / FLM_NGRAM_STEPS);
}

void flm_ngram_quantise(uint16_t *code, float *backoff, const flm_trie *t, const float *book, const double *p,
                        const int32_t *suffix, size_t size, size_t first, size_t last)
{
    const quantiser q = {t, book, backoff, p, code, size};
    for (size_t h = first; h < last; h++) {
        const size_t from = (size_t)t->child[h], to = (size_t)t->child[h + 1];
        double seen = 0, below = 1;
        for (size_t c = from; c < to; c++) {
            code[c] = nearest(&q, t->logp[c]);
            seen += p[code[c]];
            below -= packed_p(&q, t->link[h], t->word[c], suffix ? suffix[c] : -1);
        }
        const int all = to - from == t->V;
        if (below < LEAST_SHARE || all) below = 0;
        const double left = exp_of((double)t->backoff[h]) * below; /* to other words, exactly */
        double lacks = adjust(&q, from, to, 1 - left - seen);
        lacks = adjust(&q, from, to, lacks);
        if (!all && to > from) lacks = lower(&q, from, to, lacks, LEAST_SHARE - left / 2);
        if (to == from) backoff[h] = 0;
        else if (all) backoff[h] = in_steps(-log_of(1 - lacks));
        else if (below > 0) backoff[h] = in_steps(log_of((left + lacks) / below));
        else backoff[h] = in_steps((double)t->backoff[h]);
    }
}

size_t flm_ngram_rank(uint32_t *inner, const int32_t *child, size_t contexts, size_t words)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t bits = 0;
        for (size_t c = 64 * i; c < 64 * i + 64 && c < contexts; c++)
            bits |= (uint64_t)(child[c] < child[c + 1]) << c % 64;
        inner[3 * i] = rank;
        inner[3 * i + 1] = (uint32_t)bits;
        inner[3 * i + 2] = (uint32_t)(bits >> 32);
        rank += set_bits(bits);
    }
    return rank;
}

void flm_ngram_contexts(int32_t *first, int32_t *link, float *backoff, const flm_trie *t, const uint32_t *inner,
                        size_t words)
{
    const flm_ngrams ranks = {.inner = inner, .inner_nodes = 64 * words};
    size_t h = 0;
    for (size_t c = 0; c < t->contexts; c++) {
        if (t->child[c] == t->child[c + 1]) continue;
        int32_t suffix = t->link[c];
        while (suffix >= 0 && context_of(&ranks, (size_t)suffix) < 0) suffix = t->link[suffix];
        first[h] = t->child[c];
        link[h] = suffix < 0 ? -1 : context_of(&ranks, (size_t)suffix);
        backoff[h++] = t->backoff[c];
    }
}

static unsigned bits_of(uint64_t x) { return x ? 64 - (unsigned)__builtin_clzll(x) : 0; }

size_t flm_ngram_blocks(uint64_t *block, const int32_t *first, size_t contexts, size_t nodes, unsigned fixed_bits)
{
    size_t bit = 0, b = 0;
    for (size_t h = 0; h < contexts; h += FLM_NGRAM_BLOCK, b++) {
        const size_t last = h + FLM_NGRAM_BLOCK < contexts ? h + FLM_NGRAM_BLOCK : contexts;
        const unsigned delta_bits = bits_of((uint64_t)(first[last - 1] - first[h]));
        block[2 * b] = (uint64_t)first[h];
        block[2 * b + 1] = (uint64_t)bit << 6 | delta_bits;
        bit += (last - h) * (delta_bits + fixed_bits);
    }
    block[2 * b] = nodes;
    block[2 * b + 1] = (uint64_t)bit << 6;
    return bit;
}

/* Writes `bits` bits, 0 to 32, into zeros; returns the bit after them. */
static size_t put(uint8_t *to, size_t at, uint32_t value, unsigned bits)
{
    uint64_t x, more = (uint64_t)value << (at & 7);
    memcpy(&x, to + (at >> 3), sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    more = __builtin_bswap64(more);
#endif
    x |= more;
    memcpy(to + (at >> 3), &x, sizeof x);
    return at + bits;
}

void flm_ngram_pack_contexts(uint8_t *context, const uint64_t *block, const int32_t *first, const int32_t *link,
                             const uint32_t *backoff, const uint32_t *key, unsigned link_bits, unsigned backoff_bits,
                             unsigned key_bits, size_t contexts)
{
    size_t at = 0;
    for (size_t h = 0; h < contexts; h++) {
        const uint64_t *const of = block + 2 * (h / FLM_NGRAM_BLOCK);
        at = put(context, at, (uint32_t)((uint64_t)first[h] - of[0]), (unsigned)(of[1] & 63));
        at = put(context, at, (uint32_t)(link[h] + 1), link_bits);
        at = put(context, at, backoff[h], backoff_bits);
        if (key) at = put(context, at, key[h], key_bits);
    }
}

void flm_ngram_pack_grams(uint8_t *gram, const int32_t *word, const uint16_t *code, const float *logp,
                          unsigned word_bits, unsigned value_bits, size_t n)
{
    size_t at = 0;
    for (size_t c = 0; c < n; c++) {
        uint32_t value;
        if (code) value = code[c];
        else memcpy(&value, logp + c, sizeof value);
        at = put(gram, at, (uint32_t)word[c], word_bits);
        at = put(gram, at, value, value_bits);
    }
}

void flm_ngram_unpack(int32_t *word, int32_t *link, int32_t *child, float *logp, float *backoff, const flm_ngrams *g,
                      size_t contexts)
{
    size_t next = g->V;
    for (size_t v = 0; v < g->V; v++) {
        word[v] = (int32_t)v;
        link[v] = -1;
        logp[v] = g->unigram[v];
    }
    for (size_t c = 0; c < contexts; c++) {
        const int32_t h = context_of(g, c);
        child[c] = (int32_t)next;
        backoff[c] = 0;
        if (h < 0) continue;
        const children of = children_of(g, (size_t)h);
        const float share = share_at(g, place_of(g, (size_t)h), of);
        if (of.to - of.from < g->V) backoff[c] = backoff_of(g, (size_t)h);
        for (size_t i = of.from; i < of.to; i++) {
            word[i] = word_of(g, i);
            logp[i] = value_of(g, i) + share;
            link[i] = word[i];
            for (int32_t s = link_of(g, (size_t)h); s >= 0; s = link_of(g, (size_t)s)) {
                const int32_t suffix = find_word(g, children_of(g, (size_t)s), word[i]);
                if (suffix < 0) continue;
                link[i] = suffix;
                break;
            }
        }
        next = of.to;
    }
    child[contexts] = (int32_t)next;
}
