/* pieces.c: learns pieces of words and cuts segments of text into them. Declared in pieces.h. */
#include "merge_rank.h"

#include <string.h>

/* Learning --------------------------------------------------------------------------------------------------------- */

/* The slot that holds the pair of a key, or the free one where it belongs. */
static inline size_t slot_of(const flm_pair_counts *p, uint64_t key)
{
    size_t s = (size_t)hash_step(key) & (p->slots - 1);
    while (p->slot[s] && p->key[p->slot[s] - 1] != key) s = (s + 1) & (p->slots - 1);
    return s;
}

/* Frees slot s; what was moved on because it was taken moves back (Knuth, volume 3, 6.4, algorithm R). */
static void free_slot(flm_pair_counts *p, size_t s)
{
    const size_t mask = p->slots - 1;
    for (size_t t = (s + 1) & mask; p->slot[t]; t = (t + 1) & mask) {
        const size_t home = (size_t)hash_step(p->key[p->slot[t] - 1]) & mask;
        if (((t - home) & mask) < ((t - s) & mask)) continue;
        p->slot[s] = p->slot[t];
        s = t;
    }
    p->slot[s] = 0;
}

static inline int above(const flm_pair_counts *p, int32_t a, int32_t b)
{
    return p->count[a] > p->count[b] || (p->count[a] == p->count[b] && p->key[a] < p->key[b]);
}

/* Moves a pair up from position i of the heap to where it belongs. */
static void sift_up(flm_pair_counts *p, int32_t pair, size_t i)
{
    for (; i && above(p, pair, p->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        p->heap[i] = p->heap[(i - 1) / 2];
        p->place[p->heap[i]] = (int32_t)i;
    }
    p->heap[i] = pair;
    p->place[pair] = (int32_t)i;
}

static void sift_down(flm_pair_counts *p, int32_t pair, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < p->pairs; i = child) {
        if (child + 1 < p->pairs && above(p, p->heap[child + 1], p->heap[child])) child++;
        if (!above(p, p->heap[child], pair)) break;
        p->heap[i] = p->heap[child];
        p->place[p->heap[i]] = (int32_t)i;
    }
    p->heap[i] = pair;
    p->place[pair] = (int32_t)i;
}

/* Adds the pair that begins at a place. */
static void link_pair(flm_pair_counts *p, int32_t at, const int64_t *times)
{
    const uint64_t key = key_of(p->symbol[at], p->symbol[p->next[at]]);
    const size_t s = slot_of(p, key);
    int32_t pair = (int32_t)p->slot[s] - 1;
    if (pair < 0) {
        pair = p->unused >= 0 ? p->unused : (int32_t)p->used++;
        if (pair == p->unused) p->unused = p->place[pair];
        p->slot[s] = (uint32_t)pair + 1;
        p->key[pair] = key;
        p->count[pair] = 0;
        p->first[pair] = p->last[pair] = -1;
        p->place[pair] = (int32_t)p->pairs;
        p->heap[p->pairs++] = pair;
    }
    p->count[pair] += times[p->segment[at]];
    p->before[at] = p->last[pair];
    p->after[at] = -1;
    if (p->last[pair] >= 0) p->after[p->last[pair]] = at;
    else p->first[pair] = at;
    p->last[pair] = at;
    sift_up(p, pair, (size_t)p->place[pair]);
}

/* Takes the pair that begins at a place away, and the pair itself where that was its last occurrence. */
static void unlink_pair(flm_pair_counts *p, int32_t at, const int64_t *times)
{
    const size_t s = slot_of(p, key_of(p->symbol[at], p->symbol[p->next[at]]));
    const int32_t pair = (int32_t)p->slot[s] - 1;
    if (p->before[at] >= 0) p->after[p->before[at]] = p->after[at];
    else p->first[pair] = p->after[at];
    if (p->after[at] >= 0) p->before[p->after[at]] = p->before[at];
    else p->last[pair] = p->before[at];
    p->count[pair] -= times[p->segment[at]];
    if (p->first[pair] >= 0) {
        sift_down(p, pair, (size_t)p->place[pair]);
        return;
    }
    free_slot(p, s);
    const int32_t moved = p->heap[--p->pairs];
    if (moved != pair) {
        sift_up(p, moved, (size_t)p->place[pair]);
        sift_down(p, moved, (size_t)p->place[moved]);
    }
    p->place[pair] = p->unused;
    p->unused = pair;
}

/* Every byte of the segments becomes a piece, and every two neighbours a pair. */
static void begin_with_bytes(flm_pair_counts *p, const uint8_t *text, const int64_t *offset, const int64_t *times,
                             size_t segments)
{
    memset(p->slot, 0, p->slots * sizeof *p->slot);
    p->pairs = p->used = 0;
    p->unused = -1;
    for (size_t s = 0; s < segments; s++)
        for (int64_t at = offset[s]; at < offset[s + 1]; at++) {
            p->symbol[at] = text[at];
            p->segment[at] = (int32_t)s;
            p->previous[at] = at > offset[s] ? (int32_t)at - 1 : -1;
            p->next[at] = at + 1 < offset[s + 1] ? (int32_t)at + 1 : -1;
            if (at > offset[s]) link_pair(p, (int32_t)at - 1, times);
        }
}

/* The piece of these bytes: one there is, or a new one, *pieces. */
static int32_t piece_of(int32_t *begin, int32_t *length, size_t *pieces, uint32_t *slot, size_t slots,
                        const uint8_t *text, int32_t at, int32_t bytes)
{
    size_t s = (size_t)hash_word(text + at, (size_t)bytes) & (slots - 1);
    for (; slot[s]; s = (s + 1) & (slots - 1)) {
        const uint32_t piece = slot[s] - 1;
        if (length[piece] == bytes && memcmp(text + begin[piece], text + at, (size_t)bytes) == 0) return (int32_t)piece;
    }
    begin[*pieces] = at;
    length[*pieces] = bytes;
    slot[s] = (uint32_t)*pieces + 1;
    return (int32_t)(*pieces)++;
}

/* Joins the piece at a place and the next one to `result`. */
static void join(flm_pair_counts *p, int32_t at, int32_t result, const int64_t *times)
{
    const int32_t second = p->next[at], following = p->next[second], leading = p->previous[at];
    unlink_pair(p, at, times);
    if (leading >= 0) unlink_pair(p, leading, times);
    if (following >= 0) unlink_pair(p, second, times);
    p->symbol[at] = result;
    p->symbol[second] = -1;
    p->next[at] = following;
    if (following >= 0) p->previous[following] = at;
    if (leading >= 0) link_pair(p, leading, times);
    if (following >= 0) link_pair(p, at, times);
}

size_t flm_pieces_learn(int32_t *merge, int32_t *begin, int32_t *length, size_t *pieces, flm_pair_counts *p,
                        uint32_t *piece_slot, size_t piece_slots, const uint8_t *text, const int64_t *offset,
                        const int64_t *times, int64_t least, size_t most, size_t V, size_t segments)
{
    size_t merges = 0;
    begin_with_bytes(p, text, offset, times, segments);
    memset(piece_slot, 0, piece_slots * sizeof *piece_slot);
    *pieces = 256;
    for (int32_t byte = 0; byte < 256; byte++) begin[byte] = -1, length[byte] = 1;
    while (*pieces < V && merges < most && p->pairs && p->count[p->heap[0]] >= least) {
        const int32_t pair = p->heap[0];
        const int32_t left = (int32_t)(p->key[pair] >> 32), right = (int32_t)(p->key[pair] & 0xFFFFFFFF);
        const int32_t bytes = length[left] + length[right];
        const int32_t result = piece_of(begin, length, pieces, piece_slot, piece_slots, text, p->first[pair], bytes);
        merge[3 * merges] = left;
        merge[3 * merges + 1] = right;
        merge[3 * merges++ + 2] = result;
        /* A joined pair leaves the list; the pair itself is gone with its last occurrence. */
        for (const uint64_t key = key_of(left, right); p->slot[slot_of(p, key)];) {
            int32_t at = p->first[p->slot[slot_of(p, key)] - 1];
            if (left == right) /* a run of equal pieces is joined from its beginning */
                while (p->previous[at] >= 0 && p->symbol[p->previous[at]] == left) at = p->previous[at];
            join(p, at, result, times);
        }
    }
    return merges;
}

/* Applying --------------------------------------------------------------------------------------------------------- */

void flm_pieces_index(uint32_t *slot, const flm_pieces *p)
{
    memset(slot, 0, p->slots * sizeof *slot);
    for (size_t m = 0; m < p->merges; m++) {
        const int32_t *merge = p->merge + 3 * m;
        size_t s = (size_t)hash_step(key_of(merge[0], merge[1])) & (p->slots - 1);
        for (; slot[s]; s = (s + 1) & (p->slots - 1)) {
            const int32_t *other = p->merge + 3 * (slot[s] - 1);
            if (other[0] == merge[0] && other[1] == merge[1]) break;
        }
        if (!slot[s]) slot[s] = (uint32_t)m + 1;
    }
}

/* The pieces of a segment of n <= FLM_SEGMENT bytes; returns their number. */
static size_t cut(int32_t *piece, const flm_pieces *p, const uint8_t *segment, size_t n)
{
    uint32_t rank[FLM_SEGMENT];
    for (size_t i = 0; i < n; i++) piece[i] = p->byte[segment[i]];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(p, piece[i], piece[i + 1]);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (n < 2 || rank[best] == p->merges) return n;
        piece[best] = p->merge[3 * rank[best] + 2];
        n--;
        memmove(piece + best + 1, piece + best + 2, (n - best - 1) * sizeof *piece);
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof *rank);
        if (best > 0) rank[best - 1] = rank_of(p, piece[best - 1], piece[best]);
        if (best + 1 < n) rank[best] = rank_of(p, piece[best], piece[best + 1]);
    }
}

size_t flm_pieces_encode(int32_t *id, size_t *written, size_t N, flm_segment_cached *cache, size_t cached,
                         flm_long_segment *scratch, const flm_pieces *p, const uint8_t *text, size_t *position,
                         size_t n)
{
    size_t out = *written, at = *position, wanted = 0;
    while (at < n && N - out >= FLM_SEGMENT) {
        const size_t end = p->gpt2 ? flm_gpt2_segment_end(text, at, n) : flm_segment_end(text, at, n), bytes = end - at;
        flm_segment_cached *const c = cache + ((size_t)hash_word(text + at, bytes) & (cached - 1));
        if (c->bytes == bytes && memcmp(c->segment, text + at, bytes) == 0) {
            memcpy(id + out, c->piece, (size_t)c->pieces * sizeof *id);
            out += (size_t)c->pieces;
        } else if (bytes > FLM_SEGMENT) {
            if (N - out < bytes || scratch->room < bytes) {
                wanted = bytes;
                break;
            }
            out += flm_pieces_cut_long(id + out, scratch, p, text + at, bytes);
        } else {
            const size_t pieces = cut(id + out, p, text + at, bytes);
            if (bytes <= sizeof c->segment && pieces <= sizeof c->piece / sizeof *c->piece) {
                memcpy(c->segment, text + at, bytes);
                memcpy(c->piece, id + out, pieces * sizeof *id);
                c->bytes = (uint8_t)bytes;
                c->pieces = (int32_t)pieces;
            }
            out += pieces;
        }
        at = end;
    }
    *written = out;
    *position = at;
    return at == n ? 0 : wanted ? wanted : FLM_SEGMENT;
}

void flm_pieces_encode_segments(int32_t *id, int64_t *begin, const flm_pieces *p, const uint8_t *text,
                                const int64_t *offset, size_t segments)
{
    int32_t piece[FLM_SEGMENT];
    begin[0] = 0;
    for (size_t s = 0; s < segments; s++) {
        const size_t pieces = cut(piece, p, text + offset[s], (size_t)(offset[s + 1] - offset[s]));
        memcpy(id + begin[s], piece, pieces * sizeof *id);
        begin[s + 1] = begin[s] + (int64_t)pieces;
    }
}
