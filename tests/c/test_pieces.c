/* test_pieces.c: segments, learning and cutting in arrays with nothing after them. */
#include "pieces.h"

#include "check.h"

typedef size_t segment_end(const uint8_t *text, size_t at, size_t n);

static void cut_is(segment_end *end_of, const char *text, const char *cut)
{
    const size_t n = strlen(text);
    uint8_t *exact = exactly(n, 1);
    memcpy(exact, text, n);
    char out[256];
    size_t written = 0;
    for (size_t at = 0; at < n;) {
        const size_t end = end_of(exact, at, n);
        CHECK(end > at && end <= n && (end_of == flm_gpt2_segment_end || end - at <= FLM_SEGMENT));
        memcpy(out + written, exact + at, end - at);
        written += end - at;
        out[written++] = '|';
        at = end;
    }
    out[written] = 0;
    CHECK(strcmp(out, cut) == 0);
    if (strcmp(out, cut) != 0) printf("%s\n", out);
    free(exact);
}

static void segments_are(const char *text, const char *cut) { cut_is(flm_segment_end, text, cut); }

static void test_segments_of_gpt2(void)
{
    cut_is(flm_gpt2_segment_end, "I'm, he'll (12345) x_y'S", "I|'m|,| he|'ll| (|12345|)| x|_|y|'|S|");
    cut_is(flm_gpt2_segment_end, "a  b\n\n  c \n", "a| | b|\n\n | c| \n|");
    cut_is(flm_gpt2_segment_end, "a\n b\nc '' 't'", "a|\n| b|\n|c| ''| '|t|'|");
    cut_is(flm_gpt2_segment_end, "\xC3\xA9 \xC2\xAB\xC2\xBD\xC2\xA0\xC2\xA0z",
           "\xC3\xA9| \xC2\xAB|\xC2\xBD|\xC2\xA0|\xC2\xA0|z|");
    cut_is(flm_gpt2_segment_end, "a\xFF\xC3", "a|\xFF\xC3|");
    cut_is(flm_gpt2_segment_end, "'r", "'|r|");
    cut_is(flm_gpt2_segment_end, "'", "'|");
    cut_is(flm_gpt2_segment_end, " ", " |");
}

/* "ab" and then "aba" are merged, in a segment of 200 bytes: from the left, as in a short one. */
static void test_long_segments(void)
{
    enum { N = 200 };
    const int32_t merge[] = {'a', 'b', 256, 256, 'a', 257};
    int32_t byte[256], *places = exactly(3 * N, 4), *id = exactly(N, 4);
    for (int v = 0; v < 256; v++) byte[v] = v;
    uint32_t *index = exactly(4, 4);
    uint64_t *heap = exactly(3 * N, 8);
    flm_segment_cached *cache = exactly(2, sizeof *cache);
    memset(cache, 0, 2 * sizeof *cache);
    flm_pieces cutter = {.merge = merge, .byte = byte, .slot = index, .merges = 2, .slots = 4, .gpt2 = 1};
    flm_pieces_index(index, &cutter);
    flm_long_segment s = {.piece = places, .next = places + N, .previous = places + 2 * N, .heap = heap, .room = N - 1};
    uint8_t *text = exactly(N, 1);
    for (int i = 0; i < N; i++) text[i] = i % 2 ? 'b' : 'a';
    size_t written = 0, position = 0;
    CHECK(flm_pieces_encode(id, &written, N, cache, 2, &s, &cutter, text, &position, N) == N && position == 0);
    s.room = N;
    CHECK(flm_pieces_encode(id, &written, N, cache, 2, &s, &cutter, text, &position, N) == 0 && position == N);
    CHECK(written == N / 2 && id[0] == 256 && id[N / 2 - 1] == 256);
    text[1] = 'a';
    CHECK(flm_pieces_cut_long(id, &s, &cutter, text, N) == N / 2 + 1 && id[0] == 'a' && id[1] == 'a' && id[2] == 256);
    text[3] = 'a', text[5] = 'a';
    CHECK(flm_pieces_cut_long(id, &s, &cutter, text, 4) == 4 && flm_pieces_cut_long(id, &s, &cutter, text, 0) == 0);
    memcpy(text, "abaaba", 6);
    CHECK(flm_pieces_cut_long(id, &s, &cutter, text, 6) == 2 && id[0] == 257 && id[1] == 257);
    free(places), free(id), free(index), free(heap), free(cache), free(text);
}

static void test_segments(void)
{
    segments_are("I am, he's (12345) x_y", "I| am|,| he|'s| (|123|45|)| x|_|y|");
    segments_are("a  b\n\n  c \n", "a| | b|\n\n | c| \n|");
    segments_are("\xC3\xA9t\xC3\xA9 \xC2\xABoui\xC2\xBB", "\xC3\xA9t\xC3\xA9| \xC2\xAB|oui|\xC2\xBB|");
    segments_are("\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x90\x97",
                 "\xE4\xBD\xA0\xE5\xA5\xBD|\xE3\x80\x82|\xE5\x90\x97|");
    segments_are("a\xFF\xC3", "a\xFF\xC3|");
    segments_are("\xE2\x80\x99", "\xE2\x80\x99|");
    segments_are("it\xE2\x80\x99s 'so'", "it|\xE2\x80\x99s| '|so|'|");
    segments_are(" ", " |");
    char run[65 + 65 + 1] = {0}, cut[65 + 65 + 3] = {0};
    memset(run, 'a', 70);
    memset(cut, 'a', 64);
    strcat(cut, "|aaaaaa|");
    segments_are(run, cut);
}

/* "aaab" three times and "ab" twice: ab 5, aa 6 (two of them overlap) -> aa first, from the left; then aa-ab. */
static void test_learning(void)
{
    enum { S = 6, V = 260, MOST = 8 };
    const char *segments = "aaabab";
    uint8_t *text = exactly(S, 1);
    memcpy(text, segments, S);
    const int64_t offset[3] = {0, 4, 6}, times[2] = {3, 2};
    int32_t *work[10], *merge = exactly(3 * MOST, 4), *begin = exactly(V, 4), *length = exactly(V, 4);
    for (int k = 0; k < 10; k++) work[k] = exactly(S, 4);
    uint64_t *key = exactly(S, 8);
    int64_t *count = exactly(S, 8);
    uint32_t *slot = exactly(16, 4), *piece_slot = exactly(1024, 4);
    flm_pair_counts p = {.symbol = work[0],
                         .next = work[1],
                         .previous = work[2],
                         .segment = work[3],
                         .after = work[4],
                         .before = work[5],
                         .first = work[6],
                         .last = work[7],
                         .place = work[8],
                         .heap = work[9],
                         .key = key,
                         .count = count,
                         .slot = slot,
                         .slots = 16};
    size_t pieces = 0;
    const size_t merges =
        flm_pieces_learn(merge, begin, length, &pieces, &p, piece_slot, 1024, text, offset, times, 2, MOST, V, 2);
    const int32_t wanted[] = {'a', 'a', 256, 'a', 'b', 257, 256, 257, 258};
    CHECK(merges == 3 && pieces == 259);
    CHECK(memcmp(merge, wanted, sizeof wanted) == 0);
    CHECK(length[258] == 4 && memcmp(text + begin[258], "aaab", 4) == 0);

    int32_t byte[256];
    for (int32_t v = 0; v < 256; v++) byte[v] = v;
    uint32_t *index = exactly(8, 4);
    flm_pieces cutter = {.merge = merge, .byte = byte, .slot = index, .merges = merges, .slots = 8};
    flm_pieces_index(index, &cutter);
    flm_segment_cached *cache = exactly(2, sizeof *cache);
    for (int again = 0; again < 2; again++) {
        int32_t *id = exactly(FLM_SEGMENT + 3, 4);
        size_t written = 0, position = 0;
        CHECK(flm_pieces_encode(id, &written, FLM_SEGMENT + 3, cache, 2, NULL, &cutter, (const uint8_t *)"aaab aab",
                                &position, 8) == 0);
        const int32_t cut[] = {258, ' ', 256, 'b'};
        CHECK(written == 4 && memcmp(id, cut, sizeof cut) == 0);
        written = 4;
        position = 0;
        CHECK(flm_pieces_encode(id, &written, FLM_SEGMENT + 3, cache, 2, NULL, &cutter, (const uint8_t *)"a", &position,
                                1) == FLM_SEGMENT);
        CHECK(position == 0 && written == 4);
        free(id);
    }
    int32_t *id = exactly(S, 4);
    int64_t *starts = exactly(3, 8);
    flm_pieces_encode_segments(id, starts, &cutter, text, offset, 2);
    CHECK(starts[1] == 1 && starts[2] == 2 && id[0] == 258 && id[1] == 257);
    for (int k = 0; k < 10; k++) free(work[k]);
    free(id), free(starts), free(cache), free(index), free(key), free(count), free(slot), free(piece_slot);
    free(merge), free(begin), free(length), free(text);
}

/* A segment and its end are found wherever a text of any bytes is cut off. */
static void test_any_bytes(void)
{
    static const uint8_t some[] = {' ',  '\n', 'a',  '\'', '1',  '(',  0xC3, 0xA9,
                                   0xE3, 0x80, 0x82, 0xF0, 0x9F, 0x98, 0xFF, 0};
    float *draws = random_floats(400, 7);
    for (size_t n = 1; n <= 400; n++) {
        uint8_t *text = exactly(n, 1);
        for (size_t i = 0; i < n; i++) text[i] = some[(size_t)((draws[i] + 3) / 6 * (float)sizeof some)];
        for (size_t at = n > 80 ? n - 80 : 0, end; at < n; at = end) {
            end = flm_segment_end(text, at, n);
            CHECK(end > at && end <= n && end - at <= FLM_SEGMENT);
        }
        free(text);
    }
    free(draws);
}

int main(void)
{
    test_any_bytes();
    test_segments();
    test_segments_of_gpt2();
    test_long_segments();
    test_learning();
    return finish("pieces");
}
