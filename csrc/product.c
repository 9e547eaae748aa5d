/* product.c: matrix products with a packed matrix, for the layers that take them at every time step.
 * Included by kernels.h.
 *
 * A BLAS packs the matrix at every call; for 16 to 64 rows that takes as long as half of the product. Here it is
 * packed once a batch, into panels of 4 * 16 columns, row after row, so that the product reads one stream. A tile of a
 * few rows by one panel stays in registers, and every element is one chain of multiply-adds, so that AVX2 and AVX-512
 * give the same bytes. They fuse multiply and add; the portable path rounds twice. Goto & van de Geijn 2008.
 *
 * Gate panels. What a layer of H units with G gates works on, (N,GH), is kept as ceil(H/16) panels: panel j holds, row
 * after row, the G gates of units 16j to 16j+15 side by side. It is what a tile of the product leaves, what the cell
 * reads, and what the products on the way back read in turn. Lanes beyond H hold any finite number. */

#define PANEL 4                                          /* vectors of LANES columns in a panel, at most */
#define WIDTH (PANEL * LANES)
#define TILE_ROWS (W == 16 ? 6 : 3)                      /* 6 * 4 sums of 32 registers, or 3 * 4 of 16 */

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

/* out[r][v] = sum_k a[r,k] panel[k,v], for W of the 16 lanes of each of the panel's vectors; its rows lie `stride` floats
 * apart. */
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

/* Some rows of all panels before the next ones: a panel's rows alone lie G H floats apart, on as many pages. */
static void panel_pack(float *out, const float *w, size_t K, size_t H, size_t G)
{
    for (size_t from = 0; from < K; from += LANES) {
        const size_t end = K - from < LANES ? K : from + LANES;
        for (size_t j = 0; j < H; j += LANES) {
            const size_t left = H - j < LANES ? H - j : LANES;
            float *to = out + (j * K + from * LANES) * G;
            for (size_t row = from * G; row < end * G; row++, to += LANES)
                if (left == LANES) memcpy(to, w + row * H + j, LANES * sizeof *to);
                else
                    for (size_t u = 0; u < LANES; u++) to[u] = u < left ? w[row * H + j + u] : 0.0f;
        }
    }
}

/* In squares of 16 by 16: the columns of w^T lie far apart, and the cache does not hold many such lines at a time. */
static void panel_pack_back(float *out, const float *w, size_t K, size_t H, size_t G)
{
    for (size_t from = 0; from < K; from += WIDTH) {
        const size_t vectors = vectors_from(from, K), width = vectors * LANES;
        for (size_t j = 0; j < H; j += LANES)
            for (size_t gate = 0; gate < G; gate++, out += LANES * width)
                for (size_t v = 0; v < vectors; v++) {
                    const size_t n = from + v * LANES, units = H - j < LANES ? H - j : LANES;
                    const size_t columns = K - n < LANES ? K - n : LANES;
#if defined FLM_AVX512
                    if (units == LANES && columns == LANES) {
                        transpose_square(out + v * LANES, width, w + (n * G + gate) * H + j, G * H);
                        continue;
                    }
#endif
                    float square[LANES][LANES] = {{0}};
                    for (size_t i = 0; i < columns; i++)
                        memcpy(square[i], w + ((n + i) * G + gate) * H + j, units * sizeof *out);
                    for (size_t u = 0; u < LANES; u++)
                        for (size_t i = 0; i < LANES; i++) out[u * width + v * LANES + i] = square[i][u];
                }
    }
}

static void panel_product(float *panels, const float *x, const float *packed, const float *bias, size_t N, size_t K,
                          size_t H, size_t G)
{
    vf sum[TILE_ROWS][PANEL];
    for (size_t j = 0; j < H; j += LANES)
        for (size_t n = 0, rows; n < N; n += rows) {
            const operand a = {x + n * K, K, 1, K, 0, 1};
            rows = next_rows(N - n);
            for (size_t part = 0; part < LANES; part += W) {
                const size_t left = H - j > part ? H - j - part : 0;
                tile_sums(sum, &a, packed + j * G * K + part, rows, G);
                for (size_t gate = 0; gate < G; gate++) {
                    const vf constant = left ? load_up_to(bias + gate * H + j + part, left, 0.0f) : splat(0.0f);
                    for (size_t r = 0; r < rows; r++)
                        store(panels + ((j / LANES * N + n + r) * G + gate) * LANES + part, sum[r][gate] + constant);
                }
            }
        }
}

/* out[n,k] += sum of the panels' row n times w[k]: for the rows that `skip` (N) or NULL does not flag. The panels have
 * `stride` rows, of which `panels` points to the first of N. */
INLINE void panel_rows_back(float *out, const float *panels, size_t stride, const float *packed, const uint8_t *skip,
                            size_t N, size_t K, size_t H, size_t G)
{
    const size_t blocks = (H + LANES - 1) / LANES, width = G * LANES;
    vf sum[TILE_ROWS][PANEL];
    for (size_t from = 0; from < K; from += WIDTH) {
        const size_t left = K - from, vectors = vectors_from(from, K);
        for (size_t n = 0, rows; n < N; n += rows) {
            const operand a = {panels + n * width, width, 1, width, stride * width, blocks};
            rows = next_rows(N - n);
            for (size_t part = 0; part < LANES; part += W) {
                tile_sums(sum, &a, packed + part, rows, vectors);
                for (size_t r = 0; r < rows; r++) {
                    if (skip && skip[n + r]) continue;
                    for (size_t at = part, v = 0; v < vectors && at < left; at += LANES, v++) {
                        float *to = out + (n + r) * K + from + at;
                        store_up_to(to, load_up_to(to, left - at, 0.0f) + sum[r][v], left - at);
                    }
                }
            }
        }
        packed += blocks * width * vectors * LANES;
    }
}

/* So many rows at a time that their share of the panels stays in the second-level cache from one panel to the next. */
#define TOGETHER_BACK 96
static void panel_product_back(float *dx, const float *panels, const float *packed, size_t N, size_t K, size_t H,
                               size_t G)
{
    for (size_t n = 0; n < N; n += TOGETHER_BACK)
        panel_rows_back(dx + n * K, panels + n * G * LANES, N, packed, NULL,
                        N - n < TOGETHER_BACK ? N - n : TOGETHER_BACK, K, H, G);
}
#undef TOGETHER_BACK

/* Rows are taken DEPTH at a time, so that the panel's share and that of x stay in the second-level cache. */
#define DEPTH 256
static void panel_weights(float *dw, const float *x, const float *panels, size_t N, size_t K, size_t H, size_t G)
{
    vf sum[TILE_ROWS][PANEL];
    for (size_t n = 0; n < N; n += DEPTH)
        for (size_t j = 0; j < H; j += LANES) {
            const float *panel = panels + (j / LANES * N + n) * G * LANES;
            for (size_t k = 0, rows; k < K; k += rows) {
                const operand a = {x + n * K + k, 1, K, N - n < DEPTH ? N - n : DEPTH, 0, 1};
                rows = next_rows(K - k);
                for (size_t part = 0; part < LANES && j + part < H; part += W) {
                    const size_t left = H - j - part;
                    tile_sums(sum, &a, panel + part, rows, G);
                    for (size_t r = 0; r < rows; r++)
                        for (size_t gate = 0; gate < G; gate++) {
                            float *to = dw + ((k + r) * G + gate) * H + j + part;
                            store_up_to(to, load_up_to(to, left, 0.0f) + sum[r][gate], left);
                        }
                }
            }
        }
}
#undef DEPTH

static void panel_sum(float *dbias, const float *panels, size_t N, size_t H, size_t G)
{
    const size_t width = G * LANES;
    for (size_t j = 0; j < H; j += LANES, panels += N * width) {
        double sum[WIDTH] = {0};
        for (size_t n = 0; n < N; n++)
            for (size_t i = 0; i < width; i++) sum[i] += (double)panels[n * width + i];
        for (size_t gate = 0; gate < G; gate++)
            for (size_t i = 0; i < LANES && j + i < H; i++) {
                float *to = dbias + gate * H + j + i;
                *to = (float)((double)*to + sum[gate * LANES + i]);
            }
    }
}

static void panel_scatter(float *out, const float *panels, const int64_t *row, size_t N, size_t R, size_t H, size_t G)
{
    const size_t width = G * LANES;
    for (size_t j = 0; j < H; j += LANES, panels += N * width, out += R * width)
        for (size_t n = 0; n < N; n++) add_to(out + (size_t)row[n] * width, panels + n * width, width);
}
