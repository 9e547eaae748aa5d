/* simd/hash.h: the hash of numbers: dropout, hashed n-grams and n-grams over factors all mix with it. Model files and
 * the bytes that are trained depend on its values. */
#ifndef FLM_HASH_H
#define FLM_HASH_H

#include <stdint.h>

/* 2^64 divided by the golden ratio: multiples of it differ in many bits, however close the factors are. */
#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

/* Spreads the bits of a number over all 64: the finaliser of SplitMix64 (Steele et al. 2014), Stafford's variant 13. It
 * is a bijection, and mix64(0) = 0. */
static inline uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
