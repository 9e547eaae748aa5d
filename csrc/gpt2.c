/* gpt2.c: cuts text as the regular expression of GPT-2 does, and long segments into pieces. Declared in pieces.h. */
#include "merge_rank.h"
#include "unicode.inc"

#include <string.h>

/* Segments --------------------------------------------------------------------------------------------------------- */

enum kind { LETTER, NUMBER, OTHER, SPACE };

static enum kind kind_of(uint32_t code)
{
    size_t low = 0, high = sizeof unicode_runs / sizeof *unicode_runs;
    while (low < high) { /* the first run that ends at code or after it */
        const size_t middle = (low + high) / 2;
        if (unicode_runs[middle][1] < code) low = middle + 1;
        else high = middle;
    }
    if (low < sizeof unicode_runs / sizeof *unicode_runs && unicode_runs[low][0] <= code)
        return unicode_runs[low][2] ? NUMBER : LETTER;
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
                   code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000
               ? SPACE
               : OTHER;
}

/* The kind of the character at text[at], and its bytes: one, of no kind, where they are not UTF-8. */
static inline enum kind kind_at(const uint8_t *text, size_t at, size_t n, size_t *bytes)
{
    const uint8_t c = text[at];
    *bytes = 1;
    if (c < 128) {
        if ((uint8_t)((c | 32) - 'a') < 26) return LETTER;
        if ((uint8_t)(c - '0') < 10) return NUMBER;
        return c == ' ' || (uint8_t)(c - '\t') <= '\r' - '\t' ? SPACE : OTHER;
    }
    const size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    uint32_t code = c & (0x7FU >> length);
    if (c < 0xC2 || c > 0xF4 || length > n - at) return OTHER;
    for (size_t i = 1; i < length; i++) {
        if ((text[at + i] & 0xC0) != 0x80) return OTHER;
        code = code << 6 | (text[at + i] & 0x3FU);
    }
    *bytes = length;
    return kind_of(code);
}

/* The bytes of 's 't 'm 'd 're 've 'll at text[at], 0 where none stands there. */
static inline size_t contraction(const uint8_t *text, size_t at, size_t n)
{
    if (text[at] != '\'' || n - at < 2) return 0;
    if (text[at + 1] && strchr("stmd", text[at + 1])) return 2;
    if (n - at < 3) return 0;
    return memcmp(text + at + 1, "re", 2) == 0 || memcmp(text + at + 1, "ve", 2) == 0 ||
                   memcmp(text + at + 1, "ll", 2) == 0
               ? 3
               : 0;
}

size_t flm_gpt2_segment_end(const uint8_t *text, size_t at, size_t n)
{
    const size_t short_form = contraction(text, at, n);
    if (short_form) return at + short_form;
    size_t bytes, last = at, characters = 0;
    enum kind kind = kind_at(text, at, n, &bytes), found;
    if (text[at] == ' ' && n - at > 1) {
        size_t of_next;
        const enum kind next = kind_at(text, at + 1, n, &of_next);
        if (next != SPACE) at++, kind = next, bytes = of_next;
    }
    do {
        last = at;
        at += bytes;
        characters++;
    } while (at < n && (found = kind_at(text, at, n, &bytes)) == kind);
    return kind == SPACE && at < n && characters > 1 ? last : at; /* the last blank belongs to what follows */
}

/* Long segments ---------------------------------------------------------------------------------------------------- */

static void push(flm_long_segment *s, uint64_t key)
{
    size_t i = s->queued++;
    for (; i && s->heap[(i - 1) / 2] > key; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = key;
}

static uint64_t pop(flm_long_segment *s)
{
    const uint64_t top = s->heap[0], key = s->heap[--s->queued];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->queued; i = child) {
        if (child + 1 < s->queued && s->heap[child + 1] < s->heap[child]) child++;
        if (s->heap[child] >= key) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = key;
    return top;
}

/* Queues the pair that begins at a place, where there is a merge of it: by the merge, then by the place. */
static void queue_pair(flm_long_segment *s, const flm_pieces *p, int32_t at)
{
    if (at < 0 || s->next[at] < 0) return;
    const uint32_t rank = rank_of(p, s->piece[at], s->piece[s->next[at]]);
    if (rank < p->merges) push(s, (uint64_t)rank << 32 | (uint32_t)at);
}

size_t flm_pieces_cut_long(int32_t *id, flm_long_segment *s, const flm_pieces *p, const uint8_t *segment, size_t n)
{
    s->queued = 0;
    for (size_t i = 0; i < n; i++) {
        s->piece[i] = p->byte[segment[i]];
        s->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
        s->previous[i] = (int32_t)i - 1;
    }
    for (size_t i = 0; i + 1 < n; i++) queue_pair(s, p, (int32_t)i);
    while (s->queued) {
        const uint64_t key = pop(s);
        const int32_t at = (int32_t)(key & 0xFFFFFFFF), second = s->piece[at] < 0 ? -1 : s->next[at];
        const uint32_t rank = (uint32_t)(key >> 32);
        if (second < 0 || rank_of(p, s->piece[at], s->piece[second]) != rank) continue; /* merged with others since */
        s->piece[at] = p->merge[3 * rank + 2];
        s->piece[second] = -1;
        s->next[at] = s->next[second];
        if (s->next[at] >= 0) s->previous[s->next[at]] = at;
        queue_pair(s, p, s->previous[at]);
        queue_pair(s, p, at);
    }
    size_t out = 0;
    for (int32_t at = 0; at >= 0 && n; at = s->next[at]) id[out++] = s->piece[at];
    return out;
}
