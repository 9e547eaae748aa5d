/* matrix.c: products of a few rows, which read every weight once and are bound by how fast weights come from the cache.
 * Included by kernels.h.
 *
 * Sums run in the order of k in every column, or in sixteen lanes where the matrix lies transposed, and a product is
 * rounded before it is added, so that every instruction set gives the same bytes. */

/* Columns at a time, so that they stay in the first-level cache. */
#define COLUMNS_OF_ONE 2048
#define COLUMNS_OF_SEVERAL 1024
#define NARROW 1024                      /* up to here four rows at a time are faster than eight, even for one row of x */

/* out[s,0..n) += the sum of R rows of w, each times its x[s]: R streams through memory, which the prefetchers follow,
 * and every weight is loaded once for S rows of x. */
INLINE void add_rows(float *out, const float *x, const float *w, size_t K, size_t N, size_t n, const size_t S,
                     const size_t R)
{
    vf factor[2][8];
    for (size_t s = 0; s < S; s++)
        UNROLL8 for (size_t r = 0; r < R; r++) factor[s][r] = splat(x[s * K + r]);
    for (size_t j = 0; j < n; j += W) {
        const size_t left = n - j;
        vf sum[2];
        UNROLL for (size_t s = 0; s < S; s++) sum[s] = load_up_to(out + s * N + j, left, 0.0f);
        UNROLL8 for (size_t r = 0; r < R; r++) {
            const vf weight = load_up_to(w + r * N + j, left, 0.0f);
            UNROLL for (size_t s = 0; s < S; s++) sum[s] += factor[s][r] * weight;
        }
        UNROLL for (size_t s = 0; s < S; s++) store_up_to(out + s * N + j, sum[s], left);
    }
}

static void add_dense(float *out, const float *x, const float *w, size_t S, size_t K, size_t N)
{
    const size_t columns = S == 1 ? COLUMNS_OF_ONE : COLUMNS_OF_SEVERAL, step = S == 1 && N > NARROW ? 8 : 4;
    for (size_t from = 0; from < N; from += columns) {
        const size_t n = N - from < columns ? N - from : columns, deep = K - K % step;
        for (size_t k = 0; k < deep; k += step) {
            const float *weights = w + k * N + from;
            if (step == 8) add_rows(out + from, x + k, weights, K, N, n, 1, 8);
            else {
                size_t s = 0;
                for (; s + 2 <= S; s += 2) add_rows(out + s * N + from, x + s * K + k, weights, K, N, n, 2, 4);
                if (s < S) add_rows(out + s * N + from, x + s * K + k, weights, K, N, n, 1, 4);
            }
        }
        for (size_t k = deep; k < K; k++)
            for (size_t s = 0; s < S; s++)
                add_rows(out + s * N + from, x + s * K + k, w + k * N + from, K, N, n, 1, 1);
    }
}

/* The sum of sixteen lanes: lane i + lane i+8, then i+4, i+2, i+1. */
INLINE float sum_lanes(const vf *part)
{
    float lane[LANES];
    memcpy(lane, part, sizeof lane);
    UNROLL8 for (int i = 0; i < 8; i++) lane[i] += lane[i + 8];
    UNROLL8 for (int i = 0; i < 4; i++) lane[i] += lane[i + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/* out[r] += x . w[r,:] for R rows of w (R,K). */
#define DOTS(R)                                                                                                      \
    INLINE void dots##R(float *out, const float *x, const float *w, size_t K)                                        \
    {                                                                                                                \
        vf sum[R][PARTS] = {{{0}}};                                                                                  \
        size_t k = 0;                                                                                                \
        for (; k + LANES <= K; k += LANES)                                                                           \
            UNROLL for (size_t p = 0; p < PARTS; p++) {                                                              \
                const vf factor = load(x + k + p * W);                                                               \
                UNROLL for (size_t r = 0; r < R; r++) sum[r][p] += factor * load(w + r * K + k + p * W);             \
            }                                                                                                        \
        UNROLL for (size_t p = 0; p < PARTS; p++) {                                                                  \
            if (k + p * W >= K) break;                                                                               \
            const size_t left = K - k - p * W;                                                                       \
            const vf factor = load_up_to(x + k + p * W, left, 0.0f);                                                 \
            UNROLL for (size_t r = 0; r < R; r++)                                                                    \
                sum[r][p] += factor * load_up_to(w + r * K + k + p * W, left, 0.0f);                                 \
        }                                                                                                            \
        UNROLL for (size_t r = 0; r < R; r++) out[r] += sum_lanes(sum[r]);                                           \
    }
DOTS(4)
DOTS(1)

static void add_transposed(float *out, const float *x, const float *w, size_t S, size_t K, size_t N)
{
    size_t n = 0;
    for (; n + 4 <= N; n += 4)
        for (size_t s = 0; s < S; s++) dots4(out + s * N + n, x + s * K, w + n * K, K);
    for (; n < N; n++)
        for (size_t s = 0; s < S; s++) dots1(out + s * N + n, x + s * K, w + n * K, K);
}

static void add_product(float *out, const float *x, const flm_matrix *m, size_t S)
{
    if (m->packed) add_packed(out, x, m, S);
    else if (m->transposed) add_transposed(out, x, m->dense, S, m->K, m->N);
    else add_dense(out, x, m->dense, S, m->K, m->N);
}
