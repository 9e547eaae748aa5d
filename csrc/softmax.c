/* softmax.c: the softmax of rows and the losses on it. Included by kernels.h.
 *
 * A row is read three times: its maximum, the exponentials and their sum, the result; it stays in the cache between.
 * Short rows go several at a time through each stage, so that the processor works on one while another waits for its
 * sum. The maximum is subtracted first, so no exponential overflows and the sum is at least 1; a NaN, a +inf or a row
 * of -inf gives a row of NaN. */

INLINE float row_max(const float *x, size_t V)
{
    vf best[PARTS];
    size_t i = 0;
    UNROLL for (int p = 0; p < PARTS; p++) best[p] = splat(-INFINITY);
    for (; i + LANES <= V; i += LANES)
        UNROLL for (int p = 0; p < PARTS; p++) best[p] = max(load(x + i + p * W), best[p]);
    for (; i < V; i += W) best[0] = max(load_up_to(x + i, V - i, -INFINITY), best[0]);
    UNROLL for (int p = 1; p < PARTS; p++) best[0] = max(best[p], best[0]);
    return vector_max(best[0]);
}

/* The sum of exp(x - shift); the exponentials are written to out unless it is NULL. out may be x. */
INLINE double row_exp(float *out, const float *x, float shift, size_t V)
{
    lanes sum = {0};
    size_t i = 0;
    for (; i + LANES <= V; i += LANES)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const vf e = exp_negative(load(x + i + p * W) - shift);
            if (out) store(out + i + p * W, e);
            lanes_add(&sum, p, e);
        }
    if (i < V)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const size_t from = i + (size_t)(p * W), left = from < V ? V - from : 0;
            if (left == 0) break;
            const vf e = exp_negative(load_up_to(x + from, left, -INFINITY) - shift);
            if (out) store_up_to(out + from, e, left);
            lanes_add(&sum, p, e);
        }
    return lanes_total(&sum);
}

INLINE void row_scale(float *x, float a, size_t V)
{
    size_t i = 0;
    for (; i + W <= V; i += W) store(x + i, load(x + i) * a);
    if (i < V) store_part(x + i, load_part(x + i, V - i, 0.0f) * a, V - i);
}

#define TOGETHER 8
INLINE size_t rows_together(size_t left, size_t V)
{
    const size_t most = V <= 1024 ? TOGETHER : 1;
    return left < most ? left : most;
}

/* The maximum and the sum of exp(x - maximum) of some rows; out as in row_exp. */
INLINE void rows_exp(float *out, const float *x, float *top, double *sum, size_t rows, size_t V)
{
    for (size_t r = 0; r < rows; r++) top[r] = row_max(x + r * V, V);
    for (size_t r = 0; r < rows; r++) sum[r] = row_exp(out ? out + r * V : NULL, x + r * V, top[r], V);
}

static void softmax(float *out, const float *x, size_t N, size_t V)
{
    float top[TOGETHER];
    double sum[TOGETHER];
    for (size_t n = 0, rows; n < N; n += rows, out += rows * V, x += rows * V) {
        rows = rows_together(N - n, V);
        rows_exp(out, x, top, sum, rows, V);
        for (size_t r = 0; r < rows; r++) row_scale(out + r * V, (float)(1.0 / sum[r]), V);
    }
}

static void log_softmax(float *out, const float *x, size_t N, size_t V)
{
    float top[TOGETHER];
    double sum[TOGETHER];
    for (size_t n = 0, rows; n < N; n += rows) {
        rows = rows_together(N - n, V);
        rows_exp(NULL, x, top, sum, rows, V);
        for (size_t r = 0; r < rows; r++, out += V, x += V) {
            const float rest = (float)log(sum[r]);
            for (size_t v = 0; v < V; v++) out[v] = (x[v] - top[r]) - rest;
        }
    }
}

static void cross_entropy(double *loss, const float *x, const int32_t *target, size_t N, size_t V)
{
    float top[TOGETHER];
    double sum[TOGETHER];
    for (size_t n = 0, rows; n < N; n += rows) {
        rows = rows_together(N - n, V);
        rows_exp(NULL, x, top, sum, rows, V);
        for (size_t r = 0; r < rows; r++, x += V) {
            const int32_t aim = target[n + r];
            loss[n + r] = aim < 0 ? 0.0 : log(sum[r]) + ((double)top[r] - (double)x[aim]);
        }
    }
}

static void softmax_cross_entropy(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V)
{
    float top[TOGETHER];
    double sum[TOGETHER];
    for (size_t n = 0, rows; n < N; n += rows) {
        rows = rows_together(N - n, V);
        for (size_t r = 0; r < rows; r++) {
            const int32_t aim = target[n + r];
            loss[n + r] = aim < 0 ? 0.0 : -(double)x[r * V + (size_t)aim];
        }
        rows_exp(x, x, top, sum, rows, V);
        for (size_t r = 0; r < rows; r++, x += V) {
            const int32_t aim = target[n + r];
            if (aim < 0) {
                memset(x, 0, V * sizeof *x);
                continue;
            }
            const double p = (double)x[aim] / sum[r];
            loss[n + r] = log(sum[r]) + ((double)top[r] + loss[n + r]);
            row_scale(x, (float)((double)scale / sum[r]), V);
            x[aim] = (float)((double)scale * (p - 1.0));
        }
    }
}

/* Sum of squares of a row, sixteen lanes in double. */
INLINE double row_squares(const float *x, size_t V)
{
    lanes sum = {0};
    size_t i = 0;
    for (; i + LANES <= V; i += LANES)
        UNROLL for (int p = 0; p < PARTS; p++) lanes_add_square(&sum, p, load(x + i + p * W));
    if (i < V)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const size_t from = i + (size_t)(p * W), left = from < V ? V - from : 0;
            if (left == 0) break;
            lanes_add_square(&sum, p, load_up_to(x + from, left, 0.0f));
        }
    return lanes_total(&sum);
}

static void softmax_squared(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, x += V) {
        loss[n] = 0.0;
        if (target[n] < 0) {
            memset(x, 0, V * sizeof *x);
            continue;
        }
        const double sum = row_exp(x, x, row_max(x, V), V);
        const double p = (double)x[target[n]] / sum;
        x[target[n]] = 0.0f;
        const double others = row_squares(x, V) / (sum * sum);                 /* sum of p[v]^2, v != target */
        const double miss = 1.0 - p;
        loss[n] = others + miss * miss;
        const double dot = others - p * miss;                                  /* sum_v e[v] p[v] */
        const float from_p = (float)(1.0 / sum), twice = 2.0f * scale, shift = (float)dot;
        for (size_t v = 0; v < V; v++) {
            const float q = x[v] * from_p;
            x[v] = twice * q * (q - shift);
        }
        x[target[n]] = (float)(2.0 * (double)scale * p * (-miss - dot));
    }
}
