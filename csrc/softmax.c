/* softmax.c: the softmax of rows and the losses on it. Included by kernels.h.
 *
 * A row is read three times: its maximum, the exponentials and their sum, the result; it stays in the cache between.
 * The maximum is subtracted first, so no exponential overflows and the sum is at least 1; a NaN, a +inf or a row of
 * -inf gives a row of NaN. */

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

static void softmax(float *out, const float *x, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, out += V, x += V) {
        const double sum = row_exp(out, x, row_max(x, V), V);
        row_scale(out, (float)(1.0 / sum), V);
    }
}

static void log_softmax(float *out, const float *x, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, out += V, x += V) {
        const float top = row_max(x, V);
        const float rest = (float)log(row_exp(NULL, x, top, V));
        for (size_t v = 0; v < V; v++) out[v] = (x[v] - top) - rest;
    }
}

static void cross_entropy(double *loss, const float *x, const int32_t *target, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, x += V) {
        loss[n] = 0.0;
        if (target[n] < 0) continue;
        const float top = row_max(x, V);
        loss[n] = log(row_exp(NULL, x, top, V)) + ((double)top - (double)x[target[n]]);
    }
}

static void softmax_cross_entropy(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, x += V) {
        loss[n] = 0.0;
        if (target[n] < 0) {
            memset(x, 0, V * sizeof *x);
            continue;
        }
        const float top = row_max(x, V), aim = x[target[n]];
        const double sum = row_exp(x, x, top, V);
        loss[n] = log(sum) + ((double)top - (double)aim);
        const double p = (double)x[target[n]] / sum;
        row_scale(x, (float)((double)scale / sum), V);
        x[target[n]] = (float)((double)scale * (p - 1.0));
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
