/* runs.h: the contract of ngram/runs.c and ngram/merge.c: the n-grams of a text that is counted in segments, as sorted
 * runs of bytes, merged and made into a trie. As in fastlm.h every array belongs to the caller, and outputs come first,
 * sizes last.
 *
 * External sorting by merging runs (Knuth 1998, The Art of Computer Programming 3, section 5.4), as n-grams are counted
 * by Heafield et al. 2013, "Scalable modified Kneser-Ney language model estimation". A record is an n-gram of as many
 * tokens as its `span` had, see flm_ngram_spans: so many different ones, in lexicographic order, tell all shorter
 * n-grams too. Its bytes are: how many first tokens it shares with the record before it; how many it has, with
 * FLM_NGRAM_BEGINS where some of its occurrences begin a document; how many of its first tokens occur together more than
 * once (0 before merging); then, of 7 bits a byte, the lowest first and the highest bit saying that more follow, its
 * other tokens, how often it occurs, and how many of these begin a document. */
#ifndef FASTLM_RUNS_H
#define FASTLM_RUNS_H

#include <stddef.h>
#include <stdint.h>

#include "ngram.h"

/* The most bytes of a record: three, five for a token, ten for a count. */
enum { FLM_RUN_RECORD = 3 + 5 * FLM_NGRAM_LENGTH + 20 };

/* ngram/runs.c. Where a run is written, or read, up to: rank, the next n-gram to write; same, the tokens that the last
 * record written shares with the n-grams since. At first same = 0. */
typedef struct flm_run_place {
    size_t rank, same;
} flm_run_place;

/* Writes the n-grams [place->rank, last), sorted by flm_ngram_sort, as records; of those from position `most` on, which
 * belong to the next segment, none. Returns the bytes written: where not all fit into `room`, which is FLM_RUN_RECORD or
 * more, place->rank < last. Cost: a look at the text for each different n-gram. */
size_t flm_run_write(uint8_t *out, size_t room, flm_run_place *place, const int32_t *id, const int32_t *position,
                     const uint8_t *shared, const uint8_t *reach, size_t last, size_t most);

/* A run that is read, of which the bytes [at, end) are there; whole: whether no others follow. The rest is what was read
 * last; length 0: nothing yet. */
typedef struct flm_run {
    const uint8_t *at, *end;
    int whole, done;
    size_t same, length, repeated;
    uint64_t count, begins;
    int32_t token[FLM_NGRAM_LENGTH + 1];
} flm_run;

/* Reads the next record and returns 1; 0 where the bytes that are there may not hold one. At the end of a whole run
 * r->done becomes 1. */
int flm_run_next(flm_run *r);

/* ngram/merge.c. What is merged: the k runs, and a tree of losers over them; the record that is written next, which
 * waits in case others are equal to it; size[j], once[j], after_once[j]: the n-grams of j tokens, those that occur once,
 * and those whose first j - 1 tokens do. At first all is 0, but for the runs, and `from` is k. */
typedef struct flm_merge {
    flm_run *run;
    size_t *tree; /* (k) */
    size_t k, filled;
    flm_run next;
    size_t size[FLM_NGRAM_LENGTH + 1], once[FLM_NGRAM_LENGTH + 1], after_once[FLM_NGRAM_LENGTH + 1];
} flm_merge;

/* Merges runs into one until it is whole (returns k), `room`, of FLM_RUN_RECORD or more, is full (k + 1), or more bytes
 * of a run are needed (its number). Cost: log2 k comparisons a record, most of them of two numbers: records that have
 * more in common with the one written last come first (Ng & Kakehi 2008, "Merging string sequences by longest common
 * prefixes"). */
size_t flm_merge_runs(uint8_t *out, size_t room, size_t *written, flm_merge *m);

/* What of n-grams is kept, of `order` tokens at most: all of up to `whole` tokens, and of longer ones those whose
 * context, the tokens before the last one, occurs more than once or, with `once`, those that occur more than once
 * themselves. */
typedef struct flm_kept {
    size_t order, whole;
    int once;
} flm_kept;

/* A trie that is built of a merged run, see flm_trie: next[j], node[j]: the number of the next, and of the last n-gram of
 * j tokens; word, the first word whose children are not known. pruned[h] (contexts) or NULL: how many different words
 * have followed h in n-grams that are left out. */
typedef struct flm_growing {
    int32_t *word, *link, *child, *count, *pruned;
    size_t next[FLM_NGRAM_LENGTH + 2], node[FLM_NGRAM_LENGTH + 1], first_word;
} flm_growing;

/* Adds the n-grams of the records of r that are there: their words, their children, and how often those of `order`
 * tokens occur, and others begin a document. */
void flm_grow(flm_growing *g, flm_run *r, const flm_kept *kept);
/* Sets child of the words from g->first_word up to `last`, which no further records begin with. */
void flm_grow_to(flm_growing *g, size_t last);
/* Sets link of the children of the nodes [first, last), all of one level, whose own links are set, and adds one to the
 * count of each n-gram that another one is linked to. V: the words. */
void flm_link_counted(flm_growing *g, size_t first, size_t last, size_t V);
/* Adds one to the count of those n-grams that longer ones, which are left out, end in. Reads the records again, g->next
 * and g->node being as before flm_grow. */
void flm_count_left_out(flm_growing *g, flm_run *r, const flm_kept *kept);

#endif
