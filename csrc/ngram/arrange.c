/* ngram/arrange.c: puts n-grams that come in any order into the order of a trie, and links them. Declared in arpa.h. */
#include "arpa.h"

/* The first of the ascending word[from..to) that is w or more. */
static inline size_t lower_bound(const int32_t *word, size_t from, size_t to, int32_t w)
{
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (word[middle] < w) from = middle + 1;
        else to = middle;
    }
    return from;
}

static inline int32_t child_of(const flm_arpa_trie *g, int32_t h, int32_t w)
{
    if (h < 0) return -1;
    const size_t to = (size_t)g->child[h + 1], at = lower_bound(g->word, (size_t)g->child[h], to, w);
    return at < to && g->word[at] == w ? (int32_t)at : -1;
}

enum { TOGETHER = 16 }; /* rows whose waits for memory overlap */

void flm_arpa_find(int32_t *node, const flm_arpa_trie *g, const int32_t *id, size_t width, size_t k, size_t N)
{
    for (size_t first = 0; first < N; first += TOGETHER) {
        const size_t last = first + TOGETHER < N ? first + TOGETHER : N;
        for (size_t i = first; i < last; i++) {
            node[i] = id[i * width];
            if (k > 1) __builtin_prefetch(g->child + node[i]);
        }
        for (size_t j = 1; j < k; j++) {
            for (size_t i = first; i < last; i++)
                if (node[i] >= 0) {
                    const size_t from = (size_t)g->child[node[i]], to = (size_t)g->child[node[i] + 1];
                    __builtin_prefetch(g->word + from + (to - from) / 2);
                }
            int32_t before = -1;
            for (size_t i = first; i < last; i++) {
                const int32_t h = node[i], w = id[i * width + j];
                if (i > first && h == before && w == id[(i - 1) * width + j]) node[i] = node[i - 1];
                else node[i] = child_of(g, h, w);
                before = h;
                if (j + 1 < k && node[i] >= 0) __builtin_prefetch(g->child + node[i]);
            }
        }
    }
}

static inline int comes_before(const int32_t *word, int32_t a, int32_t b)
{
    return word[a] < word[b] || (word[a] == word[b] && a < b);
}

static void sift(int32_t *order, const int32_t *word, size_t at, size_t n)
{
    const int32_t item = order[at];
    for (size_t next; (next = 2 * at + 1) < n; at = next) {
        if (next + 1 < n && comes_before(word, order[next], order[next + 1])) next++;
        if (!comes_before(word, item, order[next])) break;
        order[at] = order[next];
    }
    order[at] = item;
}

/* Sorts the children of one node by word, then by place; nothing is done to those that are sorted, heaps sort many. */
static void sort_children(int32_t *order, const int32_t *word, size_t n)
{
    size_t sorted = 1;
    while (sorted < n && comes_before(word, order[sorted - 1], order[sorted])) sorted++;
    if (sorted >= n) return;
    if (n <= 32) {
        for (size_t i = sorted; i < n; i++) {
            const int32_t item = order[i];
            size_t at = i;
            for (; at > 0 && comes_before(word, item, order[at - 1]); at--) order[at] = order[at - 1];
            order[at] = item;
        }
        return;
    }
    for (size_t at = n / 2; at-- > 0;) sift(order, word, at, n);
    for (size_t end = n - 1; end > 0; end--) {
        const int32_t largest = order[0];
        order[0] = order[end];
        order[end] = largest;
        sift(order, word, 0, end);
    }
}

size_t flm_arpa_arrange(int32_t *order, int32_t *child, const int32_t *parent, const int32_t *word, size_t above,
                        size_t first, size_t n)
{
    for (size_t h = above; h <= first; h++) child[h] = 0;
    for (size_t i = 0; i < n; i++) child[parent[i]]++;
    size_t sum = 0;
    for (size_t h = above; h <= first; h++) { /* where the next child of h goes */
        const size_t count = (size_t)child[h];
        child[h] = (int32_t)sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++) order[child[parent[i]]++] = (int32_t)i;
    for (size_t h = first; h > above; h--) child[h] = child[h - 1];
    child[above] = 0;
    for (size_t h = above; h < first; h++) {
        const size_t from = (size_t)child[h], to = (size_t)child[h + 1];
        if (to - from < 2) continue;
        sort_children(order + from, word, to - from);
        for (size_t j = from + 1; j < to; j++)
            if (word[order[j]] == word[order[j - 1]]) return (size_t)order[j];
    }
    for (size_t h = above; h <= first; h++) child[h] += (int32_t)first;
    return n;
}

size_t flm_arpa_links(int32_t *link, const flm_arpa_trie *g, size_t above, size_t first)
{
    size_t missing = 0;
    for (size_t h = above; h < first; h++) {
        const int32_t shorter = g->link[h];
        size_t at = shorter < 0 ? 0 : (size_t)g->child[shorter];
        const size_t to = shorter < 0 ? 0 : (size_t)g->child[shorter + 1];
        for (size_t c = (size_t)g->child[h]; c < (size_t)g->child[h + 1]; c++) {
            const int32_t w = g->word[c];
            if (shorter < 0) {
                link[c] = w;
                continue;
            }
            at = lower_bound(g->word, at, to, w);
            const int there = at < to && g->word[at] == w;
            link[c] = there ? (int32_t)at : -1;
            missing += !there;
        }
    }
    return missing;
}
