/* test_runs.c: runs of n-grams of segments, in arrays with nothing after them: written, merged and grown into the trie
 * that the text as a whole gives. */
#include "runs.h"

#include "check.h"

enum { ROOM = 1 << 16 };

typedef struct trie {
    int32_t *word, *link, *child, *count;
    size_t end[FLM_NGRAM_LENGTH + 1]; /* of the n-grams of up to 0, 1, ... words */
} trie;

static trie empty_trie(const size_t *size, size_t order, size_t V)
{
    trie t = {.end = {0, V}};
    for (size_t k = 2; k <= order; k++) t.end[k] = t.end[k - 1] + size[k];
    const size_t nodes = t.end[order], contexts = t.end[order - 1];
    t.word = exactly(nodes, sizeof *t.word);
    t.link = exactly(nodes, sizeof *t.link);
    t.count = exactly(nodes, sizeof *t.count);
    t.child = exactly(contexts + 1, sizeof *t.child);
    for (size_t v = 0; v < V; v++) {
        t.word[v] = (int32_t)v;
        t.link[v] = -1;
    }
    t.child[contexts] = (int32_t)nodes;
    return t;
}

static void release(trie *t)
{
    free(t->word);
    free(t->link);
    free(t->count);
    free(t->child);
}

/* The n-grams of a text, sorted. */
typedef struct sorted {
    uint8_t *span, *shared, *reach;
    int32_t *position, *rank;
    size_t *begin;
} sorted;

static sorted sort(const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t n, size_t V)
{
    sorted s = {exactly(n, 1),
                exactly(n, 1),
                exactly(n, 1),
                exactly(n, sizeof(int32_t)),
                exactly(n, sizeof(int32_t)),
                exactly(V + 1, sizeof(size_t))};
    uint64_t *key = exactly(2 * n, sizeof *key);
    int32_t *spare = exactly(n, sizeof *spare);
    flm_ngram_spans(s.span, id, starts, boundary, order, n);
    flm_ngram_group(s.position, s.begin, id, n, V);
    flm_ngram_sort(s.position, s.rank, s.shared, s.reach, key, spare, id, s.span, s.begin, 0, V, n, order, V);
    free(key);
    free(spare);
    return s;
}

static void forget(sorted *s)
{
    void *all[] = {s->span, s->shared, s->reach, s->position, s->rank, s->begin};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static trie at_once(const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t whole, size_t n,
                    size_t V)
{
    sorted s = sort(id, starts, boundary, order, n, V);
    size_t size[FLM_NGRAM_LENGTH + 1];
    int32_t *node = exactly(n, sizeof *node), *above = exactly(n, sizeof *above);
    flm_ngram_keep_repeated(s.reach, s.shared, s.begin, 0, V, whole);
    flm_ngram_sizes(size, s.shared, s.reach, 0, n, order);
    trie t = empty_trie(size, order, V);
    for (size_t k = 2; k <= order; k++) {
        flm_ngram_number(t.word, t.link, t.child, t.count, node, above, t.end[k - 1], id, s.position, s.rank, s.shared,
                         s.reach, s.span, s.begin, 0, V, k, order);
        int32_t *const swap = node;
        node = above, above = swap;
    }
    free(node);
    free(above);
    forget(&s);
    return t;
}

/* The bytes in an array with nothing after them. */
static uint8_t *fitting(const uint8_t *bytes, size_t n)
{
    uint8_t *const out = exactly(n ? n : 1, 1);
    memcpy(out, bytes, n);
    return out;
}

static uint8_t *run_of(size_t *size, const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order,
                       size_t most, size_t n, size_t V)
{
    sorted s = sort(id, starts, boundary, order, n, V);
    uint8_t *const all = exactly(ROOM, 1), *const out = exactly(FLM_RUN_RECORD, 1);
    flm_run_place place = {0, 0};
    *size = 0;
    while (place.rank < n) {
        const size_t written = flm_run_write(out, FLM_RUN_RECORD, &place, id, s.position, s.shared, s.reach, n, most);
        memcpy(all + *size, out, written);
        *size += written;
    }
    uint8_t *const run = fitting(all, *size);
    free(all);
    free(out);
    forget(&s);
    return run;
}

/* Runs that are given a few bytes at a time, as many as are needed and one byte more each time. */
static uint8_t *merged(size_t *size, flm_merge *m, uint8_t **run, const size_t *length, size_t k)
{
    uint8_t *const all = exactly(ROOM, 1), *const out = exactly(FLM_RUN_RECORD, 1);
    size_t written, needed;
    *size = 0;
    for (size_t i = 0; i < k; i++) m->run[i].at = m->run[i].end = run[i];
    while ((needed = flm_merge_runs(out, FLM_RUN_RECORD, &written, m)) != k) {
        memcpy(all + *size, out, written);
        *size += written;
        if (needed > k) continue;
        flm_run *const r = m->run + needed;
        const size_t left = (size_t)(run[needed] + length[needed] - r->at);
        r->whole = left <= FLM_RUN_RECORD;
        r->end = r->at + (r->whole ? left : FLM_RUN_RECORD);
    }
    memcpy(all + *size, out, written);
    *size += written;
    uint8_t *const bytes = fitting(all, *size);
    free(all);
    free(out);
    return bytes;
}

static trie in_segments(const int32_t *id, const uint8_t *starts, int32_t boundary, size_t order, size_t whole,
                        size_t n, size_t V, size_t k)
{
    uint8_t *run[8];
    size_t length[8], tree[8], size, kept_size[FLM_NGRAM_LENGTH + 1];
    flm_merge m = {.run = exactly(k, sizeof *m.run), .tree = tree, .k = k};
    for (size_t i = 0; i < k; i++) {
        const size_t first = n * i / k, most = n * (i + 1) / k - first;
        const size_t here = first + most + order - 1 < n ? most + order - 1 : n - first;
        int32_t *const ids = exactly(here, sizeof *ids);
        uint8_t *const flags = fitting(starts + first, here);
        memcpy(ids, id + first, here * sizeof *ids);
        run[i] = run_of(length + i, ids, flags, boundary, order, most, here, V);
        free(ids);
        free(flags);
    }
    uint8_t *const bytes = merged(&size, &m, run, length, k);
    const flm_kept kept = {order, whole, 0};
    for (size_t j = 1; j <= order; j++) kept_size[j] = m.size[j] - (j > whole ? m.after_once[j] : 0);
    trie t = empty_trie(kept_size, order, V);
    for (int again = 0; again < 2; again++) {
        flm_growing g = {.word = t.word, .link = t.link, .child = t.child, .count = t.count};
        flm_run r = {.at = bytes, .end = bytes + size, .whole = 1};
        for (size_t j = 2; j <= order; j++) g.next[j] = t.end[j - 1];
        if (again) flm_count_left_out(&g, &r, &kept);
        else flm_grow(&g, &r, &kept);
        CHECK(r.done && r.at == r.end);
        if (again) break;
        flm_grow_to(&g, V);
        for (size_t j = 2; j <= order; j++) {
            CHECK(g.next[j] == t.end[j]);
            flm_link_counted(&g, t.end[j - 2], t.end[j - 1], V);
        }
    }
    for (size_t i = 0; i < k; i++) free(run[i]);
    free(bytes);
    free(m.run);
    return t;
}

static void segments_give_the_trie_of_the_whole(void)
{
    for (size_t n = 1; n < 90; n += 11)
        for (size_t order = 2; order < 7; order++)
            for (size_t V = 1; V < 400; V = V * 7 + 1) {
                int32_t *const id = exactly(n, sizeof *id);
                uint8_t *const starts = exactly(n, 1);
                float *const drawn = random_floats(2 * n, (unsigned)(n + order * V));
                for (size_t i = 0; i < n; i++) {
                    id[i] = (int32_t)((drawn[i] + 3) * 0.1666f * (float)V);
                    starts[i] = i == 0 || drawn[n + i] > 2.4f;
                }
                free(drawn);
                for (size_t k = 1; k < 6 && k <= n; k += 2) {
                    const size_t whole = k == 5 ? 2 : order;
                    const int32_t boundary = k == 3 ? 0 : -1;
                    trie a = at_once(id, starts, boundary, order, whole, n, V);
                    trie b = in_segments(id, starts, boundary, order, whole, n, V, k);
                    const size_t nodes = a.end[order];
                    CHECK(nodes == b.end[order] && a.end[order - 1] == b.end[order - 1]);
                    if (nodes == b.end[order]) {
                        CHECK(memcmp(a.word, b.word, nodes * sizeof *a.word) == 0);
                        CHECK(memcmp(a.link, b.link, nodes * sizeof *a.link) == 0);
                        CHECK(memcmp(a.count, b.count, nodes * sizeof *a.count) == 0);
                        CHECK(memcmp(a.child, b.child, (a.end[order - 1] + 1) * sizeof *a.child) == 0);
                    }
                    release(&a);
                    release(&b);
                }
                free(id);
                free(starts);
            }
}

/* Of 0 1 0 1 0 0 the bigrams 0 0 and the last 0 occur once: 0 1 and 1 0 are kept, one word after 0 is left out. */
static void what_occurs_once_is_left_out(void)
{
    const int32_t id[] = {0, 1, 0, 1, 0, 0};
    const uint8_t starts[] = {1, 0, 0, 0, 0, 0};
    size_t length, size, tree[1];
    uint8_t *run = run_of(&length, id, starts, -1, 2, 6, 6, 2);
    flm_merge m = {.run = exactly(1, sizeof *m.run), .tree = tree, .k = 1};
    uint8_t *const bytes = merged(&size, &m, &run, &length, 1);
    CHECK(m.size[1] == 2 && m.size[2] == 3 && m.once[2] == 1 && m.after_once[2] == 0);
    int32_t word[4] = {0, 1}, link[4] = {-1, -1}, child[3] = {0, 0, 4}, count[4] = {0}, pruned[3] = {0};
    const flm_kept kept = {2, 1, 1};
    for (int again = 0; again < 2; again++) {
        flm_growing g = {
            .word = word, .link = link, .child = child, .count = count, .pruned = pruned, .next = {0, 0, 2}};
        flm_run r = {.at = bytes, .end = bytes + size, .whole = 1};
        if (again) flm_count_left_out(&g, &r, &kept);
        else {
            flm_grow(&g, &r, &kept);
            flm_grow_to(&g, 2);
            flm_link_counted(&g, 0, 2, 2);
        }
    }
    CHECK(word[2] == 1 && word[3] == 0 && child[0] == 2 && child[1] == 3 && link[2] == 1 && link[3] == 0);
    CHECK(count[2] == 2 && count[3] == 2 && count[0] == 2 && count[1] == 1 && pruned[0] == 1 && pruned[1] == 0);
    free(run);
    free(bytes);
    free(m.run);
}

int main(void)
{
    segments_give_the_trie_of_the_whole();
    what_occurs_once_is_left_out();
    return finish("runs");
}
