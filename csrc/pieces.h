/* pieces.h: the contract of pieces.c: pieces of words, learnt and applied by merging frequent pairs of pieces (byte-pair
 * encoding, Sennrich et al. 2016), beginning with single bytes, so that every text can be written. As in fastlm.h every
 * array belongs to the caller, outputs come first and sizes last. */
#ifndef FASTLM_PIECES_H
#define FASTLM_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* Text is cut into segments, which pieces never cross: a run of letters, of marks or of up to three digits, with the
 * blank before it; an apostrophe after a letter with the letters after it; or a run of white space, without a last blank
 * that belongs to what follows. Letters are those of ASCII and all characters beyond it but the punctuation of Latin-1,
 * Arabic, Devanagari, general punctuation and that of Chinese and Japanese. A segment has at most FLM_SEGMENT bytes, and
 * bytes that are not UTF-8 are letters. Returns where the segment from `at` < n on ends. */
enum { FLM_SEGMENT = 64 };
size_t flm_segment_end(const uint8_t *text, size_t at, size_t n);

/* The same by the regular expression of GPT-2 (Radford et al. 2019), for segments of any length:
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * with the letters and numbers of the table in unicode.inc. Bytes that are not UTF-8 are of none of these kinds. */
size_t flm_gpt2_segment_end(const uint8_t *text, size_t at, size_t n);

/* What learning works on: S bytes of different segments, and no more pairs than bytes at any time. Occurrences of a pair
 * are a list over their first places; the pairs are in a heap, the most frequent at the top, ties to the lower key. */
typedef struct flm_pair_counts {
    int32_t *symbol;          /* (S) the piece that begins at a place, -1 within one */
    int32_t *next, *previous; /* (S) places of the pieces beside it in its segment, -1 for none */
    int32_t *segment;         /* (S) the segment of a place */
    int32_t *after, *before;  /* (S) places of the next and the last occurrence of the pair at a place, -1 for none */
    uint64_t *key;            /* (S) of a pair: its first piece * 2^32 + its second */
    int64_t *count;           /* (S) how often the pair occurs */
    int32_t *first, *last;    /* (S) places of its first and last occurrence */
    int32_t *place;           /* (S) where it is in the heap; in an unused pair, the next unused one */
    int32_t *heap;            /* (S) pairs */
    uint32_t *slot;           /* (slots) a hash table of pairs, each + 1 */
    size_t slots;             /* a power of two, at least 2 S */
    size_t pairs, used;       /* pairs in the heap; pairs ever used */
    int32_t unused;           /* an unused pair, -1 for none */
} flm_pair_counts;

/* merge (most,3) = the pairs that are merged, the first one first, as (left, right, result): pieces 0 to 255 are the bytes
 * and 256, 257, ... the results, which may be equal where their bytes are. Merges the most frequent pair again and again,
 * until there are V pieces or `most` merges, or no pair occurs `least` times. begin, length (V): where the bytes of each
 * piece from 256 on stand in text. text (S): the segments one after another, segment s being offset[s] .. offset[s+1]
 * and occurring times[s] times. piece_slot (piece_slots): scratch, a power of two, at least 2 V. Returns the number of
 * merges, and of pieces in *pieces. Cost: about S log S. */
size_t flm_pieces_learn(int32_t *merge, int32_t *begin, int32_t *length, size_t *pieces, flm_pair_counts *p,
                        uint32_t *piece_slot, size_t piece_slots, const uint8_t *text, const int64_t *offset,
                        const int64_t *times, int64_t least, size_t most, size_t V, size_t segments);

/* Merges, the first one first: of any pieces, byte v being piece byte[v]. */
typedef struct flm_pieces {
    const int32_t *merge; /* (merges,3) left, right, result */
    const int32_t *byte;  /* (256) */
    const uint32_t *slot; /* (slots) of flm_pieces_index */
    size_t merges, slots; /* slots: a power of two, at least 2 * merges, at least 2 */
    int gpt2;             /* whether segments are those of flm_gpt2_segment_end */
} flm_pieces;

/* What segments were cut into before; all zero at first. A cache is used by one thread at a time. */
typedef struct flm_segment_cached {
    uint8_t segment[15], bytes;
    int32_t piece[7], pieces;
} flm_segment_cached;

/* slot (slots): the hash table of the merges; of equal pairs the first counts. */
void flm_pieces_index(uint32_t *slot, const flm_pieces *p);
/* What cutting a segment of more than FLM_SEGMENT bytes works on: a queue of pairs, by merge and place. */
typedef struct flm_long_segment {
    int32_t *piece, *next,
        *previous;  /* (room) the piece that begins at a byte, -1 within one; its neighbours' places */
    uint64_t *heap; /* (3 room) merge * 2^32 + place */
    size_t room, queued;
} flm_long_segment;

/* id = the pieces of a segment of n <= s->room bytes; returns their number. Cost: n log n. */
size_t flm_pieces_cut_long(int32_t *id, flm_long_segment *s, const flm_pieces *p, const uint8_t *segment, size_t n);
/* id[*written...] = the pieces of text[*position : n]: in every segment the earliest merge is done first, at its first
 * place. Returns 0 where the whole text was read, else how much room id (N) from *written on and the scratch must have:
 * FLM_SEGMENT, or the bytes of a longer segment. cache (cached): a power of two. */
size_t flm_pieces_encode(int32_t *id, size_t *written, size_t N, flm_segment_cached *cache, size_t cached,
                         flm_long_segment *scratch, const flm_pieces *p, const uint8_t *text, size_t *position,
                         size_t n);
/* id = the pieces of the segments of text one after another, segment s being offset[s] .. offset[s+1] and its pieces
 * begin[s] .. begin[s+1] (segments+1): at most one for each byte. Each has at most FLM_SEGMENT bytes. */
void flm_pieces_encode_segments(int32_t *id, int64_t *begin, const flm_pieces *p, const uint8_t *text,
                                const int64_t *offset, size_t segments);

#endif
