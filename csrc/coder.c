/* coder.c: a range coder, which writes symbols in -log2 p bits each and reads them back. Declared in fastlm.h.
 * Martin 1979, "Range encoding"; carries are kept back as in Schindler 1998. */
#include "fastlm.h"

#define LEAST_RANGE (UINT64_C(1) << 56) /* below it a byte is written, so that a range is known to 2^-24 of a total */
#define SCALE 1073741824.0f             /* 2^30: a symbol of p = 1e-6 is coded to a thousandth of its probability */

/* A symbol's share of the range in whole numbers. Every symbol has one, whatever float32 rounded its p to. */
static inline uint32_t frequency(float p)
{
    const float share = p > 0 ? (p < 1 ? p : 1) : 0; /* also 0 for what is no number */
    return 1 + (uint32_t)(int32_t)(share * SCALE);
}

static inline uint64_t sum(const float *p, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) total += frequency(p[i]);
    return total;
}

void flm_coder_start(flm_coder *coder) { *coder = (flm_coder){.range = UINT64_MAX, .held = -1}; }

/* Writes the byte that is kept back, increased by a carry, and those of 255 behind it, which a carry makes 0. */
static size_t release(flm_coder *coder, uint8_t *out, unsigned carry)
{
    size_t n = 0;
    if (coder->held >= 0) out[n++] = (uint8_t)((unsigned)coder->held + carry);
    for (; coder->full; coder->full--) out[n++] = (uint8_t)(255 + carry);
    coder->held = -1;
    return n;
}

static size_t shift(flm_coder *coder, uint8_t *out)
{
    size_t n = 0;
    const uint8_t top = (uint8_t)(coder->low >> 56);
    if (top == 255 && coder->held >= 0) {
        coder->full++;
    } else {
        n = release(coder, out, 0);
        coder->held = top;
    }
    coder->low <<= 8;
    return n;
}

size_t flm_encode(flm_coder *coder, uint8_t *out, const float *p, size_t symbol, size_t V)
{
    const uint64_t below = sum(p, symbol), own = frequency(p[symbol]);
    const uint64_t total = below + own + sum(p + symbol + 1, V - symbol - 1);
    const uint64_t unit = coder->range / total, low = coder->low;
    size_t n = 0;
    coder->low += unit * below;
    if (coder->low < low) {
        n = release(coder, out, 1);
        if (n) coder->held = out[--n];
    }
    coder->range = unit * own;
    for (; coder->range < LEAST_RANGE; coder->range <<= 8) n += shift(coder, out + n);
    return n;
}

size_t flm_encode_end(flm_coder *coder, uint8_t *out)
{
    size_t n = 0, bytes = 0;
    uint64_t low = coder->low, mask;
    do { /* the fewest bytes of a number in the range; whoever reads on finds zeros */
        mask = bytes == 8 ? 0 : UINT64_MAX >> (8 * bytes);
        low = (coder->low + mask) & ~mask;
    } while ((low < coder->low ? low + (UINT64_MAX - coder->low) + 1 : low - coder->low) >= coder->range &&
             ++bytes <= 8);
    if (low < coder->low) n = release(coder, out, 1);
    coder->low = low;
    for (; bytes; bytes--) n += shift(coder, out + n);
    return n + release(coder, out + n, 0);
}

static inline uint8_t next_byte(flm_coder *coder, const uint8_t *text, size_t n)
{
    const size_t at = coder->read++;
    return at < n ? text[at] : 0;
}

void flm_decode_start(flm_coder *coder, const uint8_t *text, size_t n)
{
    flm_coder_start(coder);
    for (int i = 0; i < 8; i++) coder->code = coder->code << 8 | next_byte(coder, text, n);
}

size_t flm_decode(flm_coder *coder, const uint8_t *text, const float *p, size_t n, size_t V)
{
    const uint64_t unit = coder->range / sum(p, V), wanted = coder->code / unit;
    uint64_t below = 0, own = 0;
    size_t symbol = 0;
    for (; symbol < V; symbol++, below += own) {
        own = frequency(p[symbol]);
        if (wanted < below + own) break;
    }
    if (symbol == V) return V;
    coder->code -= unit * below;
    coder->range = unit * own;
    for (; coder->range < LEAST_RANGE; coder->range <<= 8) coder->code = coder->code << 8 | next_byte(coder, text, n);
    return symbol;
}
