/* ngram/factor.c: n-grams over factors of the context: tokens at chosen distances, the word being spelt, the words
 * before it. Declared in ngram.h. A context of k factors is known by a 64-bit key that mixes them. */
#include "ngram.h"

#include <string.h>

#include "simd/hash.h"

/* The key of a context with its k-th factor added, k from 0. */
static inline uint64_t lengthen(uint64_t key, const flm_factors *f, const int32_t *last, const int64_t *spelt, size_t k)
{
    const int32_t which = f->factor[k];
    const uint64_t value = which > 0 ? (uint64_t)(int64_t)last[which - 1] + 2 : (uint64_t)spelt[-which];
    return mix64((key ^ value) + (k + 1) * GOLDEN_GAMMA);
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

size_t flm_factor_slots(size_t contexts)
{
    size_t slots = 2;
    while (slots < 2 * contexts) slots *= 2;
    return slots;
}

size_t flm_factor_index(int32_t *slot, size_t slots, const int64_t *context, size_t contexts)
{
    for (size_t s = 0; s < slots; s++) slot[s] = -1;
    for (size_t c = 0; c < contexts; c++) {
        size_t s = (size_t)context[c] & (slots - 1), probes = 1;
        for (; slot[s] >= 0; probes++)
            if (probes == FLM_FACTOR_PROBES) return c;
            else s = (s + 1) & (slots - 1);
        slot[s] = (int32_t)c;
    }
    return contexts;
}

void flm_factor_read(int32_t *node, int32_t *last, int64_t *spelt, const flm_factors *f, const int32_t *slot,
                     size_t slots, const int64_t *context, const int32_t *id, const uint8_t *starts, const size_t *size,
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
            node[n] = -1;
            for (size_t k = 0; k < f->levels; k++) {
                key = lengthen(key, f, tokens, words, k);
                size_t at = (size_t)key & (slots - 1), probes = 1;
                while (slot[at] >= 0 && context[slot[at]] != (int64_t)key && probes++ < FLM_FACTOR_PROBES)
                    at = (at + 1) & (slots - 1);
                if (slot[at] < 0 || context[slot[at]] != (int64_t)key) break;
                node[n] = slot[at];
            }
        }
}
