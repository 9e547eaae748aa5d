/* segments.c: cuts text into the segments that pieces of words never cross. Declared in pieces.h. */
#include "pieces.h"

#include <string.h>

enum kind { LETTER, DIGIT, MARK, SPACE };

static inline enum kind kind_of_ascii(uint8_t c)
{
    if ((uint8_t)((c | 32) - 'a') < 26) return LETTER;
    if ((uint8_t)(c - '0') < 10) return DIGIT;
    return c == ' ' || (uint8_t)(c - '\t') <= '\r' - '\t' ? SPACE : MARK;
}

/* Punctuation beyond ASCII: of Latin-1 but its letters; Arabic; the danda; general; Chinese and Japanese, at full and at
 * half width. */
static inline int is_mark(uint32_t code)
{
    static const uint32_t range[][2] = {
        {0xA0, 0xA9},     {0xAB, 0xB4},     {0xB6, 0xB9},     {0xBB, 0xBF},     {0x60C, 0x60D},   {0x61B, 0x61B},
        {0x61F, 0x61F},   {0x66A, 0x66D},   {0x964, 0x965},   {0x2000, 0x200B}, {0x200E, 0x206F}, {0x3000, 0x3004},
        {0x3008, 0x3020}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}};
    for (size_t r = 0; r < sizeof range / sizeof *range && code >= range[r][0]; r++)
        if (code <= range[r][1]) return 1;
    return 0;
}

/* The kind of the character at text[at], and its bytes: one where they are not UTF-8. */
static inline enum kind kind_at(const uint8_t *text, size_t at, size_t n, size_t *bytes)
{
    const uint8_t c = text[at];
    *bytes = 1;
    if (c < 128) return kind_of_ascii(c);
    const size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    uint32_t code = c & (0x7FU >> length);
    if (c < 0xC2 || c > 0xF4 || length > n - at) return LETTER;
    for (size_t i = 1; i < length; i++) {
        if ((text[at + i] & 0xC0) != 0x80) return LETTER;
        code = code << 6 | (text[at + i] & 0x3FU);
    }
    *bytes = length;
    return is_mark(code) ? MARK : LETTER;
}

/* Whether an apostrophe stands at text[at], straight or curly; its bytes. */
static inline size_t apostrophe(const uint8_t *text, size_t at, size_t n)
{
    if (text[at] == '\'') return 1;
    return n - at >= 3 && memcmp(text + at, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
}

size_t flm_segment_end(const uint8_t *text, size_t at, size_t n)
{
    const size_t begin = at;
    size_t bytes, most = n - at < FLM_SEGMENT ? n : at + FLM_SEGMENT, digits = 0;
    enum kind kind = kind_at(text, at, n, &bytes);
    if (text[at] == ' ' && n - at > 1) {
        const enum kind following = kind_at(text, at + 1, n, &bytes);
        if (following != SPACE) at++, kind = following;
        else bytes = 1;
    }
    const size_t quote = at == begin && at > 0 && (text[at - 1] > 127 || kind_of_ascii(text[at - 1]) == LETTER)
                             ? apostrophe(text, at, n)
                             : 0;
    size_t of_letter;
    if (quote && n - at > quote && kind_at(text, at + quote, n, &of_letter) == LETTER)
        kind = LETTER, at += quote, bytes = of_letter;
    for (;;) {
        at += bytes;
        if (at >= most || (kind == DIGIT && ++digits == 3)) break;
        if (kind_at(text, at, n, &bytes) != kind || at + bytes > most) break;
        if (kind == SPACE && text[at] == ' ' && n - at > 1 && kind_at(text, at + 1, n, &of_letter) != SPACE) break;
    }
    return at;
}
