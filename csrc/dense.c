/* dense.c: products of matrices as they lie, for many rows. Included by kernels.h.
 *
 * Some columns of b are packed as the panels of product.c, as much of them as the second-level cache holds, and each
 * panel meets a tile of rows of a after the other: a tile's share of a is little beside that of the panel, so a is read
 * where it lies. Every element is one chain of fused multiply-adds for each BLOCK_K rows of b, added one after the
 * other, whatever the number of rows and columns. Goto & van de Geijn 2008. */

#define BLOCK_K 256
#define BLOCK_N 256
#define BLOCK_M 96

/* K rows of N <= WIDTH columns of b, from `b` on, as a panel of whole vectors, zeros beyond N. */
static void pack_columns(float *out, const float *b, size_t by_row, size_t by_column, size_t K, size_t N)
{
    const size_t width = vectors_from(0, N) * LANES;
    if (by_column == 1) {
        for (size_t k = 0; k < K; k++, out += width, b += by_row) {
            if (N == WIDTH) memcpy(out, b, WIDTH * sizeof *out);
            else {
                memcpy(out, b, N * sizeof *out);
                memset(out + N, 0, (width - N) * sizeof *out);
            }
        }
        return;
    }
    for (size_t n = 0; n < N; n += LANES) {
        const size_t columns = N - n < LANES ? N - n : LANES;
        const float *in = b + n * by_column;
        size_t k = 0;
#if defined FLM_AVX512
        if (columns == LANES && by_row == 1)
            for (; k + LANES <= K; k += LANES) transpose_square(out + k * width + n, width, in + k, by_column);
#endif
        for (; k < K; k++)
            for (size_t i = 0; i < LANES; i++)
                out[k * width + n + i] = i < columns ? in[k * by_row + i * by_column] : 0.0f;
    }
}

/* Rows of a, which start at a.at, by one packed panel, into out. */
INLINE void panel_tiles(float *out, size_t by_row, const operand a, const float *panel, size_t M, size_t N, int adds)
{
    const size_t vectors = vectors_from(0, N);
    vf sum[TILE_ROWS][PANEL];
    for (size_t m = 0, rows; m < M; m += rows) {
        operand x = a;
        x.at += m * a.by_row;
        rows = next_rows(M - m);
        for (size_t part = 0; part < LANES; part += W) {
            tile_sums(sum, &x, panel + part, rows, vectors);
            for (size_t r = 0; r < rows; r++)
                for (size_t at = part, v = 0; v < vectors && at < N; at += LANES, v++) {
                    float *to = out + (m + r) * by_row + at;
                    if (adds) sum[r][v] += load_up_to(to, N - at, 0.0f);
                    store_up_to(to, sum[r][v], N - at);
                }
        }
    }
}

static void dense_product(float *out, size_t by_row, const flm_strided *a, const flm_strided *b, size_t M, size_t N,
                          size_t K, int adds, float *room)
{
    const size_t blocks = (K + BLOCK_K - 1) / BLOCK_K, deep = blocks ? (K + blocks - 1) / blocks : 1;
    if (K == 0 && !adds)
        for (size_t m = 0; m < M; m++) memset(out + m * by_row, 0, N * sizeof *out);
    for (size_t j = 0; j < N; j += BLOCK_N)
        for (size_t k = 0; k < K; k += deep) {
            const size_t columns = N - j < BLOCK_N ? N - j : BLOCK_N, depth = K - k < deep ? K - k : deep;
            for (size_t n = 0; n < columns; n += WIDTH)
                pack_columns(room + n * depth, b->at + k * b->by_row + (j + n) * b->by_column, b->by_row, b->by_column,
                             depth, columns - n < WIDTH ? columns - n : WIDTH);
            for (size_t m = 0; m < M; m += BLOCK_M)
                for (size_t n = 0; n < columns; n += WIDTH) {
                    const operand x = {a->at + m * a->by_row + k * a->by_column, a->by_row, a->by_column, depth, 0, 1};
                    panel_tiles(out + m * by_row + j + n, by_row, x, room + n * depth, M - m < BLOCK_M ? M - m : BLOCK_M,
                                columns - n < WIDTH ? columns - n : WIDTH, adds || k);
                }
        }
}
_Static_assert(BLOCK_K * BLOCK_N <= FLM_ROOM, "what dense_product packs has no room");
#undef BLOCK_K
#undef BLOCK_N
#undef BLOCK_M
