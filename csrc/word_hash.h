/* word_hash.h: the hash of a run of bytes, by which tables in memory find words and pieces. It is not mix64 of
 * simd/hash.h, whose values files depend on: nothing outside a table depends on these, so that they may change. */
#ifndef FASTLM_WORD_HASH_H
#define FASTLM_WORD_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_step(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0x9E3779B97F4A7C15);
    x ^= x >> 29;
    x *= UINT64_C(0xD6E8FEB86659FD93);
    return x ^ (x >> 32);
}

static inline uint64_t hash_word(const uint8_t *word, size_t length)
{
    uint64_t h = hash_step(length), block;
    for (; length >= sizeof block; length -= sizeof block, word += sizeof block) {
        memcpy(&block, word, sizeof block);
        h = hash_step(h ^ block);
    }
    block = 0;
    for (size_t i = 0; i < length; i++) block |= (uint64_t)word[i] << (8 * i);
    return hash_step(h ^ block);
}

#endif
