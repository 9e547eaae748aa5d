/* decimal.h: powers of ten, for numbers that are read and written as decimals. */
#ifndef FASTLM_DECIMAL_H
#define FASTLM_DECIMAL_H

#define LN10 2.30258509299404568402

static const double TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { LARGEST_TEN = 22 }; /* the largest power of ten that a double holds exactly */

/* x times ten to the power of exponent. */
static inline double scaled(double x, long exponent)
{
    const double step = exponent < 0 ? 1 / TEN[LARGEST_TEN] : TEN[LARGEST_TEN];
    long left = exponent < 0 ? -exponent : exponent;
    for (; left > LARGEST_TEN && x != 0 && x < 1e300; left -= LARGEST_TEN) x *= step;
    if (left > LARGEST_TEN) return x; /* 0, or more than any float */
    return exponent < 0 ? x / TEN[left] : x * TEN[left];
}

#endif
