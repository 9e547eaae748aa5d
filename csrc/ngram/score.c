/* ngram/score.c: reads, scores and predicts with packed n-grams. Declared in ngram.h. A state is the longest context
 * that the tables hold. Every token read lengthens it by one and every link followed shortens it by one, so that a token
 * costs two searches on average at most, however long the contexts are, and one more where nothing has followed the
 * n-gram that was found. */
#include "ngram/packed.h"

/* Reads one part of a text, in turns with the readers of the others: what a turn needs was asked for in the turn before
 * it, so that the waits for memory overlap. */
typedef struct reader {
    const int32_t *id, *end;
    double *nats, cost;
    int32_t h;      /* where to look for id[0]: a context or -1 */
    int looked;     /* whether its children are known */
    int scored;     /* whether p of id[0] is known, and only the context after it is looked for */
    place at;       /* of h */
    children after; /* the children of h */
} reader;

static inline void go_to(reader *l, const flm_ngrams *g, int32_t h)
{
    l->h = h;
    l->looked = 0;
    if (h < 0) return;
    l->at = place_of(g, (size_t)h);
    __builtin_prefetch(g->context + (l->at.link >> 3));
}

static inline void score(reader *l, double log_p)
{
    if (l->scored) return;
    *l->nats++ = l->cost - log_p;
    l->scored = 1;
}

static inline void take_turn(reader *l, const flm_ngrams *g)
{
    const int32_t w = l->id[0];
    int32_t next = -1;
    if (l->h >= 0 && !l->looked) {
        l->after = children_at(g, l->at);
        l->looked = 1;
        __builtin_prefetch(g->gram + (gram_at(g, (l->after.from + l->after.to) / 2) >> 3));
        return;
    }
    if (l->h >= 0) {
        const int32_t c = find_word(g, l->after, w);
        if (c >= 0) {
            score(l, (double)value_of(g, (size_t)c) + (double)share_at(g, l->at, l->after));
            next = context_of(g, (size_t)c);
        } else l->cost -= (double)backoff_at(g, l->at);
        if (next < 0) {
            go_to(l, g, link_at(g, l->at));
            return;
        }
    } else {
        score(l, (double)g->unigram[w]);
        next = context_of(g, (size_t)w);
    }
    l->id++;
    l->cost = 0;
    l->scored = 0;
    go_to(l, g, next);
}

#define READERS 8u  /* parts of a text that are read in turns: as many waits for memory overlap */
#define SHORT 1000u /* tokens that are not worth cutting up */

void flm_ngram_score(double *nats, int32_t *state, const flm_ngrams *g, const int32_t *id, size_t n)
{
    const size_t parts = n < SHORT || n < READERS * g->order ? 1 : READERS;
    reader readers[READERS];
    for (size_t p = 0; p < parts; p++) {
        const size_t first = n * p / parts;
        int32_t h = p ? -1 : *state; /* no context is longer than the order - 1 tokens before it */
        for (size_t i = p ? first - (g->order - 1) : first; i < first; i++) h = next_context(g, h, id[i]);
        readers[p] = (reader){.id = id + first, .end = id + n * (p + 1) / parts, .nats = nats + first};
        go_to(&readers[p], g, h);
    }
    size_t live = n ? parts : 0;
    while (live)
        for (size_t p = 0; p < live; p++) {
            take_turn(&readers[p], g);
            if (readers[p].id == readers[p].end) {
                if (readers[p].end == id + n) *state = readers[p].h;
                readers[p--] = readers[--live];
            }
        }
}

void flm_ngram_read(int32_t *node, int32_t *state, const flm_ngrams *g, const int32_t *id, const uint8_t *starts,
                    const size_t *size, size_t T)
{
    size_t n = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++)
            node[n] = state[s] = next_context(g, starts && starts[n] ? -1 : state[s], id[n]);
}

void flm_ngram_nats(double *nats, const flm_ngrams *g, const int32_t *node, const int32_t *target, size_t N)
{
    for (size_t n = 0; n < N; n++) nats[n] = target[n] < 0 ? 0 : -log_p_of(g, node[n], target[n]);
}

/* Shortest context first: longer ones write over it. Tables that were checked have no longer chains of links. */
static void overwrite(float *out, const flm_ngrams *g, const place *path, const double *weight, size_t m)
{
    const unsigned width = g->gram_bits, word_bits = g->word_bits;
    const uint64_t words = (UINT64_C(1) << word_bits) - 1, values = (UINT64_C(1) << g->value_bits) - 1;
    const float *const book = g->book;
    while (m-- > 0) {
        const children c = children_at(g, path[m]);
        const float more = (float)(weight[m] + (double)share_at(g, path[m], c));
        size_t at = gram_at(g, c.from);
        for (size_t i = c.from; i < c.to; i++, at += width) {
            const uint64_t w = eight_at(g->gram, at) & words;
            const uint32_t code = (uint32_t)(eight_at(g->gram, at + word_bits) & values);
            out[w] = (book ? book[code] : float_of(code)) + more;
        }
    }
}

/* A context and its shorter ones, the longest first: their places, and the sum of the backoffs before each; *sum gains
 * that of all. Returns their number, at most FLM_NGRAM_LENGTH. */
static inline size_t shorten(place *path, double *weight, double *sum, const flm_ngrams *g, int32_t h)
{
    size_t m = 0;
    for (; h >= 0 && m < FLM_NGRAM_LENGTH; h = link_at(g, path[m - 1])) {
        path[m] = place_of(g, (size_t)h);
        weight[m] = *sum;
        *sum += (double)backoff_at(g, path[m++]);
    }
    return m;
}

void flm_ngram_log_probabilities(float *out, const flm_ngrams *g, const int32_t *node, size_t N)
{
    const size_t V = g->V;
    place path[FLM_NGRAM_LENGTH];
    double weight[FLM_NGRAM_LENGTH];
    for (size_t n = 0; n < N; n++, out += V) {
        double sum = 0;
        const size_t m = shorten(path, weight, &sum, g, node[n]);
        const float all = (float)sum;
        for (size_t v = 0; v < V; v++) out[v] = g->unigram[v] + all;
        overwrite(out, g, path, weight, m);
    }
}

void flm_ngram_of_words(float *out, float *base, const flm_ngrams *g, const int32_t *node, const int32_t *target,
                        const int32_t *word, const int32_t *column, size_t S, size_t N)
{
    const unsigned width = g->gram_bits, word_bits = g->word_bits;
    const uint64_t words = (UINT64_C(1) << word_bits) - 1, values = (UINT64_C(1) << g->value_bits) - 1;
    place path[FLM_NGRAM_LENGTH];
    double weight[FLM_NGRAM_LENGTH];
    for (size_t s = 0; s < S; s++) base[s] = g->unigram[word[s]];
    for (size_t n = 0; n < N; n++, out += 1 + S) {
        double sum = 0;
        size_t m = shorten(path, weight, &sum, g, node[n]);
        const float all = (float)sum;
        for (size_t s = 0; s < S; s++) out[1 + s] = base[s] + all;
        while (m-- > 0) { /* the shortest context first: longer ones write over it */
            const children c = children_at(g, path[m]);
            const float more = (float)(weight[m] + (double)share_at(g, path[m], c));
            size_t at = gram_at(g, c.from);
            for (size_t i = c.from; i < c.to; i++, at += width) {
                const int32_t to = column[eight_at(g->gram, at) & words];
                if (to == 0) continue;
                const uint32_t code = (uint32_t)(eight_at(g->gram, at + word_bits) & values);
                out[to] = (g->book ? g->book[code] : float_of(code)) + more;
            }
        }
        out[0] = target[n] < 0 ? 0 : (float)log_p_of(g, node[n], target[n]);
    }
}

size_t flm_ngram_levels(size_t *end, const flm_ngrams *g)
{
    size_t grams = g->V, level = 1; /* n-grams of up to `level` words */
    end[0] = 0;
    for (;; level++) {
        const size_t before = end[level - 1];
        size_t h = before;
        /* Contexts of `level` words are those among the n-grams below `grams`: counted by their set bits. */
        if (grams >= g->inner_nodes) h = g->contexts;
        else {
            const uint32_t *at = g->inner + 3 * (grams / 64);
            h = at[0] + set_bits((at[1] | (uint64_t)at[2] << 32) & ((UINT64_C(1) << grams % 64) - 1));
        }
        if (h == before) break; /* none of the longest n-grams has a child */
        if (level == g->order) return g->order + 1;
        end[level] = h;
        grams = children_of(g, h - 1).to;
    }
    for (size_t k = level; k <= g->order; k++) end[k] = end[level - 1];
    return level;
}

size_t flm_ngram_shorter(const flm_ngrams *g, const size_t *end, size_t words)
{
    return words < 2 ? 0 : children_of(g, end[words - 2]).from;
}

void flm_ngram_describe(int32_t *length, int32_t *followed, float *backoff, const flm_ngrams *g, const size_t *end,
                        const int32_t *node, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        length[n] = 0;
        followed[n] = (int32_t)g->V;
        backoff[n] = 0;
        if (node[n] < 0) continue;
        const children c = children_of(g, (size_t)node[n]);
        while ((size_t)node[n] >= end[length[n]]) length[n]++;
        followed[n] = (int32_t)(c.to - c.from);
        backoff[n] = backoff_of(g, (size_t)node[n]);
    }
}

void flm_ngram_matched(int32_t *order, const flm_ngrams *g, const size_t *end, const int32_t *node,
                       const int32_t *target, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        int32_t h = node[n];
        int32_t words = 0; /* of the context after which the target was found */
        while (h >= 0) {
            const place at = place_of(g, (size_t)h);
            if (find_word(g, children_at(g, at), target[n]) >= 0) break;
            h = link_at(g, at);
        }
        if (h >= 0)
            while ((size_t)h >= end[words]) words++;
        order[n] = words + 1;
    }
}
