/* ngram/runs.c: sorted n-grams written as bytes, and read from them. Declared in runs.h. */
#include "ngram/record.h"

#define AHEAD 16u /* n-grams whose waits for the text overlap */

size_t flm_run_write(uint8_t *out, size_t room, flm_run_place *place, const int32_t *id, const int32_t *position,
                     const uint8_t *shared, const uint8_t *reach, size_t last, size_t most)
{
    uint8_t *at = out;
    for (size_t r = place->rank, end; r < last; r = end) {
        const size_t length = reach[r] & FLM_NGRAM_LENGTH;
        const size_t same = shared[r] < place->same ? shared[r] : place->same;
        uint64_t count = 0, begins = 0;
        size_t from = 0;
        if (room - (size_t)(at - out) < FLM_RUN_RECORD) break;
        if (r + AHEAD < last) __builtin_prefetch(id + position[r + AHEAD]);
        for (end = r; end < last && (end == r || (shared[end] == length && (reach[end] & FLM_NGRAM_LENGTH) == length));
             end++) {
            if ((size_t)position[end] >= most) continue;
            from = (size_t)position[end];
            count++;
            begins += (reach[end] & FLM_NGRAM_BEGINS) != 0;
        }
        place->rank = end;
        place->same = same;
        if (count == 0) continue;
        at = put_record(at, id + from, same, length, 0, count, begins);
        place->same = FLM_NGRAM_LENGTH;
    }
    return (size_t)(at - out);
}

int flm_run_next(flm_run *r)
{
    const uint8_t *at = r->at;
    uint64_t x;
    if (at == r->end && r->whole) r->done = 1;
    if (r->done || (!r->whole && (size_t)(r->end - at) < FLM_RUN_RECORD)) return 0;
    r->same = *at++;
    r->length = *at & FLM_NGRAM_LENGTH;
    r->begins = *at++ & FLM_NGRAM_BEGINS;
    r->repeated = *at++;
    for (size_t j = r->same; j < r->length; j++) {
        at = get(&x, at);
        r->token[j] = (int32_t)x;
    }
    at = get(&r->count, at);
    if (r->begins) at = get(&r->begins, at);
    r->at = at;
    return 1;
}
