/* rows.c: tables indexed by row, and sums along packed sequences. Included by kernels.h. */

static void gather(float *out, const float *table, const int64_t *row, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++) {
        if (row[n] < 0) memset(out + n * D, 0, D * sizeof *out);
        else memcpy(out + n * D, table + (size_t)row[n] * D, D * sizeof *out);
    }
}

/* Whole vectors and one part, where the compiler would end element by element. */
INLINE void add_to(float *out, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) store(out + i, load(out + i) + load(x + i));
    if (i < n) store_part(out + i, load_part(out + i, n - i, 0.0f) + load_part(x + i, n - i, 0.0f), n - i);
}

static void scatter_add(float *dtable, const float *dout, const int64_t *row, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++)
        if (row[n] >= 0) add_to(dtable + (size_t)row[n] * D, dout + n * D, D);
}

static void position_rows(int64_t *row, int64_t *position, const int32_t *id, const uint8_t *starts,
                          const size_t *size, size_t T, size_t P, size_t V)
{
    size_t n = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            if (starts && starts[n]) position[s] = 0;
            row[n] = position[s] < (int64_t)P ? position[s] * (int64_t)V + id[n] : -1;
            position[s]++;
        }
}

/* One row of prefix_sum, in one pass: added and bias may be NULL. */
INLINE void running_row(float *restrict out, float *restrict carry, const float *restrict added,
                        const float *restrict bias, size_t V)
{
    if (added && bias)
        for (size_t v = 0; v < V; v++) out[v] = (carry[v] += added[v]) + bias[v];
    else if (added)
        for (size_t v = 0; v < V; v++) out[v] = carry[v] += added[v];
    else if (bias)
        for (size_t v = 0; v < V; v++) out[v] = carry[v] + bias[v];
    else
        memcpy(out, carry, V * sizeof *out);
}

static void prefix_sum(float *out, float *carry, const float *table, const float *bias, const int64_t *row,
                       const uint8_t *starts, const size_t *size, size_t T, size_t V)
{
    size_t n = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            if (starts && starts[n]) memset(carry + s * V, 0, V * sizeof *carry);
            running_row(out + n * V, carry + s * V, row[n] < 0 ? NULL : table + (size_t)row[n] * V, bias, V);
        }
}

INLINE void running_row_back(float *restrict dadded, float *restrict running, const float *restrict dout, size_t V)
{
    for (size_t v = 0; v < V; v++) dadded[v] += running[v] += dout[v];
}

/* The number of rows in all: the loops below run backwards from there. */
INLINE size_t rows_of(const size_t *size, size_t T)
{
    size_t N = 0;
    for (size_t t = 0; t < T; t++) N += size[t];
    return N;
}

static void suffix_sum(float *dtable, float *running, const float *dout, const int64_t *row,
                       const uint8_t *starts, const size_t *size, size_t T, size_t V)
{
    size_t n = rows_of(size, T);
    for (size_t t = T; t-- > 0;)
        for (size_t s = size[t]; s-- > 0;) {
            n--;
            if (row[n] < 0) add_to(running + s * V, dout + n * V, V);
            else running_row_back(dtable + (size_t)row[n] * V, running + s * V, dout + n * V, V);
            if (starts && starts[n]) memset(running + s * V, 0, V * sizeof *running);
        }
}

/* out (K,D) = rate * before (K,D) + x (D). */
INLINE void decay_row(float *out, const float *before, const float *x, const float *rate, size_t K, size_t D)
{
    size_t d = 0;
    for (; d + W <= D; d += W) {
        const vf added = load(x + d);
        for (size_t k = 0; k < K; k++) store(out + k * D + d, rate[k] * load(before + k * D + d) + added);
    }
    for (size_t k = 0; d < D && k < K; k++) {
        const vf left = load_part(before + k * D + d, D - d, 0.0f), added = load_part(x + d, D - d, 0.0f);
        store_part(out + k * D + d, rate[k] * left + added, D - d);
    }
}

static void decayed_sum(float *out, float *carry, const float *x, const float *rate, const uint8_t *starts,
                        const size_t *size, size_t T, size_t K, size_t D)
{
    size_t n = 0;                             /* what a row decays from is the row a step before it: only the last is copied */
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            float *lane = carry + s * K * D, *sums = out + n * K * D;
            const float *before = t ? sums - size[t - 1] * K * D : lane;
            if (starts && starts[n]) before = memset(lane, 0, K * D * sizeof *lane);
            decay_row(sums, before, x + n * D, rate, K, D);
            if (t + 1 == T || s >= size[t + 1]) memcpy(lane, sums, K * D * sizeof *lane);
        }
}

INLINE void decay_row_back(float *restrict dx, float *restrict running, const float *restrict dout, float rate,
                           size_t D)
{
    for (size_t d = 0; d < D; d++) {
        const float sum = running[d] + dout[d];
        dx[d] += sum;
        running[d] = rate * sum;
    }
}

static void decayed_sum_back(float *dx, float *running, const float *dout, const float *rate, const uint8_t *starts,
                             const size_t *size, size_t T, size_t K, size_t D)
{
    size_t n = rows_of(size, T);
    for (size_t t = T; t-- > 0;)
        for (size_t s = size[t]; s-- > 0;) {
            n--;
            for (size_t k = 0; k < K; k++)
                decay_row_back(dx + n * D, running + (s * K + k) * D, dout + (n * K + k) * D, rate[k], D);
            if (starts && starts[n]) memset(running + s * K * D, 0, K * D * sizeof *running);
        }
}

static void last_ids(int64_t *out, int64_t *carry, const int32_t *id, const uint8_t *starts,
                     const size_t *size, size_t T, size_t L)
{
    size_t n = 0;
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            int64_t *earlier = carry + s * (L - 1);
            if (starts && starts[n])
                for (size_t l = 0; l + 1 < L; l++) earlier[l] = -1;
            out[n * L] = id[n];
            memcpy(out + n * L + 1, earlier, (L - 1) * sizeof *out);
            memcpy(earlier, out + n * L, (L - 1) * sizeof *out);
        }
}

INLINE void add_scaled(float *restrict out, const uint8_t *restrict x, float factor, size_t V)
{
    for (size_t v = 0; v < V; v++) out[v] += factor * (float)x[v];
}

/* In sixteen lanes, so that every instruction set adds in the same order. */
INLINE float bytes_dot(const float *restrict x, const uint8_t *restrict y, size_t V)
{
    float lane[LANES] = {0};
    size_t v = 0;
    for (; v + LANES <= V; v += LANES)
        for (size_t i = 0; i < LANES; i++) lane[i] += x[v + i] * (float)y[v + i];
    for (size_t i = 0; v + i < V; i++) lane[i] += x[v + i] * (float)y[v + i];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

static void add_bytes(float *out, const float *scale, const uint8_t *table, const int64_t *row, float unit, size_t N,
                      size_t K, size_t R, size_t V)
{
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++)
            add_scaled(out + n * V, table + (k * R + (size_t)row[n]) * V, unit * scale[n * K + k], V);
}

static void add_bytes_back(float *dscale, const float *dout, const uint8_t *table, const int64_t *row, float unit,
                           size_t N, size_t K, size_t R, size_t V)
{
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++)
            dscale[n * K + k] += unit * bytes_dot(dout + n * V, table + (k * R + (size_t)row[n]) * V, V);
}
