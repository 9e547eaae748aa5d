/* simd/tile.h: the product of a few rows with a panel of columns, in registers: what all products of many rows are made
 * of.
 *
 * A panel is PANEL vectors of LANES columns, or fewer, row after row, so that a product reads one stream. Every element
 * is one chain of multiply-adds, so that AVX2 and AVX-512 give the same bytes. They fuse multiply and add; the portable
 * path rounds twice. Goto & van de Geijn 2008. */
#ifndef FLM_TILE_H
#define FLM_TILE_H

#include "simd/vec.h"

#define PANEL 4 /* vectors of LANES columns in a panel, at most */
#define WIDTH (PANEL * LANES)
#define TILE_ROWS (W == 16 ? 6 : 3) /* 6 * 4 sums of 32 registers, or 3 * 4 of 16 */

#if defined FLM_AVX512
INLINE vf multiplied_add(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif defined FLM_AVX2
INLINE vf multiplied_add(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#else
INLINE vf multiplied_add(vf a, vf b, vf c) { return a * b + c; }
#endif

/* Element (r,k) of the left-hand matrix is at[r*by_row + (k/K)*by_block + (k%K)*by_k], k < K*blocks. */
typedef struct operand {
    const float *at;
    size_t by_row, by_k, K, by_block, blocks;
} operand;

/* out[r][v] = sum_k a[r,k] panel[k,v], for W of the 16 lanes of each of the panel's vectors; its rows lie `stride`
 * floats apart. */
INLINE void sums(vf out[][PANEL], const operand a, const float *panel, const size_t stride, const size_t rows,
                 const size_t vectors)
{
    vf sum[TILE_ROWS][PANEL];
    UNROLL8 for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] = splat(0.0f);
    for (size_t block = 0; block < a.blocks; block++) {
        const float *x = a.at + block * a.by_block;
        for (size_t k = 0; k < a.K; k++, x += a.by_k, panel += stride) {
            vf column[PANEL];
            UNROLL for (size_t v = 0; v < vectors; v++) column[v] = load(panel + v * LANES);
            UNROLL8 for (size_t r = 0; r < rows; r++) {
                const vf left = splat(x[r * a.by_row]);
                UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] = multiplied_add(left, column[v], sum[r][v]);
            }
        }
    }
    UNROLL8 for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) out[r][v] = sum[r][v];
}

INLINE void sums_of_rows(vf out[][PANEL], const operand a, const float *panel, const size_t stride, size_t rows,
                         const size_t vectors)
{
#if W == 16
    if (rows == 6) sums(out, a, panel, stride, 6, vectors);
    else if (rows == 5) sums(out, a, panel, stride, 5, vectors);
    else if (rows == 4) sums(out, a, panel, stride, 4, vectors);
    else
#endif
    if (rows == 3) sums(out, a, panel, stride, 3, vectors);
    else if (rows == 2) sums(out, a, panel, stride, 2, vectors);
    else sums(out, a, panel, stride, 1, vectors);
}

/* Not inlined: with what happens to the sums in the same function the compiler has no registers left for them. */
static __attribute__((noinline)) void tile_sums(vf out[][PANEL], const operand *a, const float *panel, size_t rows,
                                                size_t vectors)
{
    if (vectors == 4) sums_of_rows(out, *a, panel, 4 * LANES, rows, 4);
    else if (vectors == 3) sums_of_rows(out, *a, panel, 3 * LANES, rows, 3);
    else if (vectors == 2) sums_of_rows(out, *a, panel, 2 * LANES, rows, 2);
    else sums_of_rows(out, *a, panel, LANES, rows, 1);
}

/* The same for a panel that is part of a wider matrix. */
static __attribute__((noinline)) void strided_sums(vf out[][PANEL], const operand *a, const float *panel, size_t stride,
                                                   size_t rows, size_t vectors)
{
    if (vectors == 4) sums_of_rows(out, *a, panel, stride, rows, 4);
    else if (vectors == 3) sums_of_rows(out, *a, panel, stride, rows, 3);
    else if (vectors == 2) sums_of_rows(out, *a, panel, stride, rows, 2);
    else sums_of_rows(out, *a, panel, stride, rows, 1);
}

/* How many of the rows left the next tile takes: the fewest tiles, and those of nearly equal size. */
INLINE size_t next_rows(size_t left)
{
    const size_t tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + tiles - 1) / tiles;
}

/* Vectors that the columns from `from` on fill in their panel. */
INLINE size_t vectors_from(size_t from, size_t N)
{
    return N - from >= WIDTH ? PANEL : (N - from + LANES - 1) / LANES;
}

#endif
