/* ngram/left_out.c: what a trie of n-grams would have said about its own text, had it not seen the token in question.
 * Declared in ngram.h. */
#include "ngram.h"

#include "simd/log.h"

/* Words: up to so many in the vocabulary, a row of all of them is cheaper than what follows each context. */
enum { DENSE_ROW = 1024 };

/* One context of a row, its target left out. */
typedef struct without {
    int32_t context, target; /* nodes; context -1 stands for no context at all */
    double total, mass;      /* S and the sum of the discounts */
    double own;              /* (a - D(a)) / S of the target */
} without;

static inline const double *discount_of(const flm_ngram_counts *n, size_t words)
{
    return n->discount + 4 * (words - 1);
}

static inline double discounted(int32_t a, const double *discount) { return a > 0 ? a - discount[a < 3 ? a : 3] : 0; }

/* path[0] is the longest context, path[m] none; returns m, or FLM_NGRAM_NEVER where the target never followed. */
static size_t leave_out(without *path, const flm_trie *g, const flm_ngram_counts *n, int32_t node, int32_t target)
{
    size_t m = 0;
    for (int32_t h = node; h >= 0 && m < FLM_NGRAM_LENGTH; h = g->link[h]) path[m++].context = h;
    path[m].context = -1;
    int32_t c = target;
    if (m > 0) {
        size_t from = (size_t)g->child[node], to = (size_t)g->child[node + 1];
        while (from < to) {
            const size_t middle = (from + to) / 2;
            if (g->word[middle] < target) from = middle + 1;
            else to = middle;
        }
        if (from >= (size_t)g->child[node + 1] || g->word[from] != target) return FLM_NGRAM_NEVER;
        c = (int32_t)from;
    }
    int32_t gone = 1; /* what the n-gram loses: it vanishes with its last, and is then missed below */
    for (size_t i = 0; i <= m; i++, c = g->link[c]) {
        const double *d = discount_of(n, m + 1 - i);
        const size_t h = path[i].context < 0 ? g->contexts : (size_t)path[i].context;
        const int32_t a = n->count[c] - gone;
        if (a < 0) return FLM_NGRAM_NEVER;
        path[i].target = c;
        path[i].total = n->total[h] - gone;
        path[i].mass = gone ? n->mass[h] - d[a + 1 < 3 ? a + 1 : 3] + d[a < 3 ? a : 3] : n->mass[h];
        path[i].own = path[i].total > 0 ? discounted(a, d) / path[i].total : 0;
        gone = gone && a == 0;
    }
    return m;
}

static inline double gamma_of(const without *at) { return at->total > 0 ? at->mass / at->total : 1; }

/* Out of no context: (a(v) - D(a(v)) + mass / V) / S, with the target's a one less where it is left out here too. */
static inline double unigram(const flm_trie *g, const flm_ngram_counts *n, const without *root, int32_t v)
{
    const double uniform = gamma_of(root) / (double)g->V;
    if (v == root->target || !(root->total > 0)) return (v == root->target ? root->own : 0) + uniform;
    return discounted(n->count[v], n->discount) / root->total + uniform;
}

static double nats_of(const flm_trie *g, const flm_ngram_counts *n, const without *path, size_t m)
{
    double p = unigram(g, n, &path[m], path[m].target);
    for (size_t i = m; i-- > 0;) p = path[i].own + gamma_of(&path[i]) * p;
    return -log_of(p);
}

/* Of few words: all of p for ever longer contexts, and its logarithms once. */
static void dense_row_of(float *out, double *p, const flm_trie *g, const flm_ngram_counts *n, const without *path,
                         size_t m)
{
    const size_t V = g->V;
    for (size_t v = 0; v < V; v++) p[v] = unigram(g, n, &path[m], (int32_t)v);
    for (size_t i = m; i-- > 0;) {
        const size_t from = (size_t)g->child[path[i].context], to = (size_t)g->child[path[i].context + 1];
        const double gamma = gamma_of(&path[i]), *d = discount_of(n, m + 1 - i);
        for (size_t v = 0; v < V; v++) p[v] *= gamma;
        for (size_t c = from; c < to; c++)
            p[g->word[c]] += (int32_t)c == path[i].target ? path[i].own : discounted(n->count[c], d) / path[i].total;
    }
    for (size_t v = 0; v < V; v++) out[v] = (float)log_of(p[v]);
}

static void row_of(float *out, double *here, double *below, const flm_trie *g, const flm_ngram_counts *n,
                   const without *path, size_t m)
{
    const size_t V = g->V;
    double weight = 0;
    for (size_t i = 0; i < m; i++) weight += log_of(gamma_of(&path[i]));
    if (path[m].total < n->total[g->contexts])
        for (size_t v = 0; v < V; v++) out[v] = (float)(log_of(unigram(g, n, &path[m], (int32_t)v)) + weight);
    else
        for (size_t v = 0; v < V; v++) out[v] = (float)((double)g->logp[v] + weight);
    for (size_t i = m; i-- > 0;) {
        const size_t h = (size_t)path[i].context, from = (size_t)g->child[h], to = (size_t)g->child[h + 1];
        const size_t under = path[i + 1].context < 0 ? 0 : (size_t)g->child[path[i + 1].context];
        const double gamma = gamma_of(&path[i]), *d = discount_of(n, m + 1 - i);
        weight -= log_of(gamma);
        for (size_t c = from; c < to; c++) {
            const double shorter = i + 1 == m ? unigram(g, n, &path[m], g->word[c]) : below[(size_t)g->link[c] - under];
            const double own = (int32_t)c == path[i].target ? path[i].own : discounted(n->count[c], d) / path[i].total;
            here[c - from] = own + gamma * shorter;
            out[g->word[c]] = (float)(log_of(here[c - from]) + weight);
        }
        double *const swap = here;
        here = below, below = swap;
    }
}

size_t flm_ngram_left_out(double *nats, float *out, double *scratch, const flm_trie *g, const flm_ngram_counts *n,
                          const int32_t *node, const int32_t *target, size_t N)
{
    without path[FLM_NGRAM_LENGTH + 1];
    for (size_t i = 0; i < N; i++) {
        nats[i] = 0;
        if (target[i] < 0) continue;
        const size_t m = leave_out(path, g, n, node[i], target[i]);
        if (m == FLM_NGRAM_NEVER) return i;
        nats[i] = nats_of(g, n, path, m);
        if (out && g->V <= DENSE_ROW) dense_row_of(out + i * g->V, scratch, g, n, path, m);
        else if (out) row_of(out + i * g->V, scratch, scratch + g->V, g, n, path, m);
    }
    return N;
}
