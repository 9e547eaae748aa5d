/* test_coding.c: gaps and symbols in arrays with nothing after them. */
#include "fastlm.h"
#include "words.h"

#include "check.h"

static void codes_by_hand(void)
{
    const uint8_t text[] = {' ', ' ', '\t', '\r', '\r', '\r', ' '};
    CHECK(flm_gap_code(text, 0) == 0);
    CHECK(flm_gap_code(text, 2) == (1 << 13 | 2));
    CHECK(flm_gap_code(text, 7) == ((UINT64_C(1) << 13 | 2) | (UINT64_C(2) << 13 | 1) << 16 |
                                    (UINT64_C(6) << 13 | 3) << 32 | (UINT64_C(1) << 13 | 1) << 48));
    uint8_t *longest = exactly(8192, 1);
    memset(longest, ' ', 8192);
    CHECK(flm_gap_code(longest, 8191) == (1 << 13 | 8191));
    CHECK(flm_gap_code(longest, 8192) == FLM_GAP_IRREGULAR);
    longest[1] = longest[3] = longest[5] = '\n';
    CHECK(flm_gap_code(longest, 5) == FLM_GAP_IRREGULAR);
    CHECK(flm_gap_code(longest, 4) != FLM_GAP_IRREGULAR);
    free(longest);
}

/* Two documents, "if x: \n  a" and "", read `room` gaps at a time; ended: 0 where the second one goes on. */
static void gaps_by_hand(size_t room, int ended)
{
    const char *given = "if x: \n  a";
    uint8_t *text = exactly(10, 1);
    memcpy(text, given, 10);
    const size_t ends[2] = {10, 10};
    const uint8_t kinds[7] = {3 * FLM_GAP_START + FLM_GAP_TO_WORD, 3 * FLM_GAP_WORD + FLM_GAP_TO_WORD,
                              3 * FLM_GAP_OPEN + FLM_GAP_TO_LINE,  3 * FLM_GAP_LINE_OPEN + FLM_GAP_TO_WORD,
                              3 * FLM_GAP_WORD + FLM_GAP_TO_LINE,  3 * FLM_GAP_LINE + FLM_GAP_TO_END,
                              3 * FLM_GAP_START + FLM_GAP_TO_END};
    const size_t starts[7] = {0, 2, 5, 7, 10, 10, 10}, begins[7] = {0, 3, 6, 9, 10, 10, 10};
    const size_t stops[7] = {2, 5, 7, 10, 10, 10, 10};
    flm_gaps walk = {.previous = FLM_GAP_START};
    for (size_t i = 0; i < 6; i++) walk.before[i] = FLM_GAP_NONE;
    uint64_t *gap = exactly(room, sizeof *gap), *before = exactly(room, sizeof *before);
    uint8_t *kind = exactly(room, 1);
    size_t *from = exactly(room, sizeof *from), *begin = exactly(room, sizeof *begin);
    size_t *end = exactly(room, sizeof *end), done = 0, n;
    do {
        n = flm_gaps_read(&walk, gap, before, kind, from, begin, end, text, ends, 1, ended, 2, room);
        for (size_t i = 0; i < n; i++, done++) {
            CHECK(kind[i] == kinds[done] && from[i] == starts[done] && begin[i] == begins[done]);
            CHECK(end[i] == stops[done] && gap[i] == flm_gap_code(text + from[i], begin[i] - from[i]));
            CHECK(before[i] == (done == 3 ? 0 : done == 4 ? (1 << 13 | 1) : FLM_GAP_NONE));
        }
    } while (n == room);
    CHECK(done == (ended ? 7 : 6));
    free(text);
    free(gap);
    free(before);
    free(kind);
    free(from);
    free(begin);
    free(end);
}

static void words_are_counted(void)
{
    const uint8_t text[] = "a b\n\n c";
    uint8_t inside = 0;
    CHECK(flm_count_words(&inside, text, 7) == 5 && inside == 1);
    CHECK(flm_count_words(&inside, text, 1) == 0 && inside == 1);
    CHECK(flm_count_words(&inside, text, 0) == 0 && inside == 1);
}

/* Symbols drawn at random, a share of them the likeliest: written to exactly the room promised and read back. */
static void symbols_come_back(size_t V, size_t count, float often)
{
    float *p = exactly(V, sizeof *p);
    for (size_t i = 0; i < V; i++) p[i] = i ? 1e-9f : 1.0f;
    uint8_t *coded = exactly(10 * count + 16, 1);
    size_t *symbol = exactly(count, sizeof *symbol), n = 0;
    flm_coder coder;
    float *draws = random_floats(2 * count, 3); /* from -3 to 3 */
    flm_coder_start(&coder);
    for (size_t i = 0; i < count; i++) {
        const double other = ((double)draws[2 * i] + 3) / 6 * (double)V;
        symbol[i] = draws[2 * i + 1] < often / 100.0f * 6 - 3 ? 0 : (size_t)other;
        const size_t room = coder.full + 9;
        uint8_t *out = exactly(room, 1);
        const size_t written = flm_encode(&coder, out, p, symbol[i], V);
        CHECK(written <= room);
        memcpy(coded + n, out, written);
        n += written;
        free(out);
    }
    const size_t room = coder.full + 9;
    uint8_t *out = exactly(room, 1);
    const size_t written = flm_encode_end(&coder, out);
    CHECK(written <= room);
    memcpy(coded + n, out, written);
    n += written;
    free(out);
    uint8_t *text = exactly(n, 1);
    memcpy(text, coded, n);
    flm_decode_start(&coder, text, n);
    for (size_t i = 0; i < count; i++) CHECK(flm_decode(&coder, text, p, n, V) == symbol[i]);
    free(text);
    free(draws);
    free(symbol);
    free(coded);
    free(p);
}

int main(void)
{
    codes_by_hand();
    for (size_t room = 1; room < 9; room++) {
        gaps_by_hand(room, 1);
        gaps_by_hand(room, 0);
    }
    words_are_counted();
    for (float often = 0; often <= 100; often += 25) {
        symbols_come_back(1, 50, often);
        symbols_come_back(2, 3000, often);
        symbols_come_back(300, 2000, often);
    }
    return finish("coding");
}
