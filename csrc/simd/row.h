/* simd/row.h: what several kernels do to a row, and to the rows of packed sequences. */
#ifndef FLM_ROW_H
#define FLM_ROW_H

#include "simd/vec.h"

/* Sums of rows take so many columns at a time: their sums in double stay in the first-level cache. */
#define SUM_COLUMNS 256

/* out += x, in whole vectors and one part, where the compiler would end element by element. */
INLINE void add_to(float *out, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) store(out + i, load(out + i) + load(x + i));
    if (i < n) store_part(out + i, load_part(out + i, n - i, 0.0f) + load_part(x + i, n - i, 0.0f), n - i);
}

/* Sum of squares of a row, sixteen lanes in double. */
INLINE double row_squares(const float *x, size_t V)
{
    lanes sum = {0};
    size_t i = 0;
    /* clang-format off */
    for (; i + LANES <= V; i += LANES)
        UNROLL8 for (int h = 0; h < 2 * PARTS; h++) {
            const vd y = widen(x + i + h * (W / 2));
            sum.part[h] = add_square(y, sum.part[h]);
        }
    /* clang-format on */
    if (i < V)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const size_t from = i + (size_t)(p * W), left = from < V ? V - from : 0;
            if (left == 0) break;
            lanes_add_square(&sum, p, load_up_to(x + from, left, 0.0f));
        }
    return lanes_total(&sum);
}

/* The number of rows in all: what runs along packed sequences from their end begins there. */
INLINE size_t rows_of(const size_t *size, size_t T)
{
    size_t N = 0;
    for (size_t t = 0; t < T; t++) N += size[t];
    return N;
}

/* Rows of `to` (count,H) = rows of `from`, zeros where a document starts. */
INLINE void carry_rows(float *to, const float *from, const uint8_t *starts, size_t count, size_t H)
{
    if (to != from) memcpy(to, from, count * H * sizeof *to);
    for (size_t s = 0; starts && s < count; s++)
        if (starts[s]) memset(to + s * H, 0, H * sizeof *to);
}

#endif
