/* words.c: splits UTF-8 text into words and numbers them, in a hash table on arrays of the caller. Declared in words.h.
 * Linear probing at most half full; a slot keeps 32 bits of the hash, so that a miss rarely reads a word. */
#include "words.h"

#include <string.h>

#include "pieces.h"
#include "word_hash.h"

/* Whether a byte stands between words. */
static inline int is_space(const flm_words *w, uint8_t c)
{
    return c == ' ' || ((uint8_t)(c - '\t') <= '\r' - '\t' && !(w->tabs_inside && (c == '\v' || c == '\f')));
}

static inline uint64_t entry(uint64_t h, size_t id) { return (h & ~UINT64_C(0xFFFFFFFF)) | (id + 1); }

static inline int32_t id_in(uint64_t slot) { return (int32_t)((slot & UINT64_C(0xFFFFFFFF)) - 1); }

/* The slot that holds the word, or the free one where it belongs. */
static inline size_t probe(const flm_words *w, const uint8_t *word, size_t length, uint64_t h)
{
    const size_t mask = w->slots - 1;
    size_t s = (size_t)h & mask;
    for (; w->slot[s]; s = (s + 1) & mask) {
        if (((w->slot[s] ^ h) >> 32) != 0) continue;
        const size_t id = (size_t)(w->slot[s] & UINT64_C(0xFFFFFFFF)) - 1;
        const size_t from = w->offset[id];
        if (w->offset[id + 1] - from == length && memcmp(w->blob + from, word, length) == 0) break;
    }
    return s;
}

size_t flm_words_slots(size_t size)
{
    size_t slots = 16;
    while (slots <= 4 * size) slots *= 2;
    return slots;
}

size_t flm_words_index(flm_words *w)
{
    memset(w->slot, 0, w->slots * sizeof *w->slot);
    for (size_t id = 0; id < w->size; id++) {
        const uint8_t *word = w->blob + w->offset[id];
        const size_t length = w->offset[id + 1] - w->offset[id];
        if (length == 0) continue;
        const uint64_t h = hash_word(word, length);
        const size_t s = probe(w, word, length, h);
        if (w->slot[s]) return id;
        w->slot[s] = entry(h, id);
    }
    return w->size;
}

/* Makes a word the next id, in the free slot s; FLM_WORDS_DONE, or what is full. */
static inline int new_word(flm_words *w, size_t s, uint64_t h, const uint8_t *word, size_t length)
{
    const size_t used = w->offset[w->size];
    if (w->size == w->capacity) return FLM_WORDS_WORDS_FULL;
    if (2 * (w->size + 1) > w->slots) return FLM_WORDS_SLOTS_FULL;
    if (w->bytes - used < length) return FLM_WORDS_BLOB_FULL;
    memcpy(w->blob + used, word, length);
    w->slot[s] = entry(h, w->size);
    w->offset[++w->size] = used + length;
    return FLM_WORDS_DONE;
}

/* The end of the word, or of the segment of pieces.h, that begins at `at`. */
static inline size_t end_of(const flm_words *w, const uint8_t *text, size_t at, size_t n, int segments)
{
    if (segments) return flm_segment_end(text, at, n);
    size_t end = at + 1;
    while (end < n && !is_space(w, text[end])) end++;
    return end;
}

/* One walk for all uses; `learn` and `segments` are constants wherever it is inlined. Without `learn` the table is only
 * read; segments are the whole text, white space too. */
static inline int read_words(flm_words *w, int learn, int segments, int32_t *id, size_t *written, size_t N,
                             const uint8_t *text, size_t *position, size_t n, int32_t newline)
{
    size_t at = *position, out = *written;
    int status = FLM_WORDS_DONE;
    for (;;) {
        while (!segments && at < n && is_space(w, text[at]) && (text[at] != '\n' || newline < 0)) at++;
        if (at == n) break;
        if (out == N) {
            status = FLM_WORDS_IDS_FULL;
            break;
        }
        if (!segments && text[at] == '\n') {
            id[out++] = newline;
            at++;
            continue;
        }
        const size_t end = end_of(w, text, at, n, segments), length = end - at;
        const uint64_t h = hash_word(text + at, length);
        const size_t s = probe(w, text + at, length, h);
        if (w->slot[s]) {
            id[out++] = id_in(w->slot[s]);
        } else if (learn) {
            status = new_word(w, s, h, text + at, length);
            if (status != FLM_WORDS_DONE) break;
            id[out++] = id_in(w->slot[s]);
        } else {
            id[out++] = -1;
        }
        at = end;
    }
    *position = at;
    *written = out;
    return status;
}

int flm_words_learn(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text, size_t *position,
                    size_t n, int32_t newline)
{
    return read_words(w, 1, 0, id, written, N, text, position, n, newline);
}

int flm_words_find(const flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text, size_t *position,
                   size_t n, int32_t newline)
{
    flm_words view = *w;
    return read_words(&view, 0, 0, id, written, N, text, position, n, newline);
}

int flm_words_learn_segments(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text,
                             size_t *position, size_t n)
{
    return read_words(w, 1, 1, id, written, N, text, position, n, -1);
}

int flm_words_add(flm_words *w, int32_t *id, const uint8_t *word, size_t length)
{
    const uint64_t h = hash_word(word, length);
    size_t s = probe(w, word, length, h);
    if (!w->slot[s]) {
        const int status = new_word(w, s, h, word, length);
        if (status != FLM_WORDS_DONE) return status;
    }
    *id = id_in(w->slot[s]);
    return FLM_WORDS_DONE;
}

int32_t flm_words_get(const flm_words *w, const uint8_t *word, size_t length)
{
    const size_t s = probe(w, word, length, hash_word(word, length));
    return w->slot[s] ? id_in(w->slot[s]) : -1;
}
