/* norm.c: what stands between the products of a transformer block, one pass each: layer normalisation (Ba et al. 2016),
 * GELU with its bias (Hendrycks & Gimpel 2016), and the residual sum. Included by kernels.h. */

#define LEAST_VARIANCE 1e-5

/* Over the vectors of a row of D: part p of the 16 lanes at d, of which `left` floats are there. */
#define OVER_LANES(d, p, left)                                                                                       \
    for (size_t d = 0, left = D, p = 0; d < D; d += W, left -= left < W ? left : W, p = (p + 1) % PARTS)

static void layer_norm(float *out, float *moments, const float *x, const float *gain, const float *bias, size_t N,
                       size_t D)
{
    for (size_t n = 0; n < N; n++, x += D, out += D) {
        lanes sum = {{{0}}}, squares = {{{0}}};
        OVER_LANES(d, p, left) lanes_add(&sum, (int)p, load_up_to(x + d, left, 0.0f));
        const float mean = (float)(lanes_total(&sum) / (double)D);
        OVER_LANES(d, p, left) lanes_add_square(&squares, (int)p, load_up_to(x + d, left, mean) - mean);
        const float scale = (float)(1.0 / sqrt(lanes_total(&squares) / (double)D + LEAST_VARIANCE));
        for (size_t d = 0; d < D; d++) out[d] = (x[d] - mean) * scale * gain[d] + bias[d];
        moments[2 * n] = mean;
        moments[2 * n + 1] = scale;
    }
}
#undef LEAST_VARIANCE

/* sum[d] += x, sum[D+d] += x times y made standard. */
INLINE void add_moments(double *sum, size_t D, const float *x, const float *y, float mean, float scale)
{
    for (size_t d = 0; d < D; d++) {
        sum[d] += (double)x[d];
        sum[D + d] += (double)(x[d] * ((y[d] - mean) * scale));
    }
}

static void layer_norm_back(float *dx, float *dgain, float *dbias, double *sums, const float *dout, const float *x,
                            const float *moments, const float *gain, size_t N, size_t D)
{
    memset(sums, 0, 2 * D * sizeof *sums);
    for (size_t n = 0; n < N; n++, x += D, dx += D, dout += D) {
        const float mean = moments[2 * n], scale = moments[2 * n + 1];
        lanes sum = {{{0}}}, product = {{{0}}};
        OVER_LANES(d, p, left) {
            const vf g = load_up_to(dout + d, left, 0.0f) * load_up_to(gain + d, left, 0.0f);
            lanes_add(&sum, (int)p, g);
            lanes_add(&product, (int)p, g * ((load_up_to(x + d, left, 0.0f) - mean) * scale));
        }
        const float first = (float)(lanes_total(&sum) / (double)D), second = (float)(lanes_total(&product) / (double)D);
        for (size_t d = 0; d < D; d++)
            dx[d] += scale * ((dout[d] * gain[d] - first) - (x[d] - mean) * scale * second);
        add_moments(sums, D, dout, x, mean, scale);
    }
    for (size_t d = 0; d < D; d++) dbias[d] = (float)((double)dbias[d] + sums[d]);
    for (size_t d = 0; d < D; d++) dgain[d] = (float)((double)dgain[d] + sums[D + d]);
}
#undef OVER_LANES

/* W units: u s with s = sigmoid(2 c (u + 0.044715 u^3)), c = sqrt(2 / pi), and its derivative. */
INLINE vf gelu_of(vf u, vf *slope)
{
    const vf square = u * u, s = sigmoid_of(u * (1.59576912f + square * 0.0713548163f));
    *slope = s + u * s * (1.0f - s) * (1.59576912f + square * 0.214064449f);
    return u * s;
}

static void gelu(float *out, float *slope, const float *x, const float *bias, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++)
        for (size_t d = 0; d < D; d += W) {
            const size_t left = D - d, at = n * D + d;
            vf derivative;
            const vf y = gelu_of(load_up_to(x + at, left, 0.0f) + load_up_to(bias + d, left, 0.0f), &derivative);
            if (slope) store_up_to(slope + at, derivative, left);
            store_up_to(out + at, y, left);
        }
}

/* Columns go in groups whose sums in double stay in the first-level cache, as in sum_rows. */
#define COLUMNS 256
static void multiply_sum(float *dx, float *dbias, const float *slope, size_t N, size_t D)
{
    for (size_t from = 0; from < D; from += COLUMNS) {
        const size_t count = D - from < COLUMNS ? D - from : COLUMNS;
        double sum[COLUMNS] = {0};
        for (size_t n = 0; n < N; n++) {
            float *row = dx + n * D + from;
            const float *factor = slope + n * D + from;
            for (size_t d = 0; d < count; d++) {
                row[d] *= factor[d];
                sum[d] += (double)row[d];
            }
        }
        for (size_t d = 0; d < count; d++) dbias[from + d] = (float)((double)dbias[from + d] + sum[d]);
    }
}
#undef COLUMNS

static void residual(float *out, const float *x, const float *bias, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++)
        for (size_t d = 0; d < D; d++) out[n * D + d] += x[n * D + d] + bias[d];
}
