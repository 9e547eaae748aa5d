/* ngram/record.h: the bytes of a record of a run, see runs.h. */
#ifndef FLM_RECORD_H
#define FLM_RECORD_H

#include "runs.h"

static inline uint8_t *put(uint8_t *out, uint64_t x)
{
    for (; x > 127; x >>= 7) *out++ = (uint8_t)(x | 128);
    *out++ = (uint8_t)x;
    return out;
}

static inline const uint8_t *get(uint64_t *x, const uint8_t *at)
{
    uint64_t value = *at & 127u;
    for (unsigned bit = 7; *at++ & 128; bit += 7) value |= (uint64_t)(*at & 127u) << bit;
    *x = value;
    return at;
}

static inline uint8_t *put_record(uint8_t *at, const int32_t *token, size_t same, size_t length, size_t repeated,
                                  uint64_t count, uint64_t begins)
{
    *at++ = (uint8_t)same;
    *at++ = (uint8_t)(length | (begins ? FLM_NGRAM_BEGINS : 0));
    *at++ = (uint8_t)repeated;
    for (size_t j = same; j < length; j++) at = put(at, (uint64_t)token[j]);
    at = put(at, count);
    return begins ? put(at, begins) : at;
}

#endif
