/* simd/log.h: the natural logarithm in double, the same bits on every processor; the C library's may differ in the
 * last. */
#ifndef FLM_LOG_H
#define FLM_LOG_H

#include <stdint.h>
#include <string.h>

/* log x for normal x > 0: x = 2^e m with m within sqrt(2) of 1, and log m = 2 atanh z, z = (m-1)/(m+1), as its series;
 * relative error below 1e-13. */
static inline double log_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int64_t e = (int64_t)(bits - UINT64_C(0x3FE6A09E667F3BCD)) >> 52;
    bits -= (uint64_t)e << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double z = (m - 1) / (m + 1), s = z * z;
    const double tail = 1. / 7 + s * (1. / 9 + s * (1. / 11 + s * (1. / 13 + s / 15)));
    return (double)e * 0.69314718055994530942 + 2 * z * (1 + s * (1. / 3 + s * (1. / 5 + s * tail)));
}

#endif
