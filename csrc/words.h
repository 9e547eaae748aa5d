/* words.h: the contract of the word table of words.c, and of spacing.c, which reads what stands between words. As in
 * fastlm.h every array belongs to the caller. */
#ifndef FASTLM_WORDS_H
#define FASTLM_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* words.c: the words of UTF-8 text between ASCII whitespace (space, \t \n \v \f \r), numbered in order of appearance.
 * Whoever owns the table fills it in, sets offset[0] = 0 and calls flm_words_index; any number of threads may then
 * find in one table, one may learn. */
typedef struct flm_words {
    uint8_t *blob;                /* (bytes) the words, one after another */
    size_t *offset;               /* (capacity+1) word i is blob[offset[i] : offset[i+1]]; empty: id i has no word */
    uint64_t *slot;               /* (slots) the hash table, all of it flm_words_index's affair */
    size_t size, capacity, bytes; /* words there are, and room for; capacity < 2^31 */
    size_t slots;                 /* a power of two, at least 2 and at least 2*size */
    int tabs_inside;              /* whether \v and \f are parts of words, as ARPA files allow, and part none */
} flm_words;

enum { FLM_WORDS_DONE, FLM_WORDS_IDS_FULL, FLM_WORDS_WORDS_FULL, FLM_WORDS_SLOTS_FULL, FLM_WORDS_BLOB_FULL };

/* How many slots a table of `size` words begins with: a power of two, at least 16, of which they take less than a
 * quarter. */
size_t flm_words_slots(size_t size);
/* Builds the hash table over the words there are: at the start, and after `slot` was replaced by a larger one.
 * Returns size, or the first id whose word an earlier id has already. */
size_t flm_words_index(flm_words *w);
/* id[*written...] = the ids of the words of text[*position : n], each "\n" as the id `newline`, or as whitespace where
 * newline < 0. An unseen word becomes a new one. Returns FLM_WORDS_DONE, or what is full with *position at the token
 * that had no room: enlarge that array, keeping what it holds, and call again with the same arguments. */
int flm_words_learn(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text, size_t *position,
                    size_t n, int32_t newline);
/* The same with the table only read: an unseen word gets -1. Nothing but ids can be full. */
int flm_words_find(const flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text, size_t *position,
                   size_t n, int32_t newline);
/* flm_words_learn of the segments of pieces.h, which leave out nothing of the text. */
int flm_words_learn_segments(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text,
                             size_t *position, size_t n);

/* spacing.c: the gap before a token is the white space, perhaps none, between it and the token before it. Gaps are told
 * apart by what stands on both sides: the kind of a gap is 3 * (what stands before) + (what follows). */
enum { /* before: the start of a document; an end of line after nothing, a word, a stop, an opening; these themselves */
       FLM_GAP_START,
       FLM_GAP_BLANK,
       FLM_GAP_LINE,
       FLM_GAP_LINE_STOP,
       FLM_GAP_LINE_OPEN,
       FLM_GAP_WORD,
       FLM_GAP_STOP, /* a word that ends in . ! ? */
       FLM_GAP_OPEN, /* a word that ends in : { ( [ */
       FLM_GAP_KINDS
};
enum { FLM_GAP_TO_LINE, FLM_GAP_TO_WORD, FLM_GAP_TO_END }; /* what follows: an end of line, a word, nothing */
#define FLM_GAP_LONGEST 8191                               /* bytes of the longest run that a code tells */
#define FLM_GAP_IRREGULAR UINT64_MAX                       /* the code of gaps of longer or of more than four runs */
#define FLM_GAP_NONE (UINT64_MAX - 1)                      /* in place of the gap before, where there is none */

/* A walk over documents that lie one after another in a text. It begins with every number 0 and `before` FLM_GAP_NONE. */
typedef struct flm_gaps {
    size_t at, document; /* where the next gap begins, and in which document */
    uint64_t before[6];  /* the last gap of this document between the same sorts of neighbours */
    uint8_t previous;    /* what stands before the next gap */
} flm_gaps;

/* The code of a gap of n bytes: 0 where it is empty, 16 bits for each run of equal bytes, of which the upper three are
 * 1 for a blank and 2 to 6 for \t \n \v \f \r and the lower 13 the length; the first run is lowest. */
uint64_t flm_gap_code(const uint8_t *text, size_t n);
/* Writes at most N gaps and returns how many; fewer than N when the text is read. For each its code, the code of the
 * gap before it of the same sort, its kind, and that it is text[from : begin] and its token text[begin : end]. Document
 * d ends at document_end[d]; after its last token comes one gap more, of kind TO_END. Where `newline`, "\n" is a token,
 * and a document that has none at its end is read as if it had, as in fastlm.text. Where not `ended`, the last document
 * goes on in another text, which the same walk reads with `at` and `document` 0; white space at the end of the first is
 * passed over. */
size_t flm_gaps_read(flm_gaps *walk, uint64_t *gap, uint64_t *before, uint8_t *kind, size_t *from, size_t *begin,
                     size_t *end, const uint8_t *text, const size_t *document_end, int newline, int ended,
                     size_t documents, size_t N);
/* How many words and ends of lines begin in text[0 : n]; *inside: whether the byte before belongs to a word, in and
 * out. */
size_t flm_count_words(uint8_t *inside, const uint8_t *text, size_t n);
/* *id = the id of one word, of any bytes but no fewer than one, a new id for an unseen word. FLM_WORDS_DONE or what is
 * full, as flm_words_learn. */
int flm_words_add(flm_words *w, int32_t *id, const uint8_t *word, size_t length);
/* The id of one word, or -1. */
int32_t flm_words_get(const flm_words *w, const uint8_t *word, size_t length);

#endif
