/* spacing.c: what white space stands before every word and every end of line, and where they are in the text. Declared
 * in words.h. */
#include "words.h"

static inline int is_space(uint8_t c) { return c == ' ' || (uint8_t)(c - '\t') <= '\r' - '\t'; }

/* The kind of a word, by its last byte: after a full stop typists leave two blanks, and after what opens a block the
 * next line is further in. */
static inline uint8_t word_kind(uint8_t last)
{
    switch (last) {
    case '.':
    case '!':
    case '?':
        return FLM_GAP_STOP;
    case ':':
    case '{':
    case '(':
    case '[':
        return FLM_GAP_OPEN;
    default:
        return FLM_GAP_WORD;
    }
}

/* The kind of an end of line after a token of a kind: it remembers what ended the line. */
static inline uint8_t line_kind(uint8_t previous)
{
    return previous >= FLM_GAP_WORD ? (uint8_t)(previous - FLM_GAP_WORD + FLM_GAP_LINE) : FLM_GAP_BLANK;
}

/* Four runs of equal bytes fit into 64 bits: 3 bits for the byte and 13 for the length of each. */
uint64_t flm_gap_code(const uint8_t *text, size_t n)
{
    uint64_t code = 0;
    unsigned shift = 0;
    for (size_t at = 0; at < n; shift += 16) {
        size_t last = at + 1;
        while (last < n && text[last] == text[at]) last++;
        if (shift == 64 || last - at > FLM_GAP_LONGEST) return FLM_GAP_IRREGULAR;
        const uint64_t byte = text[at] == ' ' ? 1 : (uint64_t)(text[at] - '\t') + 2;
        code |= (byte << 13 | (uint64_t)(last - at)) << shift;
        at = last;
    }
    return code;
}

size_t flm_gaps_read(flm_gaps *walk, uint64_t *gap, uint64_t *before, uint8_t *kind, size_t *from, size_t *begin,
                     size_t *end, const uint8_t *text, const size_t *document_end, int newline, int ended,
                     size_t documents, size_t N)
{
    size_t out = 0;
    while (walk->document < documents && out < N) {
        const size_t first = walk->document ? document_end[walk->document - 1] : 0;
        const size_t n = document_end[walk->document], at = walk->at;
        const uint8_t previous = walk->previous;
        size_t p = at, last;
        uint8_t next, following;
        while (p < n && is_space(text[p]) && (text[p] != '\n' || !newline)) p++;
        last = p;
        if (p < n && text[p] == '\n') {
            last = p + 1;
            next = FLM_GAP_TO_LINE;
            following = line_kind(previous);
        } else if (p < n) {
            while (last < n && !is_space(text[last])) last++;
            next = FLM_GAP_TO_WORD;
            following = word_kind(text[last - 1]);
        } else if (!ended && walk->document + 1 == documents) {
            break;
        } else if (newline && n > first && (previous == FLM_GAP_START || previous >= FLM_GAP_WORD)) {
            next = FLM_GAP_TO_LINE; /* the end of the last line, which the text lacks */
            following = line_kind(previous);
        } else {
            next = FLM_GAP_TO_END;
            following = FLM_GAP_START;
        }
        uint64_t *remembered = walk->before + (previous >= FLM_GAP_WORD ? 3 : 0) + next;
        gap[out] = flm_gap_code(text + at, p - at);
        before[out] = *remembered;
        kind[out] = (uint8_t)(3 * previous + next);
        from[out] = at;
        begin[out] = p;
        end[out] = last;
        out++;
        *remembered = gap[out - 1];
        walk->at = last;
        walk->previous = following;
        if (next == FLM_GAP_TO_END) {
            walk->document++;
            for (size_t i = 0; i < 6; i++) walk->before[i] = FLM_GAP_NONE;
        }
    }
    return out;
}

size_t flm_count_words(uint8_t *inside, const uint8_t *text, size_t n)
{
    size_t count = 0;
    uint8_t in = *inside;
    for (size_t at = 0; at < n; at++) {
        const uint8_t now = !is_space(text[at]);
        count += (size_t)(now & !in) + (text[at] == '\n');
        in = now;
    }
    *inside = in;
    return count;
}
