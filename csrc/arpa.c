/* arpa.c: parses the lines of ARPA text, puts n-grams that come in any order into tables, and writes
 * such tables as lines. Declared in arpa.h. */
#include "arpa.h"

#include <math.h>
#include <string.h>

#define LN10 2.30258509299404568402
#define DIGITS 9        /* written of a number: a float32 is known by them */
#define NUMBER_BYTES 32 /* a number takes fewer, its sign and exponent included */

static const double TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { LARGEST_TEN = 22 }; /* the largest power of ten that a double holds exactly */

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

/* x times ten to the power of exponent. */
static double scaled(double x, long exponent)
{
    const double step = exponent < 0 ? 1 / TEN[LARGEST_TEN] : TEN[LARGEST_TEN];
    long left = exponent < 0 ? -exponent : exponent;
    for (; left > LARGEST_TEN && x != 0 && x < 1e300; left -= LARGEST_TEN) x *= step;
    if (left > LARGEST_TEN) return x; /* 0, or more than any float */
    return exponent < 0 ? x / TEN[left] : x * TEN[left];
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
    const uint8_t *last = logarithm(backoff, p, end);
    if (!last) return fault(b, FLM_ARPA_NUMBER, p, field_end(p, end));
    if (skip(last, end) != end) return fault(b, FLM_ARPA_FIELDS, b->text + b->at, end);
    return FLM_WORDS_DONE;
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

/* The first of the ascending word[from..to) that is w or more. */
static inline size_t lower_bound(const int32_t *word, size_t from, size_t to, int32_t w)
{
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (word[middle] < w) from = middle + 1;
        else to = middle;
    }
    return from;
}

static inline int32_t child_of(const flm_arpa_trie *g, int32_t h, int32_t w)
{
    if (h < 0) return -1;
    const size_t to = (size_t)g->child[h + 1], at = lower_bound(g->word, (size_t)g->child[h], to, w);
    return at < to && g->word[at] == w ? (int32_t)at : -1;
}

enum { TOGETHER = 16 }; /* rows whose waits for memory overlap */

void flm_arpa_find(int32_t *node, const flm_arpa_trie *g, const int32_t *id, size_t width, size_t k, size_t N)
{
    for (size_t first = 0; first < N; first += TOGETHER) {
        const size_t last = first + TOGETHER < N ? first + TOGETHER : N;
        for (size_t i = first; i < last; i++) {
            node[i] = id[i * width];
            if (k > 1) __builtin_prefetch(g->child + node[i]);
        }
        for (size_t j = 1; j < k; j++) {
            for (size_t i = first; i < last; i++)
                if (node[i] >= 0) {
                    const size_t from = (size_t)g->child[node[i]], to = (size_t)g->child[node[i] + 1];
                    __builtin_prefetch(g->word + from + (to - from) / 2);
                }
            int32_t before = -1;
            for (size_t i = first; i < last; i++) {
                const int32_t h = node[i], w = id[i * width + j];
                if (i > first && h == before && w == id[(i - 1) * width + j]) node[i] = node[i - 1];
                else node[i] = child_of(g, h, w);
                before = h;
                if (j + 1 < k && node[i] >= 0) __builtin_prefetch(g->child + node[i]);
            }
        }
    }
}

static inline int comes_before(const int32_t *word, int32_t a, int32_t b)
{
    return word[a] < word[b] || (word[a] == word[b] && a < b);
}

static void sift(int32_t *order, const int32_t *word, size_t at, size_t n)
{
    const int32_t item = order[at];
    for (size_t next; (next = 2 * at + 1) < n; at = next) {
        if (next + 1 < n && comes_before(word, order[next], order[next + 1])) next++;
        if (!comes_before(word, item, order[next])) break;
        order[at] = order[next];
    }
    order[at] = item;
}

/* Sorts the children of one node by word, then by place; nothing is done to those that are sorted, heaps sort many. */
static void sort_children(int32_t *order, const int32_t *word, size_t n)
{
    size_t sorted = 1;
    while (sorted < n && comes_before(word, order[sorted - 1], order[sorted])) sorted++;
    if (sorted >= n) return;
    if (n <= 32) {
        for (size_t i = sorted; i < n; i++) {
            const int32_t item = order[i];
            size_t at = i;
            for (; at > 0 && comes_before(word, item, order[at - 1]); at--) order[at] = order[at - 1];
            order[at] = item;
        }
        return;
    }
    for (size_t at = n / 2; at-- > 0;) sift(order, word, at, n);
    for (size_t end = n - 1; end > 0; end--) {
        const int32_t largest = order[0];
        order[0] = order[end];
        order[end] = largest;
        sift(order, word, 0, end);
    }
}

size_t flm_arpa_arrange(int32_t *order, int32_t *child, const int32_t *parent, const int32_t *word, size_t above,
                        size_t first, size_t n)
{
    for (size_t h = above; h <= first; h++) child[h] = 0;
    for (size_t i = 0; i < n; i++) child[parent[i]]++;
    size_t sum = 0;
    for (size_t h = above; h <= first; h++) { /* where the next child of h goes */
        const size_t count = (size_t)child[h];
        child[h] = (int32_t)sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++) order[child[parent[i]]++] = (int32_t)i;
    for (size_t h = first; h > above; h--) child[h] = child[h - 1];
    child[above] = 0;
    for (size_t h = above; h < first; h++) {
        const size_t from = (size_t)child[h], to = (size_t)child[h + 1];
        if (to - from < 2) continue;
        sort_children(order + from, word, to - from);
        for (size_t j = from + 1; j < to; j++)
            if (word[order[j]] == word[order[j - 1]]) return (size_t)order[j];
    }
    for (size_t h = above; h <= first; h++) child[h] += (int32_t)first;
    return n;
}

size_t flm_arpa_links(int32_t *link, const flm_arpa_trie *g, size_t above, size_t first)
{
    size_t missing = 0;
    for (size_t h = above; h < first; h++) {
        const int32_t shorter = g->link[h];
        size_t at = shorter < 0 ? 0 : (size_t)g->child[shorter];
        const size_t to = shorter < 0 ? 0 : (size_t)g->child[shorter + 1];
        for (size_t c = (size_t)g->child[h]; c < (size_t)g->child[h + 1]; c++) {
            const int32_t w = g->word[c];
            if (shorter < 0) {
                link[c] = w;
                continue;
            }
            at = lower_bound(g->word, at, to, w);
            const int there = at < to && g->word[at] == w;
            link[c] = there ? (int32_t)at : -1;
            missing += !there;
        }
    }
    return missing;
}

static uint8_t *put(uint8_t *out, const uint8_t *from, size_t n)
{
    memcpy(out, from, n);
    return out + n;
}

/* An integer of exactly so many digits. */
static uint8_t *put_digits(uint8_t *out, uint64_t value, size_t digits)
{
    for (size_t i = digits; i-- > 0; value /= 10) out[i] = (uint8_t)('0' + value % 10);
    return out + digits;
}

/* x in at most DIGITS digits; tiny and huge numbers as digits and an exponent. */
static uint8_t *put_number(uint8_t *out, double x)
{
    if (x < 0) {
        *out++ = '-';
        x = -x;
    }
    if (x == 0) {
        *out++ = '0';
        return out;
    }
    long exponent = 0; /* of the first digit */
    if (x >= 1)
        while (exponent < LARGEST_TEN && x >= TEN[exponent + 1]) exponent++;
    else
        while (exponent > -LARGEST_TEN && x * TEN[-exponent] < 1) exponent--;
    const int plain = exponent > -5 && exponent < DIGITS;
    if (!plain) {
        exponent = (long)floor(log10(x));
        x = scaled(x, -exponent);
    }
    uint64_t digits = (uint64_t)(scaled(x, DIGITS - 1 - (plain ? exponent : 0)) + 0.5);
    if (digits >= UINT64_C(1000000000)) { /* 0.9999999999 is 1 */
        digits /= 10;
        exponent++;
    }
    long places = DIGITS - 1 - exponent; /* digits behind the point */
    for (; digits % 10 == 0; digits /= 10) places--;
    size_t length = 1;
    for (uint64_t rest = digits; rest >= 10; rest /= 10) length++;
    if (!plain || exponent >= DIGITS) {
        out = put_digits(out, digits, length);
        *out++ = 'e';
        *out++ = places > 0 ? '-' : '+';
        const uint64_t power = (uint64_t)(places > 0 ? places : -places);
        return put_digits(out, power, power < 10 ? 1 : power < 100 ? 2 : 3);
    }
    if (places <= 0) { /* a whole number: its zeros are put back */
        out = put_digits(out, digits, length);
        while (places++ < 0) *out++ = '0';
        return out;
    }
    const uint64_t unit = (uint64_t)TEN[places];
    const uint64_t whole = digits / unit;
    length = 1;
    for (uint64_t rest = whole; rest >= 10; rest /= 10) length++;
    out = put_digits(out, whole, length);
    *out++ = '.';
    return put_digits(out, digits % unit, (size_t)places);
}

/* The node that c is a child of: the last whose children do not begin behind it. */
static size_t parent_of(const flm_arpa_trie *g, size_t c)
{
    size_t from = 0, to = g->contexts;
    while (to - from > 1) {
        const size_t middle = from + (to - from) / 2;
        if ((size_t)g->child[middle] <= c) from = middle;
        else to = middle;
    }
    return from;
}

size_t flm_arpa_write(uint8_t *out, size_t room, size_t *node, size_t last, const flm_arpa_trie *g, const uint8_t *name,
                      const size_t *offset, int32_t from, int32_t as, size_t k)
{
    uint8_t *const begin = out, *const end = out + room;
    size_t path[FLM_ARPA_WORDS + 1]; /* the n-gram's first 1, 2, ... k words as nodes */
    if (*node >= last) return 0;
    path[k - 1] = *node;
    for (size_t i = k - 1; i-- > 0;) path[i] = parent_of(g, path[i + 1]);
    for (size_t c = *node; c < last; c++) {
        path[k - 1] = c;
        for (size_t i = k - 1; i-- > 0;)
            while ((size_t)g->child[path[i] + 1] <= path[i + 1]) path[i]++;
        size_t need = 2 * NUMBER_BYTES + k + 2;
        for (size_t i = 0; i < k; i++) {
            const int32_t v = i == 0 && g->word[path[0]] == from ? as : g->word[path[i]];
            need += offset[v + 1] - offset[v];
        }
        if ((size_t)(end - out) < need) break;
        out = put_number(out, (double)g->logp[c] / LN10);
        for (size_t i = 0; i < k; i++) {
            const int32_t v = i == 0 && g->word[path[0]] == from ? as : g->word[path[i]];
            *out++ = i ? ' ' : '\t';
            out = put(out, name + offset[v], offset[v + 1] - offset[v]);
        }
        if (c < g->contexts) {
            *out++ = '\t';
            out = put_number(out, (double)g->backoff[c] / LN10);
        }
        *out++ = '\n';
        *node = c + 1;
    }
    return (size_t)(out - begin);
}
