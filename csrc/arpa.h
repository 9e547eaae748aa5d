/* arpa.h: the contract of ngram/arpa_read.c, ngram/arrange.c and ngram/arpa_write.c: n-gram models as ARPA text, read
 * into tables of n-grams and written from them. As in fastlm.h every array belongs to the caller, and outputs come
 * first, sizes last.
 *
 * A line holds log10 p, the words, and perhaps log10 of the backoff. Fields stand between spaces, tabs and carriage
 * returns, and nothing else parts them (as in KenLM's read_arpa.cc): words may hold any other byte but a newline and,
 * as no text of words holds one, a NUL. Figures leave as natural logarithms, in float32. */
#ifndef FASTLM_ARPA_H
#define FASTLM_ARPA_H

#include <stddef.h>
#include <stdint.h>

#include "words.h"

/* The n-grams as the nodes of a trie, numbered level after level: node v is word v by itself, the children of node h are
 * [child[h], child[h+1]) in the order of their words, link[c] is the n-gram without its oldest word, -1 for a single
 * word. Only the first `contexts` nodes have children and a backoff. */
typedef struct flm_arpa_trie {
    const int32_t *word, *link, *child;
    const float *logp, *backoff;
    size_t contexts;
} flm_arpa_trie;

enum { FLM_ARPA_WORDS = 127 }; /* of an n-gram, at most */

/* A block of whole lines, each ended by "\n". at, line: where the next line begins, and its number. After a fault they
 * are those of the line with the fault, which is about text[field : field+length]. */
typedef struct flm_arpa_block {
    const uint8_t *text;
    size_t n, at, line, field, length;
} flm_arpa_block;

/* What ends the reading of a block, beside FLM_WORDS_DONE (all of it is read) and what is full (enlarge, call again). */
enum {
    FLM_ARPA_HEADING = 16, /* a line that begins with a backslash comes next */
    FLM_ARPA_NUMBER,       /* a field is no number that float32 holds */
    FLM_ARPA_FIELDS,       /* a line of too many or too few fields */
    FLM_ARPA_UNSEEN,       /* a word that is no 1-gram */
    FLM_ARPA_TWICE,        /* a 1-gram that is there twice */
    FLM_ARPA_NUL           /* a NUL in a word */
};

/* How often each may happen is counted from 0 on over all calls for one order. */
typedef struct flm_arpa_tally {
    size_t lines;    /* n-grams read */
    size_t positive; /* log-probabilities above 0, which become 0 */
} flm_arpa_tally;

/* 1-grams: words become the next ids of w, with logp[id] and backoff[id] (N). "<s>" gets no id but begin[0] = its line,
 * begin[1] = 0, and its backoff in begin_backoff. */
int flm_arpa_words(flm_words *w, float *logp, float *backoff, size_t N, size_t *begin, float *begin_backoff,
                   flm_arpa_tally *tally, flm_arpa_block *b);

/* n-grams of k > 1 words: id (N,k), logp, backoff, line (line numbers), kind (N) from *n on. "<s>" becomes line_end,
 * and kind says where it stood; unknown: the id of <unk> and <UNK>, -1 where there is none. */
enum { FLM_ARPA_BEGINS = 1, FLM_ARPA_BEGIN_INSIDE = 2, FLM_ARPA_END_INSIDE = 4 };
int flm_arpa_grams(int32_t *id, float *logp, float *backoff, int32_t *line, uint8_t *kind, size_t N, size_t *n,
                   flm_arpa_tally *tally, flm_arpa_block *b, const flm_words *w, int32_t line_end, int32_t unknown,
                   size_t k);

/* node[i] = the n-gram of the first k of id[i,:] (N,width), -1 where it is not there. Only children of nodes of fewer
 * than k words are looked at. Cost: k - 1 searches, fewer where a row begins like the one before it. */
void flm_arpa_find(int32_t *node, const flm_arpa_trie *g, const int32_t *id, size_t width, size_t k, size_t N);

/* Sorts n n-grams by parent, one of the nodes [above, first), and word: order[j] (n) = which of them is node first + j,
 * and child[above..first] is set. Returns n, or the second of two n-grams that are the same. */
size_t flm_arpa_arrange(int32_t *order, int32_t *child, const int32_t *parent, const int32_t *word, size_t above,
                        size_t first, size_t n);

/* link[c] for the children of the nodes [above, first), all of one level, -1 where the n-gram without its oldest word
 * is not there. Returns how many are not. */
size_t flm_arpa_links(int32_t *link, const flm_arpa_trie *g, size_t above, size_t first);

/* Writes the lines of the nodes [*node, last), all of k words, to out (room); returns the bytes written, with *node the
 * first that had no room. Word v is name[offset[v] : offset[v+1]]; a first word `from` is written as word `as`. A
 * backoff is written where *node has one. Nine digits, from which float32 is read again to the bit. */
size_t flm_arpa_write(uint8_t *out, size_t room, size_t *node, size_t last, const flm_arpa_trie *g, const uint8_t *name,
                      const size_t *offset, int32_t from, int32_t as, size_t k);

#endif
