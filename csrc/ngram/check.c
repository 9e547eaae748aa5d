/* ngram/check.c: whether n-grams from a file hang together, so that nothing that reads them looks again. Declared in
 * ngram.h. */
#include <math.h>

#include "ngram/packed.h"
#include "ngram/plain.h"

/* Whether a sum of probabilities is 1, or where sums are of no account a number at all. */
static int is_mass(double sum, int sums) { return sums ? fabs(sum - 1) <= FLM_NGRAM_MASS : isfinite(sum); }

/* Plain arrays ---------------------------------------------------------------------------------------------------- */

static int is_trie(const flm_trie *t)
{
    if ((t->contexts < t->V && t->nodes > t->V) || t->nodes < t->contexts || (size_t)t->child[0] != t->V ||
        (size_t)t->child[t->contexts] != t->nodes)
        return 0;
    for (size_t h = 0; h < t->contexts; h++)
        if (t->child[h + 1] < t->child[h] || (t->child[h + 1] > t->child[h] && (size_t)t->child[h] <= h)) return 0;
    return 1;
}

static int check_words(const flm_trie *t, int sums, size_t *where)
{
    double sum = 0;
    for (size_t v = 0; v < t->V; v++) {
        *where = v;
        if (t->word[v] != (int32_t)v) return FLM_NGRAM_WORD;
        if (t->link[v] != -1) return FLM_NGRAM_LINK;
        sum += exp((double)t->logp[v]);
    }
    *where = t->nodes;
    return is_mass(sum, sums) ? FLM_NGRAM_SOUND : FLM_NGRAM_SUM;
}

int flm_trie_check(const flm_trie *t, int sums, size_t *where)
{
    *where = 0;
    if (!is_trie(t)) return FLM_NGRAM_CHILD;
    const int fault = check_words(t, sums, where);
    if (fault != FLM_NGRAM_SOUND) return fault;
    for (size_t h = 0; h < t->contexts; h++) {
        double seen = 0, unseen = 1;
        for (int32_t c = t->child[h]; c < t->child[h + 1]; c++) {
            const int32_t w = t->word[c];
            double backed_off = 0;
            *where = (size_t)c;
            if (w < 0 || (size_t)w >= t->V || (c > t->child[h] && w <= t->word[c - 1])) return FLM_NGRAM_WORD;
            if (t->link[c] != seek_plain(t, t->link[h], w, &backed_off)) return FLM_NGRAM_LINK;
            seen += exp((double)t->logp[c]);
            unseen -= exp((double)t->logp[t->link[c]] + backed_off);
        }
        *where = h;
        if ((size_t)(t->child[h + 1] - t->child[h]) == t->V) unseen = 0;
        if (!is_mass(seen + (unseen == 0 ? 0 : exp((double)t->backoff[h]) * unseen), sums)) return FLM_NGRAM_SUM;
    }
    return FLM_NGRAM_SOUND;
}

int flm_factor_levels(size_t *end, const flm_trie *t, size_t *where)
{
    int32_t first = -1, last = 0; /* the contexts of the level before are [first, last); -1 before the first */
    size_t levels = 1;
    *where = 0;
    if (t->nodes < t->V || (size_t)t->child[0] != t->V || (size_t)t->child[t->contexts] != t->nodes)
        return FLM_NGRAM_CHILD;
    for (size_t h = 0; h < t->contexts; h++)
        if (t->child[h + 1] < t->child[h]) return FLM_NGRAM_CHILD;
    end[0] = 0;
    for (size_t h = 0; h < t->contexts; h++) {
        *where = h;
        if (t->link[h] >= last && levels < t->order) {
            first = last;
            last = (int32_t)h;
            end[levels++] = h;
        }
        if (t->link[h] < first || t->link[h] >= last || levels >= t->order) return FLM_NGRAM_LINK;
    }
    for (size_t k = levels; k < t->order; k++) end[k] = t->contexts;
    for (size_t c = 0; c < t->nodes; c++) {
        *where = c;
        if (t->word[c] < 0 || (size_t)t->word[c] >= t->V) return FLM_NGRAM_WORD;
    }
    return FLM_NGRAM_SOUND;
}

/* Packed tables ---------------------------------------------------------------------------------------------------- */

/* Whether blocks stand one after another within the bits that there are, and children follow each other from V to the
 * last n-gram. */
static int are_blocks(const flm_ngrams *g, size_t *where, size_t context_bits)
{
    const size_t blocks = (g->contexts + FLM_NGRAM_BLOCK - 1) / FLM_NGRAM_BLOCK;
    size_t bit = 0;
    for (size_t b = 0; b < blocks; b++) {
        const size_t left = g->contexts - b * FLM_NGRAM_BLOCK,
                     records = left < FLM_NGRAM_BLOCK ? left : FLM_NGRAM_BLOCK;
        const unsigned delta_bits = (unsigned)(g->block[2 * b + 1] & 63);
        *where = b * FLM_NGRAM_BLOCK;
        if (g->block[2 * b] > g->nodes || delta_bits > 32 || g->block[2 * b + 1] >> 6 != bit) return 0;
        bit += records * (delta_bits + g->context_bits);
        if (bit > context_bits) return 0;
    }
    *where = g->contexts;
    return g->block[2 * blocks] == g->nodes && g->block[2 * blocks + 1] == (uint64_t)bit << 6;
}

static int are_children(const flm_ngrams *g, size_t *where)
{
    size_t before = g->V;
    for (size_t h = 0; h < g->contexts; h++) {
        const children c = children_of(g, h);
        *where = h;
        if (c.from != before || c.to < c.from || c.to > g->nodes) return 0;
        before = c.to;
    }
    *where = g->contexts;
    return before == g->nodes;
}

/* Whether the bits that are set number the contexts, and each context stands before its children. */
static int are_inner(const flm_ngrams *g, size_t *where)
{
    size_t h = 0;
    for (size_t i = 0; i < g->inner_nodes / 64; i++) {
        uint64_t bits = g->inner[3 * i + 1] | (uint64_t)g->inner[3 * i + 2] << 32;
        *where = 64 * i;
        if (g->inner[3 * i] != h) return 0;
        for (; bits; bits &= bits - 1, h++) {
            const size_t c = 64 * i + (size_t)__builtin_ctzll(bits);
            *where = c;
            if (c >= g->nodes || h >= g->contexts || children_of(g, h).from <= c) return 0;
        }
    }
    *where = g->nodes;
    return h == g->contexts;
}

static int are_unigrams(const flm_ngrams *g, int sums)
{
    double sum = 0;
    for (size_t v = 0; v < g->V; v++) sum += exp((double)g->unigram[v]);
    return is_mass(sum, sums);
}

/* The words after context h, and what their probabilities and those of the others add up to. */
static int are_successors(const flm_ngrams *g, size_t h, int sums, size_t *where)
{
    const children c = children_of(g, h);
    const int32_t shorter = link_of(g, h);
    const double share = (double)share_at(g, place_of(g, h), c);
    double seen = 0, unseen = 1;
    int32_t last = -1;
    for (size_t i = c.from; i < c.to; i++) {
        const int32_t w = word_of(g, i);
        *where = i;
        if (w <= last || (size_t)w >= g->V) return FLM_NGRAM_WORD;
        seen += exp((double)value_of(g, i) + share);
        unseen -= exp(log_p_of(g, shorter, w));
        last = w;
    }
    *where = h;
    if (c.to - c.from < g->V) seen += exp((double)backoff_of(g, h)) * unseen;
    return is_mass(seen, sums) ? FLM_NGRAM_SOUND : FLM_NGRAM_SUM;
}

int flm_ngram_check(const flm_ngrams *g, int sums, size_t *where, size_t context_bits)
{
    if (!are_blocks(g, where, context_bits)) return FLM_NGRAM_BLOCKS;
    if (!are_children(g, where)) return FLM_NGRAM_CHILD;
    if (!are_inner(g, where)) return FLM_NGRAM_INNER;
    *where = g->contexts;
    if (!are_unigrams(g, sums)) return FLM_NGRAM_SUM;
    size_t next = 0; /* the contexts before it have their links checked */
    for (size_t v = 0; v < g->V && next < g->contexts; v++)
        if (context_of(g, v) >= 0) {
            *where = next;
            if (link_of(g, next++) != -1) return FLM_NGRAM_LINK;
        }
    for (size_t h = 0; h < g->contexts; h++) {
        const int fault = are_successors(g, h, sums, where);
        if (fault != FLM_NGRAM_SOUND) return fault;
        const children c = children_of(g, h);
        for (size_t i = c.from; i < c.to; i++)
            if (context_of(g, i) >= 0) {
                *where = next;
                if (link_of(g, next++) != next_context(g, link_of(g, h), word_of(g, i))) return FLM_NGRAM_LINK;
            }
    }
    return FLM_NGRAM_SOUND;
}

/* Whether each context of a level is linked to one of the level before. */
static int is_linked_by_level(const flm_ngrams *g, const flm_factor_index *index, size_t *where)
{
    for (size_t k = 1; k < g->order; k++)
        for (size_t h = index->end[k - 1]; h < index->end[k]; h++) {
            const int32_t link = link_of(g, h);
            *where = h;
            if (k == 1 ? link != -1 : link < (int32_t)index->end[k - 2] || link >= (int32_t)index->end[k - 1]) return 0;
        }
    return 1;
}

/* Whether the buckets of each level share out its contexts, whose keys rise in each. */
static int are_buckets(const flm_ngrams *g, const flm_factor_index *index, size_t *where)
{
    const int32_t *start = index->bucket;
    for (size_t k = 1; k < g->order; k++) {
        const size_t buckets = (size_t)1 << index->bucket_bits[k - 1];
        *where = index->end[k - 1];
        if (start[0] != (int32_t)index->end[k - 1] || start[buckets] != (int32_t)index->end[k]) return 0;
        for (size_t b = 0; b < buckets; b++) {
            if (start[b + 1] < start[b]) return 0;
            for (size_t h = (size_t)start[b] + 1; h < (size_t)start[b + 1]; h++) {
                *where = h;
                if (h >= index->end[k] || key_of(g, h) < key_of(g, h - 1)) return 0;
            }
        }
        start += buckets + 1;
    }
    return 1;
}

int flm_factor_check(const flm_ngrams *g, const flm_factor_index *index, size_t *where, size_t context_bits)
{
    if (!are_blocks(g, where, context_bits)) return FLM_NGRAM_BLOCKS;
    if (!are_children(g, where)) return FLM_NGRAM_CHILD;
    if (!is_linked_by_level(g, index, where)) return FLM_NGRAM_LINK;
    if (!are_buckets(g, index, where)) return FLM_NGRAM_KEY;
    *where = g->contexts;
    if (!are_unigrams(g, 1)) return FLM_NGRAM_SUM;
    for (size_t h = 0; h < g->contexts; h++) {
        const int fault = are_successors(g, h, 1, where);
        if (fault != FLM_NGRAM_SOUND) return fault;
    }
    return FLM_NGRAM_SOUND;
}
