/* ngram/arpa_write.c: writes the n-grams of a trie as lines of ARPA text. Declared in arpa.h. */
#include "arpa.h"

#include <math.h>
#include <string.h>

#include "decimal.h"

#define DIGITS 9        /* written of a number: a float32 is known by them */
#define NUMBER_BYTES 32 /* a number takes fewer, its sign and exponent included */

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
