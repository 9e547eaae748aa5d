/* test_ngram.c: tries of random texts, in arrays with nothing after them: built, checked, asked, and left out of. */
#include "ngram.h"

#include "check.h"

typedef struct trie {
    flm_trie g;
    int32_t *count;
    size_t levels[FLM_NGRAM_LENGTH + 2];
} trie;

/* Discounts of 1/2, 1 and 3/2, whatever the counts; n-grams of more than `whole` words after repeated contexts only. */
static trie build(const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t whole, size_t n,
                  size_t V)
{
    const double discount[4] = {0, 0.5, 1, 1.5};
    uint8_t *span = exactly(n, 1), *shared = exactly(n, 1), *reach = exactly(n, 1);
    int32_t *position = exactly(n, sizeof *position), *rank = exactly(n, sizeof *rank);
    int32_t *node = exactly(n, sizeof *node), *above = exactly(n, sizeof *above), *spare = exactly(n, sizeof *spare);
    size_t *begin = exactly(V + 1, sizeof *begin), *size = exactly(order + 1, sizeof *size);
    uint64_t *key = exactly(2 * n, sizeof *key);
    flm_ngram_spans(span, id, starts, boundary, order, n);
    flm_ngram_group(position, begin, id, n, V);
    flm_ngram_sort(position, rank, shared, reach, key, spare, id, span, begin, 0, V, n, order, V);
    flm_ngram_keep_repeated(reach, shared, begin, 0, V, whole);
    flm_ngram_sizes(size, shared, reach, 0, n, order);
    trie t = {.levels = {0, V}};
    for (size_t k = 2; k <= order; k++) t.levels[k] = t.levels[k - 1] + size[k];
    const size_t nodes = t.levels[order], contexts = order > 1 ? t.levels[order - 1] : 0;
    int32_t *word = exactly(nodes, sizeof *word), *link = exactly(nodes, sizeof *link);
    int32_t *child = exactly(contexts + 1, sizeof *child);
    float *logp = exactly(nodes, sizeof *logp), *backoff = exactly(contexts + 1, sizeof *backoff);
    double *p = exactly(nodes, sizeof *p), *shorter = exactly(nodes, sizeof *shorter);
    t.count = exactly(nodes, sizeof *t.count);
    for (size_t v = 0; v < V; v++) {
        word[v] = (int32_t)v;
        link[v] = -1;
    }
    child[contexts] = (int32_t)nodes;
    for (size_t k = 2; k <= order; k++) {
        flm_ngram_number(word, link, child, t.count, node, above, t.levels[k - 1], id, position, rank, shared, reach,
                         span, begin, 0, V, k, order);
        int32_t *const swap = node;
        node = above, above = swap;
    }
    if (order == 1) flm_ngram_count_words(t.count, id, starts, n);
    flm_ngram_unigrams(logp, p, t.count, discount, V);
    for (size_t k = 2; k <= order; k++) {
        double *const swap = p;
        p = shorter, shorter = swap;
        flm_ngram_estimate(logp, backoff, p, shorter, child, link, t.count, NULL, discount, t.levels[k - 2],
                           t.levels[k - 1], t.levels[k - 1], t.levels[k - 2]);
    }
    t.g = (flm_trie){word, link, child, logp, backoff, nodes, contexts, V, order};
    void *done[] = {span, shared, reach, position, rank, node, above, spare, begin, size, key, p, shorter};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) free(done[i]);
    return t;
}

static void release(trie *t)
{
    void *tables[] = {(void *)(uintptr_t)t->g.word, (void *)(uintptr_t)t->g.link,    (void *)(uintptr_t)t->g.child,
                      (void *)(uintptr_t)t->g.logp, (void *)(uintptr_t)t->g.backoff, t->count};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) free(tables[i]);
}

/* Sums of the counts and of the discounts over what follows each context, and last over single words. */
static void sums(double *total, double *mass, const trie *t)
{
    const double discount[4] = {0, 0.5, 1, 1.5};
    for (size_t h = 0; h <= t->g.contexts; h++) {
        const size_t from = h < t->g.contexts ? (size_t)t->g.child[h] : 0;
        const size_t to = h < t->g.contexts ? (size_t)t->g.child[h + 1] : t->g.V;
        for (size_t c = from; c < to; c++) {
            total[h] += t->count[c];
            mass[h] += discount[t->count[c] < 3 ? t->count[c] : 3];
        }
    }
}

/* Packed tables of a trie in arrays with nothing after them; bits: of a probability, 32 for the floats themselves. */
static flm_ngrams pack(const trie *t, unsigned bits, void **arrays)
{
    const flm_trie *g = &t->g;
    const size_t words = (g->contexts + 63) / 64, size = (size_t)1 << (bits < 32 ? bits : 0);
    uint32_t *inner = exactly(3 * words, sizeof *inner);
    const size_t contexts = flm_ngram_rank(inner, g->child, g->contexts, words);
    float *backoff = exactly(g->contexts + 1, sizeof *backoff), *book = exactly(size, sizeof *book);
    float *unigram = exactly(g->V, sizeof *unigram), *kept = exactly(contexts + 1, sizeof *kept);
    double *p = exactly(size, sizeof *p);
    uint16_t *code = exactly(g->nodes, sizeof *code);
    if (g->contexts) memcpy(backoff, g->backoff, g->contexts * sizeof *backoff);
    memcpy(unigram, g->logp, g->V * sizeof *unigram);
    for (size_t i = 0; i < size; i++) {
        p[i] = 1 / (1 + exp(8 - 16 * (double)i / (double)size)); /* even steps of the log-odds from e^-8 to e^8 */
        book[i] = (float)log(p[i]);
    }
    flm_trie exact = *g;
    exact.backoff = backoff;
    for (size_t k = 1; bits < 32 && k < g->order; k++)
        flm_ngram_quantise(code, backoff, &exact, book, p, k % 2 ? g->link : NULL, size, t->levels[k - 1],
                           t->levels[k]);
    for (size_t h = 0; bits == 32 && h < g->contexts; h++)
        if ((size_t)(g->child[h + 1] - g->child[h]) == g->V) backoff[h] = 0;
    int32_t *first = exactly(contexts, sizeof *first), *link = exactly(contexts, sizeof *link), low = 0;
    flm_ngram_contexts(first, link, kept, &exact, inner, words);
    uint32_t *codes = exactly(contexts, sizeof *codes);
    for (size_t h = 0; h < contexts; h++)
        if ((int32_t)(kept[h] * FLM_NGRAM_STEPS) < low) low = (int32_t)(kept[h] * FLM_NGRAM_STEPS);
    for (size_t h = 0; h < contexts; h++) {
        if (bits == 32) memcpy(codes + h, kept + h, sizeof *codes);
        else codes[h] = (uint32_t)((int32_t)(kept[h] * FLM_NGRAM_STEPS) - low);
    }
    const unsigned backoff_bits = bits == 32 ? 32 : 22;
    flm_ngrams out = {.inner = inner,
                      .unigram = unigram,
                      .book = bits == 32 ? NULL : book,
                      .lowest = low,
                      .value_bits = bits,
                      .backoff_bits = backoff_bits,
                      .nodes = g->nodes,
                      .contexts = contexts,
                      .inner_nodes = 64 * words,
                      .V = g->V,
                      .order = g->order};
    while ((g->V - 1) >> out.word_bits) out.word_bits++;
    while (contexts >> out.link_bits) out.link_bits++;
    out.gram_bits = out.word_bits + bits;
    out.context_bits = out.link_bits + backoff_bits;
    uint64_t *block = exactly(2 * ((contexts + FLM_NGRAM_BLOCK - 1) / FLM_NGRAM_BLOCK) + 2, sizeof *block);
    const size_t all = flm_ngram_blocks(block, first, contexts, g->nodes, out.context_bits);
    uint8_t *context = exactly((all + 7) / 8 + FLM_NGRAM_PAD, 1);
    uint8_t *gram = exactly(((g->nodes - g->V) * out.gram_bits + 7) / 8 + FLM_NGRAM_PAD, 1);
    flm_ngram_pack_contexts(context, block, first, link, codes, NULL, out.link_bits, backoff_bits, 0, contexts);
    flm_ngram_pack_grams(gram, g->word + g->V, bits == 32 ? NULL : code + g->V, g->logp + g->V, out.word_bits, bits,
                         g->nodes - g->V);
    out.block = block, out.context = context, out.gram = gram;
    size_t where;
    CHECK(flm_ngram_check(&out, 1, &where, all) == FLM_NGRAM_SOUND);
    void *done[] = {backoff, kept, p, code, first, link, codes},
         *all_arrays[] = {inner, book, unigram, block, context, gram};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) free(done[i]);
    memcpy(arrays, all_arrays, sizeof all_arrays);
    return out;
}

/* What was packed is unpacked: to the bit, or where probabilities were rounded to within a step of the log-odds. */
static void unpacked(const trie *t, const flm_ngrams *g, int exact)
{
    const size_t n = g->nodes;
    size_t *end = exactly(g->order + 1, sizeof *end);
    const size_t words = flm_ngram_levels(end, g), contexts = flm_ngram_shorter(g, end, words);
    CHECK(words >= 1 && words <= g->order && end[words - 1] == g->contexts && contexts <= t->g.contexts);
    int32_t *word = exactly(n, sizeof *word), *link = exactly(n, sizeof *link);
    int32_t *child = exactly(contexts + 1, sizeof *child);
    float *logp = exactly(n, sizeof *logp), *backoff = exactly(contexts, sizeof *backoff);
    flm_ngram_unpack(word, link, child, logp, backoff, g, contexts);
    for (size_t c = 0; c < n; c++) {
        CHECK(word[c] == t->g.word[c] && link[c] == t->g.link[c]);
        CLOSE(logp[c], t->g.logp[c], exact ? 0 : 0.2);
    }
    for (size_t c = 0; c <= contexts; c++) CHECK(child[c] == t->g.child[c]);
    void *done[] = {word, link, child, logp, backoff, end};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) free(done[i]);
}

/* Whether the tables hold the n-gram of the tokens id[0..words) and then w, by a walk from its first token. */
static int is_counted(const flm_trie *t, const int32_t *id, size_t words, int32_t w)
{
    size_t node = words ? (size_t)id[0] : (size_t)w;
    for (size_t k = 1; k <= words; k++) {
        const int32_t wanted = k == words ? w : id[k];
        int32_t c;
        if (node >= t->contexts) return 0;
        for (c = t->child[node]; c < t->child[node + 1] && t->word[c] != wanted; c++) continue;
        if (c == t->child[node + 1]) return 0;
        node = (size_t)c;
    }
    return 1;
}

/* The order that matched, of tokens that followed and of others, beside a walk for every length of the context. */
static void longest_match(const trie *t, const flm_ngrams *g, const int32_t *node, const int32_t *id, size_t order,
                          size_t n)
{
    size_t *end = exactly(order + 1, sizeof *end);
    int32_t *target = exactly(n, sizeof *target), *found = exactly(n, sizeof *found);
    int32_t *length = exactly(n, sizeof *length), *followed = exactly(n, sizeof *followed);
    float *backoff = exactly(n, sizeof *backoff);
    flm_ngram_levels(end, g);
    flm_ngram_describe(length, followed, backoff, g, end, node, n);
    for (size_t i = 0; i < n; i++)
        target[i] = i % 2 && i + 1 < n ? id[i + 1] : (int32_t)(((size_t)id[i] * 7 + i) % g->V);
    flm_ngram_matched(found, g, end, node, target, n);
    for (size_t i = 0; i < n; i++) {
        size_t words = (size_t)length[i];
        while (words && !is_counted(&t->g, id + i + 1 - words, words, target[i])) words--;
        CHECK(found[i] == (int32_t)words + 1);
    }
    void *done[] = {end, target, found, length, followed, backoff};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) free(done[i]);
}

static void read_and_leave_out(const trie *t, const flm_ngrams *g, const int32_t *id, const uint8_t *starts,
                               size_t order, size_t n)
{
    const size_t V = t->g.V, one = 1;
    int32_t *node = exactly(n, sizeof *node), *target = exactly(n, sizeof *target), state = -1;
    double *nats = exactly(n, sizeof *nats), *again = exactly(n, sizeof *again);
    float *out = exactly(n * V, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        flm_ngram_read(node + i, &state, g, id + i, starts + i, &one, 1);
        target[i] = i + 1 < n && !starts[i + 1] ? id[i + 1] : -1;
    }
    flm_ngram_nats(nats, g, node, target, n);
    flm_ngram_log_probabilities(out, g, node, n);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t v = 0; v < V; v++) sum += exp((double)out[i * V + v]);
        CLOSE(sum, 1, 2e-5 * (double)order);
        if (target[i] >= 0) CLOSE(nats[i], -out[i * V + (size_t)target[i]], 1e-5);
    }
    longest_match(t, g, node, id, order, n);
    size_t length = 1;
    while (length < n && !starts[length]) length++;
    state = -1;
    flm_ngram_score(again, &state, g, id, length);
    for (size_t i = 0; i + 1 < length; i++) CLOSE(again[i + 1], nats[i], 1e-9);

    double *discount = exactly(4 * order, sizeof *discount), *scratch = exactly(2 * V, sizeof *scratch);
    double *total = exactly(t->g.contexts + 1, sizeof *total), *mass = exactly(t->g.contexts + 1, sizeof *mass);
    for (size_t k = 0; k < order; k++) memcpy(discount + 4 * k, (double[4]){0, 0.5, 1, 1.5}, 4 * sizeof *discount);
    sums(total, mass, t);
    const flm_ngram_counts counts = {t->count, discount, total, mass};
    size_t context = 0;
    int32_t *number = exactly(g->contexts, sizeof *number); /* of each context in plain arrays */
    for (size_t h = 0; h < t->g.contexts; h++)
        if (t->g.child[h] < t->g.child[h + 1]) number[context++] = (int32_t)h;
    CHECK(context == g->contexts);
    for (size_t i = 0; i < n; i++) node[i] = node[i] < 0 ? -1 : number[node[i]];
    CHECK(flm_ngram_left_out(again, out, scratch, &t->g, &counts, node, target, n) == n);
    for (size_t i = 0; i < n; i++) {
        if (target[i] < 0) continue;
        double sum = 0;
        for (size_t v = 0; v < V; v++) sum += exp((double)out[i * V + v]);
        CLOSE(sum, 1, 1e-5);
        CHECK(again[i] >= nats[i] - (g->book ? 0.2 : 1e-6)); /* a token is never likelier for not being counted */
        CLOSE(again[i], -out[i * V + (size_t)target[i]], 1e-5);
    }
    void *done[] = {node, target, nats, again, out, discount, scratch, total, mass, number};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) free(done[i]);
}

/* Groups of 5, 0, 1 and 4 positions. */
static void shares_of_the_work(void)
{
    const size_t begin[5] = {0, 5, 5, 6, 10};
    size_t *cut = exactly(4, sizeof *cut);
    flm_ngram_cuts(cut, begin, 4, 1);
    CHECK(cut[0] == 0 && cut[1] == 4);
    flm_ngram_cuts(cut, begin, 4, 2); /* from positions 0 and 5 on */
    CHECK(cut[0] == 0 && cut[1] == 1 && cut[2] == 4);
    flm_ngram_cuts(cut, begin, 4, 3); /* from 0, 3 and 6 on */
    CHECK(cut[0] == 0 && cut[1] == 1 && cut[2] == 3 && cut[3] == 4);
    CHECK(flm_ngram_largest_group(begin, 0, 4) == 5 && flm_ngram_largest_group(begin, 1, 3) == 1);
    CHECK(flm_ngram_largest_group(begin, 1, 2) == 0 && flm_ngram_largest_group(begin, 2, 2) == 0);
    free(cut);
}

/* In bytes: order 5 takes 24 * 200 + 8 * (100 - 20) = 5440, order 4 24 * 100 + 8 * (40 - 10) = 2640, order 3 24 * 40 +
 * 16 * 40 = 1600. */
static void memory_of_counting(void)
{
    const size_t nodes[6] = {0, 10, 20, 40, 100, 200};
    CHECK(flm_ngram_counting_bytes(nodes, 40, 5) == 5440 && flm_ngram_counting_bytes(nodes, 40, 4) == 2640);
    CHECK(flm_ngram_counting_bytes(nodes, 40, 3) == 1600);
}

static void words_are_counted(void)
{
    const int32_t id[] = {2, 0, 2, 2, 1};
    const uint8_t starts[] = {1, 0, 0, 1, 0};
    int32_t *count = exactly(3, sizeof *count);
    flm_ngram_count_words(count, id, starts, 5);
    CHECK(count[0] == 1 && count[1] == 1 && count[2] == 1);
    free(count);
}

int main(void)
{
    shares_of_the_work();
    memory_of_counting();
    words_are_counted();
    for (unsigned seed = 0; seed < 60; seed++) {
        const size_t n = 1 + 7 * seed + (seed % 10 == 9 ? 2000 : 0), V = (size_t[]){1, 2, 5, 70}[seed % 4];
        const size_t order = (size_t[]){1, 2, 3, 6, 40}[seed % 5];
        float *draw = random_floats(2 * n, seed);
        int32_t *id = exactly(n, sizeof *id);
        uint8_t *starts = exactly(n, 1);
        for (size_t i = 0; i < n; i++) {
            id[i] = (int32_t)((double)(draw[i] * draw[i]) / 9.0 * (double)V * 0.999);
            starts[i] = i == 0 || draw[n + i] > 2.8f;
        }
        const int32_t boundary = seed % 3 == 0 ? 0 : -1;
        trie t = build(id, starts, boundary, order, order, n, V), less = build(id, starts, boundary, order, 2, n, V);
        size_t where;
        CHECK(flm_trie_check(&t.g, 1, &where) == FLM_NGRAM_SOUND);
        CHECK(flm_trie_check(&less.g, 1, &where) == FLM_NGRAM_SOUND);
        CHECK(less.g.nodes <= t.g.nodes);
        for (unsigned bits = 12; bits <= 32; bits += 20) {
            void *arrays[6];
            flm_ngrams g = pack(&t, bits, arrays);
            unpacked(&t, &g, bits == 32);
            read_and_leave_out(&t, &g, id, starts, order, n);
            for (size_t i = 0; i < 6; i++) free(arrays[i]);
            g = pack(&less, bits, arrays);
            unpacked(&less, &g, bits == 32);
            for (size_t i = 0; i < 6; i++) free(arrays[i]);
        }
        release(&t);
        release(&less);
        free(draw);
        free(id);
        free(starts);
    }
    return finish("ngram");
}
