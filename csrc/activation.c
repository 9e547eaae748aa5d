/* activation.c: what happens to every element alone, and biases. Included by kernels.h. */

static void add(float *out, const float *x, size_t n)
{
    add_to(out, x, n);
}

static void add_bias(float *x, const float *bias, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++) add_to(x + n * D, bias, D);
}

/* Columns go in groups whose sums in double stay in the first-level cache, and rows four at a time, one after the other,
 * so that a sum is loaded and stored a quarter as often. Adding rows in float first would be faster, but what comes out
 * is small beside what goes in: gradients of a bias cancel. */
#define COLUMNS 256
static void sum_rows(float *dbias, const float *dx, size_t N, size_t D)
{
    for (size_t from = 0; from < D; from += COLUMNS) {
        const size_t count = D - from < COLUMNS ? D - from : COLUMNS;
        double sum[COLUMNS] = {0};
        size_t n = 0;
        for (; n + 4 <= N; n += 4) {
            const float *a = dx + n * D + from, *b = a + D, *c = b + D, *e = c + D;
            size_t d = 0;
            for (; d + W / 2 <= count; d += W / 2) {
                vd s;
                memcpy(&s, sum + d, sizeof s);
                s = (((s + widen(a + d)) + widen(b + d)) + widen(c + d)) + widen(e + d);
                memcpy(sum + d, &s, sizeof s);
            }
            for (; d < count; d++)
                sum[d] = (((sum[d] + (double)a[d]) + (double)b[d]) + (double)c[d]) + (double)e[d];
        }
        for (; n < N; n++)
            for (size_t d = 0; d < count; d++) sum[d] += (double)dx[n * D + from + d];
        for (size_t d = 0; d < count; d++) dbias[from + d] = (float)((double)dbias[from + d] + sum[d]);
    }
}
#undef COLUMNS

static void multiply(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void multiply_add(float *restrict out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] += a[i] * b[i];
}

INLINE void map(float *out, const float *x, size_t n, vf (*of)(vf))
{
    size_t i = 0;
    for (; i + W <= n; i += W) store(out + i, of(load(x + i)));
    if (i < n) store_part(out + i, of(load_part(x + i, n - i, 0.0f)), n - i);
}

static void tanh_forward(float *out, const float *x, size_t n)
{
    map(out, x, n, tanh_of);
}

static void tanh_back(float *restrict dx, const float *dout, const float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] += dout[i] * (1.0f - out[i] * out[i]);
}

static void sigmoid(float *out, const float *x, size_t n)
{
    map(out, x, n, sigmoid_of);
}

static void sigmoid_back(float *restrict dx, const float *dout, const float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] += dout[i] * (out[i] * (1.0f - out[i]));
}

/* max(0, x) the way round that keeps NaN. */
static void relu(float *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = x[i] < 0.0f ? 0.0f : x[i];
}

static void relu_back(float *restrict dx, const float *dout, const float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] += out[i] > 0.0f ? dout[i] : 0.0f;
}

static void relu_squared(float *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = x[i] < 0.0f ? 0.0f : x[i] * x[i];
}

static void relu_squared_back(float *restrict dx, const float *dout, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] += x[i] > 0.0f ? dout[i] * (2.0f * x[i]) : 0.0f;
}

/* Spreads the bits of a 64-bit number over all 64 (Stafford's variant 13, as in SplitMix64: Steele et al. 2014). */
INLINE uint64_t spread(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 24 random bits of (key, i). Only 32-bit operations, which every instruction set has in vectors. */
INLINE uint32_t random_bits(uint32_t low, uint32_t high, uint32_t i)
{
    uint32_t z = i ^ low;
    z = (z ^ (z >> 16)) * 0x7feb352du;
    z = (z ^ (z >> 15)) * 0x846ca68bu;
    z = (z ^ (z >> 16)) + high;
    z = (z ^ (z >> 16)) * 0x7feb352du;
    z = (z ^ (z >> 15)) * 0x846ca68bu;
    return (z ^ (z >> 16)) >> 8;
}

static void dropout(float *out, const float *x, float keep, uint64_t seed, int add_to_out, size_t n)
{
    const uint32_t kept_below = (uint32_t)(keep * 16777216.0f);
    const float inverse = 1.0f / keep;
    for (size_t from = 0; from < n;) {                           /* in runs of 2^32, within which i fits 32 bits */
        const uint64_t key = spread(seed + (uint64_t)(from >> 16 >> 16) * 0x9e3779b97f4a7c15u);
        const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
        const size_t count = n - from < UINT32_MAX ? n - from : UINT32_MAX;
        for (size_t i = from; i < from + count; i++) {
            const float y = random_bits(low, high, (uint32_t)i) < kept_below ? x[i] * inverse : 0.0f;
            out[i] = add_to_out ? out[i] + y : y;
        }
        from += count;
    }
}
