/* simd/log.h: the natural logarithm and the exponential in double, the same bits on every processor; the C library's may
 * differ in the last. */
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

/* exp x, 0 below -708: 2^n times the series of the rest, which is within log(2) / 2 of 0; relative error below 1e-15. */
static inline double exp_of(double x)
{
    if (!(x > -708)) return 0;
    if (x > 709) x = 709;
    const int64_t n = (int64_t)(x * 1.44269504088896340736 + (x < 0 ? -0.5 : 0.5));
    const double r = (x - (double)n * 0.693147180369123816490) - (double)n * 1.90821492927058770002e-10;
    const double r2 = r * r, r4 = r2 * r2; /* 1 + r + r^2/2! + ... + r^11/11!, added in pairs */
    const double low = (1 + r) + r2 * (1. / 2 + r * (1. / 6)),
                 middle = (1. / 24 + r * (1. / 120)) + r2 * (1. / 720 + r * (1. / 5040));
    const double high = (1. / 40320 + r * (1. / 362880)) + r2 * (1. / 3628800 + r * (1. / 39916800));
    const double sum = low + r4 * (middle + r4 * high);
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

#endif
