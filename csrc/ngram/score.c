/* ngram/score.c: reads, scores and predicts with a trie of n-grams. Declared in ngram.h. A state is the node of the
 * longest context that the trie holds. Every token read lengthens it by one and every link followed shortens it by one,
 * so that a token costs two searches on average at most, however long the contexts are. */
#include "ngram.h"

#include <math.h>

/* The child of node h for word w, or -1. */
static inline int32_t find(const flm_ngrams *g, size_t h, int32_t w)
{
    const int32_t *at = g->word + g->child[h];
    size_t n = (size_t)(g->child[h + 1] - g->child[h]);
    if (n == 0) return -1;
    while (n > 1) {
        const size_t half = n / 2;
        at = at[half] <= w ? at + half : at;
        n -= half;
    }
    return *at == w ? (int32_t)(at - g->word) : -1;
}

/* The node of the longest n-gram "suffix of context h, w"; *nats gains what backing off to it costs. */
static inline int32_t seek(const flm_ngrams *g, int32_t h, int32_t w, double *nats)
{
    for (; h >= 0; h = g->link[h]) {
        const int32_t c = find(g, (size_t)h, w);
        if (c >= 0) return c;
        *nats -= (double)g->backoff[h];
    }
    return w;
}

/* The longest suffix of an n-gram that something has followed. */
static inline int32_t settle(const flm_ngrams *g, int32_t c)
{
    while (c >= 0 && ((size_t)c >= g->contexts || g->child[c] == g->child[c + 1])) c = g->link[c];
    return c;
}

/* Reads one part of a text, in turns with the readers of the others: what a turn needs was asked for in the turn before
 * it, so that the waits for memory overlap. */
typedef struct reader {
    const int32_t *id, *end;
    double *nats, cost;
    int32_t h;           /* where to look for id[0]: a node, perhaps without children, or -1 */
    const int32_t *from; /* the words of its children, or NULL: not yet known */
    size_t n;
} reader;

static inline void expect(const flm_ngrams *g, int32_t h)
{
    if (h < 0) return;
    __builtin_prefetch(g->link + h);
    if ((size_t)h < g->contexts) {
        __builtin_prefetch(g->child + h);
        __builtin_prefetch(g->backoff + h);
    }
}

static inline void take_turn(reader *l, const flm_ngrams *g)
{
    int32_t c = l->id[0];
    if (l->from) {
        const int32_t *at = l->from;
        for (size_t n = l->n; n > 1;) {
            const size_t half = n / 2;
            at = at[half] <= c ? at + half : at;
            n -= half;
        }
        l->from = NULL;
        if (*at != c) {
            l->cost -= (double)g->backoff[l->h];
            expect(g, l->h = g->link[l->h]);
            return;
        }
        c = (int32_t)(at - g->word);
    } else if (l->h >= 0) {
        const size_t h = (size_t)l->h;
        if (h >= g->contexts || g->child[h] == g->child[h + 1]) {
            expect(g, l->h = g->link[h]);
            return;
        }
        l->from = g->word + g->child[h];
        l->n = (size_t)(g->child[h + 1] - g->child[h]);
        __builtin_prefetch(l->from + l->n / 2);
        return;
    }
    *l->nats++ = l->cost - (double)g->logp[c];
    l->cost = 0;
    l->id++;
    expect(g, l->h = c);
}

#define READERS 8u  /* parts of a text that are read in turns: as many waits for memory overlap */
#define SHORT 1000u /* tokens that are not worth cutting up */

void flm_ngram_score(double *nats, int32_t *state, const flm_ngrams *g, const int32_t *id, size_t n)
{
    const size_t parts = n < SHORT || n < READERS * g->order ? 1 : READERS;
    reader readers[READERS];
    for (size_t p = 0; p < parts; p++) {
        const size_t first = n * p / parts;
        double unused = 0;
        int32_t h = p ? -1 : *state; /* no context is longer than the order - 1 tokens before it */
        for (size_t i = p ? first - (g->order - 1) : first; i < first; i++) h = settle(g, seek(g, h, id[i], &unused));
        readers[p] = (reader){.id = id + first, .end = id + n * (p + 1) / parts, .nats = nats + first, .h = h};
    }
    size_t live = n ? parts : 0;
    while (live)
        for (size_t p = 0; p < live; p++) {
            take_turn(&readers[p], g);
            if (readers[p].id == readers[p].end) {
                if (readers[p].end == id + n) *state = settle(g, readers[p].h);
                readers[p--] = readers[--live];
            }
        }
}

void flm_ngram_read(int32_t *node, int32_t *state, const flm_ngrams *g, const int32_t *id, const uint8_t *starts,
                    const size_t *size, size_t T)
{
    size_t n = 0;
    double unused = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++)
            node[n] = state[s] = settle(g, seek(g, starts && starts[n] ? -1 : state[s], id[n], &unused));
}

void flm_ngram_nats(double *nats, const flm_ngrams *g, const int32_t *node, const int32_t *target, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        double cost = 0;
        nats[n] = target[n] < 0 ? 0 : -(double)g->logp[seek(g, node[n], target[n], &cost)];
        nats[n] += cost;
    }
}

/* Shortest context first: longer ones write over it. Tables that were checked have no longer chains of links. */
static void overwrite(float *out, const flm_ngrams *g, int32_t h)
{
    int32_t path[FLM_NGRAM_LENGTH];
    float weight[FLM_NGRAM_LENGTH], sum = 0;
    size_t m = 0;
    for (; h >= 0 && m < FLM_NGRAM_LENGTH; h = g->link[h]) {
        path[m] = h;
        weight[m++] = sum;
        sum += g->backoff[h];
    }
    while (m-- > 0)
        for (int32_t c = g->child[path[m]]; c < g->child[path[m] + 1]; c++) out[g->word[c]] = g->logp[c] + weight[m];
}

void flm_ngram_log_probabilities(float *out, const flm_ngrams *g, const int32_t *node, size_t N)
{
    const size_t V = g->V;
    for (size_t n = 0; n < N; n++, out += V) {
        float weight = 0;
        for (int32_t h = node[n]; h >= 0; h = g->link[h]) weight += g->backoff[h];
        for (size_t v = 0; v < V; v++) out[v] = g->logp[v] + weight;
        if (node[n] >= 0) overwrite(out, g, node[n]);
    }
}

static int is_ordered(const flm_ngrams *g)
{
    if ((g->contexts < g->V && g->nodes > g->V) || g->nodes < g->contexts || (size_t)g->child[0] != g->V ||
        (size_t)g->child[g->contexts] != g->nodes)
        return 0;
    for (size_t h = 0; h < g->contexts; h++)
        if (g->child[h + 1] < g->child[h] || (g->child[h + 1] > g->child[h] && (size_t)g->child[h] <= h)) return 0;
    return 1;
}

/* Whether a sum of probabilities is 1, or where sums are of no account a number at all. */
static inline int is_mass(double sum, int sums) { return sums ? fabs(sum - 1) <= FLM_NGRAM_MASS : isfinite(sum); }

int flm_ngram_check(const flm_ngrams *g, int sums, size_t *where)
{
    *where = 0;
    if (!is_ordered(g)) return FLM_NGRAM_CHILD;
    double sum = 0;
    for (size_t v = 0; v < g->V; v++) {
        *where = v;
        if (g->word[v] != (int32_t)v) return FLM_NGRAM_WORD;
        if (g->link[v] != -1) return FLM_NGRAM_LINK;
        sum += exp((double)g->logp[v]);
    }
    *where = g->nodes;
    if (!is_mass(sum, sums)) return FLM_NGRAM_SUM;
    for (size_t h = 0; h < g->contexts; h++) {
        const int32_t shorter = g->link[h];
        double seen = 0, unseen = 1;
        for (int32_t c = g->child[h]; c < g->child[h + 1]; c++) {
            const int32_t w = g->word[c], suffix = g->link[c];
            *where = (size_t)c;
            if (w < 0 || (size_t)w >= g->V || (c > g->child[h] && w <= g->word[c - 1])) return FLM_NGRAM_WORD;
            if (shorter < 0 ? suffix != w
                            : suffix < g->child[shorter] || suffix >= g->child[shorter + 1] || g->word[suffix] != w)
                return FLM_NGRAM_LINK;
            seen += exp((double)g->logp[c]);
            unseen -= exp((double)g->logp[suffix]);
        }
        *where = h;
        if (!is_mass(seen + exp((double)g->backoff[h]) * unseen, sums)) return FLM_NGRAM_SUM;
    }
    return FLM_NGRAM_SOUND;
}

/* Whether the contexts stand level by level, each linked to one of the level before, and there are at most order - 1
 * levels: otherwise a chain of links could be as long as there are contexts. */
static int is_in_levels(const flm_ngrams *g, size_t *where)
{
    int32_t first = -1, last = 0; /* the contexts of the level before are [first, last); -1 before the first */
    size_t levels = 1;
    for (size_t h = 0; h < g->contexts; h++) {
        *where = h;
        if (g->link[h] >= last) {
            first = last;
            last = (int32_t)h;
            levels++;
        }
        if (g->link[h] < first || g->link[h] >= last || levels >= g->order) return 0;
    }
    return 1;
}

int flm_factor_check(const flm_ngrams *g, size_t *where)
{
    double sum = 0;
    *where = 0;
    if (g->nodes < g->V || (size_t)g->child[0] != g->V || (size_t)g->child[g->contexts] != g->nodes)
        return FLM_NGRAM_CHILD;
    for (size_t h = 0; h < g->contexts; h++)
        if (g->child[h + 1] < g->child[h]) return FLM_NGRAM_CHILD;
    if (!is_in_levels(g, where)) return FLM_NGRAM_LINK;
    for (size_t v = 0; v < g->V; v++) sum += exp((double)g->logp[v]);
    *where = g->nodes;
    if (!(fabs(sum - 1) <= FLM_NGRAM_MASS)) return FLM_NGRAM_SUM;
    for (size_t h = 0; h < g->contexts; h++) {
        double seen = 0, unseen = 1;
        for (int32_t c = g->child[h]; c < g->child[h + 1]; c++) {
            const int32_t w = g->word[c];
            *where = (size_t)c;
            if (w < 0 || (size_t)w >= g->V || (c > g->child[h] && w <= g->word[c - 1])) return FLM_NGRAM_WORD;
            double cost = 0;
            const int32_t shorter = seek(g, g->link[h], w, &cost);
            seen += exp((double)g->logp[c]);
            unseen -= exp((double)g->logp[shorter] - cost);
        }
        *where = h;
        if (!(fabs(seen + exp((double)g->backoff[h]) * unseen - 1) <= FLM_NGRAM_MASS)) return FLM_NGRAM_SUM;
    }
    return FLM_NGRAM_SOUND;
}
