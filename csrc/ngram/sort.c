/* ngram/sort.c: every n-gram of a text in lexicographic order, which is the order of a trie's nodes. Declared in
 * ngram.h. Tokens are packed into 64-bit keys, as many as fit, and sorted by radix; only n-grams that agree in all of
 * them are looked at again, by the tokens after those. */
#include "ngram.h"

#include <string.h>

#define INSERTION_SORTED 40u /* fewer keys than these are sorted by insertion, which is faster than by radix */

void flm_ngram_spans(uint8_t *span, const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t n)
{
    size_t length = 0;
    for (size_t i = n; i-- > 0;) {
        length = i + 1 == n || starts[i + 1] ? 1 : id[i + 1] == boundary ? 2 : length + 1;
        if (length > order) length = order;
        span[i] = (uint8_t)(length | (starts[i] || id[i] == boundary ? FLM_NGRAM_BEGINS : 0));
    }
}

void flm_ngram_group(int32_t *position, size_t *begin, const int32_t *id, size_t n, size_t V)
{
    memset(begin, 0, (V + 1) * sizeof *begin);
    for (size_t i = 0; i < n; i++) begin[(size_t)id[i] + 1]++;
    for (size_t v = 0; v < V; v++) begin[v + 1] += begin[v];
    for (size_t i = 0; i < n; i++) position[begin[id[i]]++] = (int32_t)i;
    for (size_t v = V; v > 0; v--) begin[v] = begin[v - 1];
    begin[0] = 0;
}

void flm_ngram_cuts(size_t *cut, const size_t *begin, size_t V, size_t tasks)
{
    size_t v = 0;
    for (size_t t = 0; t < tasks; t++) {
        while (begin[v] < begin[V] * t / tasks) v++;
        cut[t] = v;
    }
    cut[tasks] = V;
}

size_t flm_ngram_largest_group(const size_t *begin, size_t first, size_t last)
{
    size_t most = 0;
    for (size_t v = first; v < last; v++)
        if (begin[v + 1] - begin[v] > most) most = begin[v + 1] - begin[v];
    return most;
}

typedef struct sorter {
    const int32_t *id;
    const uint8_t *span;
    uint64_t *key, *spare_key;
    int32_t *spare;
    size_t order;
    unsigned bits; /* of a token, 0 for none */
} sorter;

static inline uint64_t key_of(const sorter *s, size_t at, size_t depth, size_t tokens)
{
    const size_t length = s->span[at] & FLM_NGRAM_LENGTH;
    uint64_t key = 0;
    for (size_t j = depth; j < depth + tokens; j++)
        key = key << s->bits | (j < length ? (uint64_t)s->id[at + j] + 1 : 0);
    return key;
}

static void sort_few(uint64_t *key, int32_t *position, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const uint64_t k = key[i];
        const int32_t p = position[i];
        size_t j = i;
        for (; j > 0 && key[j - 1] > k; j--) {
            key[j] = key[j - 1];
            position[j] = position[j - 1];
        }
        key[j] = k;
        position[j] = p;
    }
}

/* Least significant byte first; a byte that all keys share is passed over. */
static void sort_many(const sorter *s, uint64_t *key, int32_t *position, size_t n, unsigned bytes)
{
    size_t count[8][256];
    uint64_t *from = key, *to = s->spare_key;
    int32_t *from_position = position, *to_position = s->spare;
    memset(count, 0, bytes * sizeof *count);
    for (size_t i = 0; i < n; i++)
        for (unsigned b = 0; b < bytes; b++) count[b][key[i] >> (8 * b) & 255]++;
    for (unsigned b = 0; b < bytes; b++) {
        size_t *at = count[b], sum = 0;
        if (at[key[0] >> (8 * b) & 255] == n) continue;
        for (size_t d = 0; d < 256; d++) {
            const size_t here = at[d];
            at[d] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++) {
            const size_t place = at[from[i] >> (8 * b) & 255]++;
            to[place] = from[i];
            to_position[place] = from_position[i];
        }
        uint64_t *const keys = from;
        int32_t *const positions = from_position;
        from = to, to = keys;
        from_position = to_position, to_position = positions;
    }
    if (from != key) {
        memcpy(key, from, n * sizeof *key);
        memcpy(position, from_position, n * sizeof *position);
    }
}

void flm_sort_keys(uint64_t *key, int32_t *value, uint64_t *spare_key, int32_t *spare, size_t n, unsigned bytes)
{
    const sorter s = {.spare_key = spare_key, .spare = spare};
    if (n < INSERTION_SORTED) sort_few(key, value, n);
    else sort_many(&s, key, value, n, bytes);
}

/* Sorts n-grams that share their first `depth` tokens; shared[0] is the caller's. */
static void sort_from(const sorter *s, int32_t *position, uint8_t *shared, uint64_t *key, size_t n, size_t depth)
{
    const size_t left = s->order - depth, fit = 64 / s->bits, tokens = left < fit ? left : fit;
    for (size_t i = 0; i < n; i++) key[i] = key_of(s, (size_t)position[i], depth, tokens);
    if (n < INSERTION_SORTED) sort_few(key, position, n);
    else sort_many(s, key, position, n, (unsigned)((tokens * s->bits + 7) / 8));
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && key[end] == key[i]; end++);
        if (end < n) {
            const unsigned top = 63 - (unsigned)__builtin_clzll(key[end] ^ key[i]);
            shared[end] = (uint8_t)(depth + tokens - 1 - top / s->bits);
        }
        if (end - i == 1) continue;
        // Of equal keys all n-grams end alike, or none before depth + tokens, where some may end and others go on.
        size_t longest = 0;
        for (size_t k = i; k < end; k++) {
            const size_t length = s->span[position[k]] & FLM_NGRAM_LENGTH;
            if (length > longest) longest = length;
        }
        if (longest > depth + tokens) sort_from(s, position + i, shared + i, key + i, end - i, depth + tokens);
        else memset(shared + i + 1, (int)longest, end - i - 1);
    }
}

void flm_ngram_sort(int32_t *position, int32_t *rank, uint8_t *shared, uint8_t *reach, uint64_t *key, int32_t *spare,
                    const int32_t *id, const uint8_t *span, const size_t *begin, size_t first, size_t last, size_t most,
                    size_t order, size_t V)
{
    unsigned bits = 1;
    while (V >> bits) bits++;
    const sorter s = {id, span, key, key + most, spare, order, bits};
    for (size_t v = first; v < last; v++) {
        const size_t from = begin[v], n = begin[v + 1] - from;
        if (n == 0) continue;
        if (order == 1) memset(shared + from, 1, n);
        else if (n > 1) sort_from(&s, position + from, shared + from, key, n, 1);
        shared[from] = 0;
        for (size_t r = from; r < from + n; r++) {
            reach[r] = span[position[r]];
            if (rank) rank[position[r]] = (int32_t)r;
        }
    }
}
