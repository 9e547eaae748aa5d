/* test_words.c: words and their ids in arrays with nothing after them, enlarged one at a time. */
#include "words.h"

#include "check.h"

static flm_words table(size_t capacity, size_t bytes, size_t slots)
{
    flm_words w = {.capacity = capacity, .bytes = bytes, .slots = slots};
    w.blob = exactly(bytes, 1);
    w.offset = exactly(capacity + 1, sizeof *w.offset);
    w.slot = exactly(slots, sizeof *w.slot);
    CHECK(flm_words_index(&w) == 0);
    return w;
}

static void forget(flm_words *w)
{
    free(w->blob);
    free(w->offset);
    free(w->slot);
}

static void *larger(void *old, size_t old_bytes, size_t new_bytes)
{
    void *at = exactly(new_bytes, 1);
    memcpy(at, old, old_bytes);
    free(old);
    return at;
}

/* The text without a terminating zero: reading past its end is seen. */
static uint8_t *bytes_of(const char *text, size_t *n)
{
    *n = strlen(text);
    uint8_t *at = exactly(*n, 1);
    memcpy(at, text, *n);
    return at;
}

/* Learns from the least of everything, one more at every call; returns the number of ids. */
static size_t learn(flm_words *w, int32_t **id, size_t room, const uint8_t *text, size_t n, int32_t newline)
{
    size_t position = 0, written = 0, calls = 0;
    for (;;) {
        const size_t before = written;
        const int status = flm_words_learn(w, *id, &written, room, text, &position, n, newline);
        CHECK(written >= before && position <= n && ++calls < 100000);
        if (status == FLM_WORDS_DONE) {
            CHECK(position == n);
            return written;
        }
        if (status == FLM_WORDS_IDS_FULL) {
            CHECK(written == room);
            *id = larger(*id, room * sizeof **id, (room + 1) * sizeof **id);
            room++;
        } else if (status == FLM_WORDS_WORDS_FULL) {
            CHECK(w->size == w->capacity);
            w->offset = larger(w->offset, (w->capacity + 1) * sizeof *w->offset, (w->capacity + 2) * sizeof *w->offset);
            w->capacity++;
        } else if (status == FLM_WORDS_SLOTS_FULL) {
            free(w->slot);
            w->slots *= 2;
            w->slot = exactly(w->slots, sizeof *w->slot);
            CHECK(flm_words_index(w) == w->size);
        } else {
            CHECK(status == FLM_WORDS_BLOB_FULL);
            w->blob = larger(w->blob, w->bytes, w->bytes + 1);
            w->bytes++;
        }
    }
}

static void by_hand(void)
{
    size_t n;
    uint8_t *text = bytes_of("\t b a\xC2\xA0"
                             "a\r\n\n b\v\fc\x1C b ",
                             &n);
    const int32_t with_lines[7] = {0, 1, 9, 9, 0, 2, 0}, without[5] = {0, 1, 0, 2, 0};
    for (int32_t newline = -1; newline <= 9; newline += 10) {
        flm_words w = table(0, 0, 2);
        int32_t *id = exactly(0, sizeof *id);
        const size_t found = learn(&w, &id, 0, text, n, newline);
        CHECK(found == (newline < 0 ? 5u : 7u));
        CHECK(memcmp(id, newline < 0 ? without : with_lines, found * sizeof *id) == 0);
        CHECK(w.size == 3 && w.offset[0] == 0 && w.offset[1] == 1 && w.offset[2] == 5 && w.offset[3] == 7);
        CHECK(memcmp(w.blob,
                     "ba\xC2\xA0"
                     "ac\x1C",
                     7) == 0);
        free(id);
        forget(&w);
    }
    free(text);
}

static void nothing(void)
{
    flm_words w = table(0, 0, 2);
    size_t position = 0, written = 0;
    CHECK(flm_words_learn(&w, NULL, &written, 0, NULL, &position, 0, 3) == FLM_WORDS_DONE);
    CHECK(flm_words_find(&w, NULL, &written, 0, (const uint8_t *)" \t ", &position, 3, 3) == FLM_WORDS_DONE);
    CHECK(written == 0 && position == 3);
    forget(&w);
}

static void finding(void)
{
    flm_words w = table(5, 6, 16);
    memcpy(w.blob, "aab\nab", 6);
    const size_t offset[6] = {0, 1, 1, 1, 4, 6}; /* ids 1 and 2 have no word, id 3 one that no text has */
    memcpy(w.offset, offset, sizeof offset);
    w.size = 5;
    CHECK(flm_words_index(&w) == 5);
    size_t n, position = 0, written = 0;
    uint8_t *text = bytes_of("ab a\nb aab", &n);
    int32_t *id = exactly(3, sizeof *id);
    CHECK(flm_words_find(&w, id, &written, 3, text, &position, n, 7) == FLM_WORDS_IDS_FULL);
    CHECK(id[0] == 4 && id[1] == 0 && id[2] == 7 && written == 3 && position == 5);
    written = 0;
    CHECK(flm_words_find(&w, id, &written, 3, text, &position, n, 7) == FLM_WORDS_DONE);
    CHECK(id[0] == -1 && id[1] == -1 && written == 2 && w.size == 5);
    memcpy(w.blob + 1, "ababa", 5);
    w.offset[4] = 3;
    w.offset[5] = 5;
    CHECK(flm_words_index(&w) == 4); /* "ab" again */
    free(id);
    free(text);
    forget(&w);
}

/* Two words that agree in the 32 bits of the hash that a slot keeps, and in the slot they begin at. */
static void collision(void)
{
    flm_words w = table(2, 16, 16);
    int32_t id[4];
    size_t position = 0, written = 0;
    const uint8_t *text = (const uint8_t *)"w0789676\nw1729635\n";
    CHECK(flm_words_learn(&w, id, &written, 4, text, &position, 18, 0) == FLM_WORDS_DONE);
    CHECK(written == 4 && w.size == 2 && id[0] == 0 && id[1] == 0 && id[2] == 1 && id[3] == 0);
    forget(&w);
}

/* Words of every length, each twice in a random order, against the definition. */
static void many(void)
{
    enum { DIFFERENT = 3000, LENGTH = 40 };
    uint8_t *text = exactly(2 * DIFFERENT * (LENGTH + 1), 1);
    int32_t *expected = exactly(2 * DIFFERENT, sizeof *expected), *seen = exactly(DIFFERENT, sizeof *seen);
    size_t n = 0, words = 0, different = 0;
    float *draws = random_floats(2 * DIFFERENT, 7);
    for (; words < 2 * DIFFERENT; words++) {
        const uint32_t word = (uint32_t)((draws[words] + 3.0f) * ((float)DIFFERENT / 6.001f));
        for (uint32_t i = 0; i <= word % LENGTH; i++)
            text[n++] = (uint8_t)('!' + (i < 3 ? word >> (5 * i) & 31 : word % 90));
        text[n++] = ' ';
        if (!seen[word]) seen[word] = (int32_t)++different;
        expected[words] = seen[word] - 1;
    }
    /* Short words drop digits of their number, so some numbers share a word: the ids then agree where the bytes do. */
    flm_words w = table(0, 0, 2);
    int32_t *id = exactly(0, sizeof *id);
    CHECK(learn(&w, &id, 0, text, n, -1) == words);
    size_t start = 0, wrong = 0;
    for (size_t i = 0; i < words; i++) {
        size_t end = start;
        while (text[end] != ' ') end++;
        const size_t from = w.offset[id[i]], length = w.offset[id[i] + 1] - from;
        wrong += length != end - start || memcmp(w.blob + from, text + start, length) != 0;
        wrong += id[i] > expected[i];
        start = end + 1;
    }
    CHECK(wrong == 0);
    CHECK(flm_words_index(&w) == w.size); /* no word twice */
    size_t position = 0, written = 0;
    int32_t *again = exactly(words, sizeof *again);
    CHECK(flm_words_find(&w, again, &written, words, text, &position, n, -1) == FLM_WORDS_DONE);
    CHECK(memcmp(id, again, words * sizeof *id) == 0);
    free(draws);
    free(again);
    free(id);
    free(seen);
    free(expected);
    free(text);
    forget(&w);
}

static void slots(void)
{
    CHECK(flm_words_slots(0) == 16 && flm_words_slots(3) == 16 && flm_words_slots(4) == 32);
    CHECK(flm_words_slots(7) == 32 && flm_words_slots(8) == 64 && flm_words_slots(1000) == 4096);
}

int main(void)
{
    slots();
    by_hand();
    nothing();
    finding();
    collision();
    many();
    return finish("words");
}
