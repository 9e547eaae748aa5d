/* ngram/merge.c: sorted runs of n-grams merged into one, and the trie of a run. Declared in runs.h. */
#include "ngram/record.h"

#include <string.h>

#define EMPTY SIZE_MAX

/* Whether record a comes before b, given how many tokens each shares with the record written last. Sets `same` of the
 * later one to what it shares with the earlier one. */
static inline int comes_before(flm_run *a, flm_run *b)
{
    if (a->done || b->done) return b->done;
    if (a->same != b->same) return a->same > b->same;
    size_t at = a->same;
    const size_t end = a->length < b->length ? a->length : b->length;
    while (at < end && a->token[at] == b->token[at]) at++;
    const int before = at < end ? a->token[at] < b->token[at] : a->length <= b->length;
    (before ? b : a)->same = at;
    return before;
}

/* Lets a run play from its leaf to the root. */
static void play(flm_merge *m, size_t run)
{
    for (size_t at = (run + m->k) / 2; at > 0; at /= 2) {
        const size_t other = m->tree[at];
        if (other == EMPTY) { /* only while the tree is filled */
            m->tree[at] = run;
            return;
        }
        if (comes_before(m->run + other, m->run + run)) {
            m->tree[at] = run;
            run = other;
        }
    }
    m->tree[0] = run;
}

/* Writes the record that waits, now that the next one is known to share `same` tokens with it. */
static uint8_t *write(uint8_t *at, flm_merge *m, size_t same)
{
    flm_run *const r = &m->next;
    size_t repeated = r->same > same ? r->same : same;
    if (r->length == 0) return at;
    if (r->count > 1) repeated = r->length;
    for (size_t j = r->same + 1; j <= r->length; j++) {
        m->size[j]++;
        m->once[j] += j > repeated;
        m->after_once[j] += j > repeated + 1;
    }
    return put_record(at, r->token, r->same, r->length, repeated, r->count, r->begins);
}

size_t flm_merge_runs(uint8_t *out, size_t room, size_t *written, flm_merge *m)
{
    uint8_t *at = out;
    *written = 0;
    for (; m->filled < m->k; m->filled++) {
        if (m->filled == 0)
            for (size_t i = 0; i < m->k; i++) m->tree[i] = EMPTY;
        if (!flm_run_next(m->run + m->filled) && !m->run[m->filled].done) return m->filled;
        play(m, m->filled);
    }
    while (!m->run[m->tree[0]].done) {
        flm_run *const r = m->run + m->tree[0], *const last = &m->next;
        // A run is asked for more before its record is used, so that nothing is half done when this returns.
        if (!r->whole && (size_t)(r->end - r->at) < FLM_RUN_RECORD) break;
        if (room - (size_t)(at - out) < FLM_RUN_RECORD) break;
        if (r->same == r->length && r->same == last->length) {
            last->count += r->count;
            last->begins += r->begins;
        } else {
            at = write(at, m, r->same);
            memcpy(last->token + r->same, r->token + r->same, (r->length - r->same) * sizeof *r->token);
            last->same = r->same;
            last->length = r->length;
            last->count = r->count;
            last->begins = r->begins;
        }
        flm_run_next(r);
        play(m, m->tree[0]);
    }
    *written = (size_t)(at - out);
    if (room - *written < FLM_RUN_RECORD) return m->k + 1;
    if (!m->run[m->tree[0]].done) return m->tree[0];
    *written = (size_t)(write(at, m, 0) - out);
    m->next.length = 0;
    return m->k;
}

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* How many tokens of a record are kept as n-grams, of `length` tokens at most. */
static inline size_t reach_of(const flm_run *r, const flm_kept *kept, size_t length)
{
    const size_t most = r->repeated + (kept->once ? 0 : 1);
    return least(length, most > kept->whole ? most : kept->whole);
}

void flm_grow_to(flm_growing *g, size_t last)
{
    for (; g->first_word < last; g->first_word++) g->child[g->first_word] = (int32_t)g->next[2];
}

/* Numbers the n-grams of a record that are new; returns its reach. */
static inline size_t number(flm_growing *g, const flm_run *r, const flm_kept *kept, size_t *length)
{
    *length = least(r->length, kept->order);
    const size_t reach = reach_of(r, kept, *length);
    for (size_t j = r->same + 1; j <= reach; j++) g->node[j] = j == 1 ? (size_t)r->token[0] : g->next[j]++;
    return reach;
}

void flm_grow(flm_growing *g, flm_run *r, const flm_kept *kept)
{
    while (flm_run_next(r)) {
        size_t length;
        if (r->same == 0) flm_grow_to(g, (size_t)r->token[0] + 1);
        const size_t reach = number(g, r, kept, &length);
        for (size_t j = r->same + 1; j <= reach; j++) {
            const size_t node = g->node[j];
            g->word[node] = r->token[j - 1];
            if (j > 1 && j < kept->order) g->child[node] = (int32_t)g->next[j + 1] - (j < reach);
        }
        if (reach == kept->order) g->count[g->node[reach]] += (int32_t)r->count;
        if (r->begins)
            for (size_t j = 2; j <= reach && j < kept->order; j++) g->count[g->node[j]] += (int32_t)r->begins;
        if (g->pruned && reach < length) g->pruned[g->node[reach]]++;
    }
}

static inline int32_t child_of(const flm_growing *g, size_t h, int32_t w, size_t *from)
{
    size_t at = (size_t)g->child[h], to = (size_t)g->child[h + 1];
    if (*from > at && *from < to && g->word[*from] <= w) at = *from;
    size_t step = 1;
    for (; at + step < to && g->word[at + step] <= w; step *= 2) at += step;
    if (at + step < to) to = at + step;
    while (to - at > 1) {
        const size_t middle = at + (to - at) / 2;
        if (g->word[middle] <= w) at = middle;
        else to = middle;
    }
    *from = at;
    return at < to && g->word[at] == w ? (int32_t)at : -1;
}

void flm_link_counted(flm_growing *g, size_t first, size_t last, size_t V)
{
    for (size_t h = first; h < last; h++) {
        size_t from = 0;
        for (size_t c = (size_t)g->child[h]; c < (size_t)g->child[h + 1]; c++) {
            const int32_t w = g->word[c];
            g->link[c] = h < V ? w : child_of(g, (size_t)g->link[h], w, &from);
            __atomic_fetch_add(&g->count[g->link[c]], 1, __ATOMIC_RELAXED);
        }
    }
}

void flm_count_left_out(flm_growing *g, flm_run *r, const flm_kept *kept)
{
    size_t from = 0;
    while (flm_run_next(r)) {
        size_t length;
        const size_t reach = number(g, r, kept, &length);
        if (reach == length) continue; // otherwise its n-grams of reach + 1 tokens and more occur nowhere else
        int32_t shorter =
            reach == 1 ? r->token[1] : child_of(g, (size_t)g->link[g->node[reach]], r->token[reach], &from);
        for (size_t j = reach + 1; shorter >= 0; j++) {
            size_t begin = 0;
            __atomic_fetch_add(&g->count[shorter], 1, __ATOMIC_RELAXED);
            if (j == length) break;
            shorter = child_of(g, (size_t)shorter, r->token[j], &begin);
        }
    }
}
