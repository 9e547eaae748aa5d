/* ngram/arpa_read.c: parses the lines of ARPA text. Declared in arpa.h. */
#include "arpa.h"

#include <math.h>
#include <string.h>

#include "decimal.h"

static inline int is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static inline const uint8_t *skip(const uint8_t *p, const uint8_t *end)
{
    while (p < end && is_space(*p)) p++;
    return p;
}

static inline const uint8_t *field_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && !is_space(*p)) p++;
    return p;
}

/* The exponent behind an e, held within +-9999; NULL where there are no digits. */
static const uint8_t *exponent_of(long *exponent, const uint8_t *p, const uint8_t *end)
{
    const int negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end || *p < '0' || *p > '9') return NULL;
    long value = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (value < 9999) value = 10 * value + (*p - '0');
    *exponent += negative ? -value : value;
    return p;
}

/* Sets *x to the natural logarithm that the decimal number at p, log10 of something, stands for, and returns where the
 * number ends; NULL where it is none, or none that float32 holds. Exact to the last bit but one of a double. */
static const uint8_t *logarithm(float *x, const uint8_t *p, const uint8_t *end)
{
    const int negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    uint64_t digits = 0;
    long exponent = 0;
    int some = 0, fraction = 0;
    for (; p < end; p++) {
        if (*p == '.' && !fraction) {
            fraction = 1;
            continue;
        }
        if (*p < '0' || *p > '9') break;
        some = 1;
        if (digits < UINT64_C(1000000000000000000)) {
            digits = 10 * digits + (uint64_t)(*p - '0');
            exponent -= fraction;
        } else exponent += !fraction;
    }
    if (!some) return NULL;
    if (p < end && (*p == 'e' || *p == 'E') && !(p = exponent_of(&exponent, p + 1, end))) return NULL;
    if (p < end && !is_space(*p)) return NULL;
    const double value = scaled((double)digits, exponent) * LN10;
    *x = (float)(negative ? -value : value);
    return isfinite(*x) ? p : NULL;
}

static inline int fault(flm_arpa_block *b, int status, const uint8_t *p, const uint8_t *end)
{
    b->field = (size_t)(p - b->text);
    b->length = (size_t)(end - p);
    return status;
}

/* The next line that is not blank: its first field, and *end behind it. NULL at the end of the block. */
static inline const uint8_t *next_line(flm_arpa_block *b, const uint8_t **end)
{
    while (b->at < b->n) {
        const uint8_t *line = b->text + b->at;
        const uint8_t *stop = memchr(line, '\n', b->n - b->at);
        if (!stop) stop = b->text + b->n;
        const uint8_t *p = skip(line, stop);
        if (p < stop) {
            *end = stop;
            return p;
        }
        b->at = (size_t)(stop - b->text) + 1;
        b->line++;
    }
    return NULL;
}

static inline void line_done(flm_arpa_block *b, const uint8_t *end)
{
    b->at = (size_t)(end - b->text) + 1;
    b->line++;
}

/* The probability at the beginning of a line: where it ends, or NULL. */
static inline const uint8_t *probability(float *logp, flm_arpa_tally *tally, const uint8_t *p, const uint8_t *end)
{
    p = logarithm(logp, p, end);
    if (p && *logp > 0) {
        *logp = 0;
        tally->positive++;
    }
    return p;
}

/* What stands behind the words: nothing, or a backoff. */
static inline int backoff_at(float *backoff, flm_arpa_block *b, const uint8_t *p, const uint8_t *end)
{
    p = skip(p, end);
    *backoff = 0;
    if (p == end) return FLM_WORDS_DONE;
    const uint8_t *last = field_end(p, end);
    if (skip(last, end) != end) return fault(b, FLM_ARPA_FIELDS, b->text + b->at, end);
    return logarithm(backoff, p, end) ? FLM_WORDS_DONE : fault(b, FLM_ARPA_NUMBER, p, last);
}

static inline int is_begin(const uint8_t *word, size_t length) { return length == 3 && memcmp(word, "<s>", 3) == 0; }

int flm_arpa_words(flm_words *w, float *logp, float *backoff, size_t N, size_t *begin, float *begin_backoff,
                   flm_arpa_tally *tally, flm_arpa_block *b)
{
    const uint8_t *p, *end;
    while ((p = next_line(b, &end))) {
        if (*p == '\\') return FLM_ARPA_HEADING;
        if (w->size == N) return FLM_WORDS_IDS_FULL;
        flm_arpa_tally now = *tally;
        const uint8_t *word = probability(&logp[w->size], &now, p, end);
        if (!word) return fault(b, FLM_ARPA_NUMBER, p, field_end(p, end));
        word = skip(word, end);
        if (word == end) return fault(b, FLM_ARPA_FIELDS, b->text + b->at, end);
        const uint8_t *stop = field_end(word, end);
        const size_t length = (size_t)(stop - word);
        if (memchr(word, 0, length)) return fault(b, FLM_ARPA_NUL, word, stop);
        float weight;
        int status = backoff_at(&weight, b, stop, end);
        if (status != FLM_WORDS_DONE) return status;
        if (is_begin(word, length)) {
            if (*begin) return fault(b, FLM_ARPA_TWICE, word, stop);
            *begin = b->line;
            *begin_backoff = weight;
        } else {
            int32_t id;
            const size_t before = w->size;
            status = flm_words_add(w, &id, word, length);
            if (status != FLM_WORDS_DONE) return status;
            if (w->size == before) return fault(b, FLM_ARPA_TWICE, word, stop);
            backoff[id] = weight;
        }
        now.lines++;
        *tally = now;
        line_done(b, end);
    }
    return FLM_WORDS_DONE;
}

/* A word of the line before: n-grams that are sorted, from either end, have most of their words in common with it. */
typedef struct recent {
    const uint8_t *word;
    size_t length;
    int32_t id;
} recent;

static inline int32_t id_of(recent *last, const flm_words *w, const uint8_t *word, size_t length, int32_t unknown)
{
    if (last->word && last->length == length && memcmp(last->word, word, length) == 0) return last->id;
    int32_t id = flm_words_get(w, word, length);
    if (id < 0 && length == 5 && (memcmp(word, "<unk>", 5) == 0 || memcmp(word, "<UNK>", 5) == 0)) id = unknown;
    *last = (recent){word, length, id};
    return id;
}

int flm_arpa_grams(int32_t *id, float *logp, float *backoff, int32_t *line, uint8_t *kind, size_t N, size_t *n,
                   flm_arpa_tally *tally, flm_arpa_block *b, const flm_words *w, int32_t line_end, int32_t unknown,
                   size_t k)
{
    recent last[FLM_ARPA_WORDS];
    for (size_t i = 0; i < k; i++) last[i].word = NULL;
    const uint8_t *p, *end;
    while ((p = next_line(b, &end))) {
        if (*p == '\\') return FLM_ARPA_HEADING;
        if (*n == N) return FLM_WORDS_IDS_FULL;
        int32_t *row = id + *n * k;
        uint8_t what = 0;
        flm_arpa_tally now = *tally;
        const uint8_t *at = probability(&logp[*n], &now, p, end);
        if (!at) return fault(b, FLM_ARPA_NUMBER, p, field_end(p, end));
        for (size_t i = 0; i < k; i++) {
            const uint8_t *word = skip(at, end);
            if (word == end) return fault(b, FLM_ARPA_FIELDS, b->text + b->at, end);
            at = field_end(word, end);
            const size_t length = (size_t)(at - word);
            if (is_begin(word, length)) {
                what |= i ? FLM_ARPA_BEGIN_INSIDE : FLM_ARPA_BEGINS;
                row[i] = line_end;
                continue;
            }
            row[i] = id_of(&last[i], w, word, length, unknown);
            if (row[i] < 0) return fault(b, FLM_ARPA_UNSEEN, word, at);
            if (row[i] == line_end && i + 1 < k) what |= FLM_ARPA_END_INSIDE;
        }
        const int status = backoff_at(&backoff[*n], b, at, end);
        if (status != FLM_WORDS_DONE) return status;
        line[*n] = (int32_t)(b->line < INT32_MAX ? b->line : INT32_MAX);
        kind[(*n)++] = what;
        now.lines++;
        *tally = now;
        line_done(b, end);
    }
    return FLM_WORDS_DONE;
}
