/* words.h: the contract of the word table of words.c. As in fastlm.h every array belongs to the caller. */
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

#endif
