/* test_arpa.c: ARPA text into tables and back, in arrays with nothing after them, and lines with every fault. */
#include "arpa.h"

#include "check.h"

enum { CAPACITY = 8, BYTES = 64, SLOTS = 32, ROOM = 6 };
#define LN10 2.302585092994045684

static flm_words table(void)
{
    flm_words w = {.capacity = CAPACITY, .bytes = BYTES, .slots = SLOTS};
    w.blob = exactly(BYTES, 1);
    w.offset = exactly(CAPACITY + 1, sizeof *w.offset);
    w.slot = exactly(SLOTS, sizeof *w.slot);
    CHECK(flm_words_index(&w) == 0);
    return w;
}

static void forget(flm_words *w)
{
    free(w->blob);
    free(w->offset);
    free(w->slot);
}

/* The text without a terminating zero: reading past its end is seen. */
static flm_arpa_block block_of(const char *text)
{
    flm_arpa_block b = {.n = strlen(text), .line = 1};
    uint8_t *at = exactly(b.n, 1);
    memcpy(at, text, b.n);
    b.text = at;
    return b;
}

static int is_field(const flm_arpa_block *b, const char *field)
{
    return b->length == strlen(field) && memcmp(b->text + b->field, field, b->length) == 0;
}

typedef struct unigrams {
    float *logp, *backoff, begin_backoff;
    size_t begin;
    flm_arpa_tally tally;
} unigrams;

static int read_words(unigrams *u, flm_words *w, flm_arpa_block *b)
{
    return flm_arpa_words(w, u->logp, u->backoff, ROOM, &u->begin, &u->begin_backoff, &u->tally, b);
}

static unigrams no_unigrams(void)
{
    return (unigrams){.logp = exactly(ROOM, sizeof(float)), .backoff = exactly(ROOM, sizeof(float))};
}

static void words_by_hand(void)
{
    flm_words w = table();
    unigrams u = no_unigrams();
    flm_arpa_block b = block_of("-1\t</s>\r\n\n -99 <s>\t-0.5\n0.25 a\v\t-2e-1 \n-.5 b\n\\2-grams:\n");
    CHECK(read_words(&u, &w, &b) == FLM_ARPA_HEADING && b.text[b.at] == '\\' && b.line == 6);
    CHECK(w.size == 3 && u.tally.lines == 4 && u.tally.positive == 1 && u.begin == 3);
    CHECK(flm_words_get(&w, (const uint8_t *)"a\v", 2) == 1 && flm_words_get(&w, (const uint8_t *)"a", 1) == -1);
    CLOSE(u.logp[0], -LN10, 1e-6);
    CLOSE(u.logp[1], 0, 0);
    CLOSE(u.logp[2], -LN10 / 2, 1e-6);
    CLOSE(u.backoff[1], -LN10 / 5, 1e-6);
    CLOSE(u.begin_backoff, -LN10 / 2, 1e-6);
    free((void *)b.text);
    free(u.logp);
    free(u.backoff);
    forget(&w);
}

static void faults(void)
{
    const struct {
        const char *text, *field;
        int status;
    } cases[] = {{"x a\n", "x", FLM_ARPA_NUMBER},
                 {"1e99 a\n", "1e99", FLM_ARPA_NUMBER},
                 {"-inf a\n", "-inf", FLM_ARPA_NUMBER},
                 {"1e a\n", "1e", FLM_ARPA_NUMBER},
                 {"- a\n", "-", FLM_ARPA_NUMBER},
                 {". a\n", ".", FLM_ARPA_NUMBER},
                 {"-1\n", "-1", FLM_ARPA_FIELDS},
                 {"-1 a 2 3\n", "-1 a 2 3", FLM_ARPA_FIELDS},
                 {"-1 a b\n", "b", FLM_ARPA_NUMBER},
                 {"-1 a\n-1 a\n", "a", FLM_ARPA_TWICE},
                 {"-1 <s>\n-1 <s>\n", "<s>", FLM_ARPA_TWICE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        flm_words w = table();
        unigrams u = no_unigrams();
        flm_arpa_block b = block_of(cases[i].text);
        CHECK(read_words(&u, &w, &b) == cases[i].status);
        CHECK(is_field(&b, cases[i].field));
        free((void *)b.text);
        free(u.logp);
        free(u.backoff);
        forget(&w);
    }
}

/* </s> a b as 0 1 2, n-grams in no order: found, arranged, linked, written and read again. */
static void there_and_back(void)
{
    flm_words w = table();
    unigrams u = no_unigrams();
    flm_arpa_block b = block_of("-1 </s>\n-.5 a -.25\n-1.5 b\n-99 <s> 0\n");
    CHECK(read_words(&u, &w, &b) == FLM_WORDS_DONE && w.size == 3);
    free((void *)b.text);

    int32_t *id = exactly(ROOM * 2, sizeof *id), *line = exactly(ROOM, sizeof *line);
    float *logp = exactly(ROOM, sizeof *logp), *backoff = exactly(ROOM, sizeof *backoff);
    uint8_t *kind = exactly(ROOM, 1);
    size_t n = 0;
    flm_arpa_tally tally = {0, 0};
    b = block_of("-2 b a\n-3 <s> b -1\n-4 a </s>\n-5 </s> <s>\n-6 b </s>\n");
    CHECK(flm_arpa_grams(id, logp, backoff, line, kind, ROOM, &n, &tally, &b, &w, 0, -1, 2) == FLM_WORDS_DONE);
    const uint8_t kinds[5] = {0, FLM_ARPA_BEGINS, 0, FLM_ARPA_BEGIN_INSIDE | FLM_ARPA_END_INSIDE, 0};
    const int32_t ids[10] = {2, 1, 0, 2, 1, 0, 0, 0, 2, 0};
    CHECK(n == 5 && tally.lines == 5 && line[4] == 5);
    CHECK(memcmp(kind, kinds, 5) == 0 && memcmp(id, ids, sizeof ids) == 0);
    CLOSE(backoff[1], -LN10, 1e-6);
    free((void *)b.text);
    b = block_of("-1 b c\n");
    CHECK(flm_arpa_grams(id, logp, backoff, line, kind, ROOM, &n, &tally, &b, &w, 0, -1, 2) == FLM_ARPA_UNSEEN);
    CHECK(is_field(&b, "c") && n == 5);
    free((void *)b.text);
    b = block_of("-1 b <UNK>\n-1 b b\n");
    CHECK(flm_arpa_grams(id, logp, backoff, line, kind, ROOM, &n, &tally, &b, &w, 0, 1, 2) == FLM_WORDS_IDS_FULL);
    CHECK(n == 6 && id[11] == 1 && b.line == 2);
    free((void *)b.text);

    /* Of these, b a, <s> b, a </s> and b </s> under their parents 2 0 1 2. */
    const int32_t parent[4] = {2, 0, 1, 2}, last[4] = {1, 2, 0, 0}, twice[2] = {2, 2}, same[2] = {1, 1};
    int32_t *order = exactly(4, sizeof *order), *child = exactly(4, sizeof *child);
    CHECK(flm_arpa_arrange(order, child, twice, same, 0, 3, 2) == 1);
    CHECK(flm_arpa_arrange(order, child, parent, last, 0, 3, 4) == 4);
    const int32_t sorted[4] = {1, 2, 3, 0}, children[4] = {3, 4, 5, 7};
    CHECK(memcmp(order, sorted, sizeof sorted) == 0 && memcmp(child, children, sizeof children) == 0);
    int32_t *word = exactly(7, sizeof *word), *link = exactly(7, sizeof *link);
    float *all = exactly(7, sizeof *all);
    for (int32_t v = 0; v < 3; v++) word[v] = v, link[v] = -1, all[v] = u.logp[v];
    for (size_t j = 0; j < 4; j++) word[3 + j] = last[order[j]], all[3 + j] = (float)(-LN10 / 3) * (float)(j + 1);
    const flm_arpa_trie g = {
        .word = word, .link = link, .child = child, .logp = all, .backoff = u.backoff, .contexts = 3};
    CHECK(flm_arpa_links(link, &g, 0, 3) == 0 && link[3] == 2 && link[6] == 1);
    const int32_t rows[6] = {2, 1, 1, 1, 0, 2};
    int32_t *node = exactly(3, sizeof *node);
    flm_arpa_find(node, &g, rows, 2, 2, 3);
    CHECK(node[0] == 6 && node[1] == -1 && node[2] == 3);

    uint8_t *out = exactly(80, 1);
    const uint8_t *name = (const uint8_t *)"</s>ab<s>";
    const size_t offset[5] = {0, 4, 5, 6, 9};
    size_t at = 3, written = flm_arpa_write(out, 80, &at, 7, &g, name, offset, 0, 3, 2);
    CHECK(at == 4 && written == 19 && memcmp(out, "-0.333333329\t<s> b\n", 19) == 0);
    CHECK(flm_arpa_write(out, 10, &at, 7, &g, name, offset, 0, 3, 2) == 0 && at == 4);
    at = 1;
    written = flm_arpa_write(out, 80, &at, 3, &g, name, offset, 0, 0, 1);
    CHECK(at == 2 && written == 28 && memcmp(out, "-0.500000007\ta\t-0.250000003\n", 28) == 0);
    free(out), free(node), free(word), free(link), free(all), free(order), free(child);
    free(id), free(line), free(logp), free(backoff), free(kind), free(u.logp), free(u.backoff);
    forget(&w);
}

/* Every float is read again to the bit. */
static void numbers(void)
{
    const int32_t word = 0, child[2] = {1, 1};
    const size_t offset[2] = {0, 1};
    uint8_t *out = exactly(100, 1);
    float *usual = random_floats(1000, 5);
    uint32_t state = 1;
    for (int i = 0; i < 200000; i++) {
        float x[2], y[2], unused;
        state = state * 1664525u + 1013904223u;
        if (i < 1000) x[0] = usual[i];
        else memcpy(x, &state, sizeof state);
        if (!isfinite(x[0]) || fabsf(x[0]) > 1e37f || (x[0] != 0 && fabsf(x[0]) < 1e-30f)) continue;
        x[0] = -fabsf(x[0]);
        x[1] = -x[0];
        const flm_arpa_trie g = {.word = &word, .child = child, .logp = x, .backoff = x + 1, .contexts = 1};
        size_t at = 0, begin = 0;
        flm_arpa_block b = {.text = out, .line = 1};
        b.n = flm_arpa_write(out, 100, &at, 1, &g, (const uint8_t *)"a", offset, -1, 0, 1);
        flm_words w = table();
        flm_arpa_tally tally = {0, 0};
        CHECK(flm_arpa_words(&w, y, y + 1, 1, &begin, &unused, &tally, &b) == FLM_WORDS_DONE);
        CHECK(y[0] == x[0] && y[1] == x[1]);
        forget(&w);
        if (failures) {
            fprintf(stderr, "%.9g as %.*s", (double)x[0], (int)b.n, (const char *)out);
            break;
        }
    }
    free(out);
    free(usual);
}

int main(void)
{
    words_by_hand();
    faults();
    there_and_back();
    numbers();
    return finish("arpa");
}
