/* int8.c: matrices in one byte a weight, for prediction. Included by kernels.h.
 *
 * A row of x is rounded to 16 bits of its own largest magnitude, the products with the bytes are summed exactly as
 * integers, and one multiplication by both scales turns the sum into a float: every instruction set gives the same
 * bytes. K goes in runs of 512, so that 512 * 127 * 32767 fits 32 bits and each run of x has a scale of its own.
 *
 * The bytes lie run after run, in each run block after block of 64 columns, in each block the pairs k, k+1 of column 0,
 * of column 1, ...; K is filled up with zeros to an even number and N to a multiple of 64. */
#define DEPTH 512
#define BLOCK 64
#define LARGEST 32767.0f

INLINE size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t int8_bytes(size_t K, size_t N) { return padded(K, 2) * padded(N, BLOCK); }

/* Where w[k,n] lies. */
INLINE size_t place(size_t k, size_t n, size_t K, size_t N)
{
    const size_t run = k / DEPTH * DEPTH, deep = K - run < DEPTH ? padded(K - run, 2) : DEPTH;
    return run * padded(N, BLOCK) + n / BLOCK * BLOCK * deep + (k - run) / 2 * (2 * BLOCK) + n % BLOCK * 2 + k % 2;
}

static void int8_pack(int8_t *packed, const int8_t *w, size_t K, size_t N)
{
    memset(packed, 0, int8_bytes(K, N));
    for (size_t k = 0; k < K; k++)
        for (size_t n = 0; n < N; n++) packed[place(k, n, K, N)] = w[k * N + n];
}

static void int8_rows(float *out, const int8_t *w, const float *scale, const int64_t *row, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++) {
        const size_t r = (size_t)row[n];
        for (size_t d = 0; d < D; d++) out[n * D + d] = row[n] < 0 ? 0.0f : (float)w[r * D + d] * scale[r];
    }
}

/* W pairs of bytes as 16-bit numbers; and in every lane x0*w0 + x1*w1 of a pair of each. */
#if defined FLM_AVX512
INLINE vi widen_pairs(const int8_t *w) { return (vi)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w)); }
INLINE vi pairs_times(vi x, vi w) { return (vi)_mm512_madd_epi16((__m512i)x, (__m512i)w); }
#elif defined FLM_AVX2
INLINE vi widen_pairs(const int8_t *w) { return (vi)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w)); }
INLINE vi pairs_times(vi x, vi w) { return (vi)_mm256_madd_epi16((__m256i)x, (__m256i)w); }
#elif defined __SSE2__
INLINE vi widen_pairs(const int8_t *w)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)w);
    return (vi)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
INLINE vi pairs_times(vi x, vi w) { return (vi)_mm_madd_epi16((__m128i)x, (__m128i)w); }
#else
INLINE vi widen_pairs(const int8_t *w)
{
    vi out;
    for (int i = 0; i < W; i++) out[i] = (int32_t)((uint32_t)w[2 * i + 1] << 16 | (uint16_t)w[2 * i]);
    return out;
}
INLINE vi pairs_times(vi x, vi w) { return (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16); }
#endif

/* q = round(x / scale), scale the largest magnitude / 32767, which is returned: NaN where x holds a NaN or infinity. */
INLINE float round_run(int16_t *q, const float *x, size_t n)
{
    vf best = {0}, poison = {0};
    for (size_t k = 0; k < n; k += W) {
        const vf values = load_up_to(x + k, n - k, 0.0f);
        best = max(absolute(values), best);
        poison += values * 0.0f;
    }
    const float largest = vector_max(best), up = largest > 1e-30f ? LARGEST / largest : 0.0f;
    float sum = largest / LARGEST;
    for (size_t i = 0; i < W; i++) sum += poison[i];
    for (size_t k = 0; k < n; k++) {
        const float shifted = x[k] * up + 12582912.0f;   /* 1.5 * 2^23: adding it rounds, the integer in the low bits */
        int32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        q[k] = (int16_t)bits;
    }
    if (n % 2) q[n] = 0;
    return sum;
}

/* The part of `rows` rows of out that one run of K gives; q holds their rounded runs of x. As many columns at a time as
 * sums fit the registers. */
INLINE void add_run(float *out, const int16_t (*q)[DEPTH], const float *unit, const int8_t *w, const float *scale, size_t deep,
                    size_t N, const size_t rows)
{
    enum { COUNT = 8 * W < BLOCK ? 8 : BLOCK / W };
    const size_t count = COUNT == 8 ? COUNT / rows : COUNT, columns = count * W;
    for (size_t n = 0; n < N; n += columns) {
        const int8_t *pairs = w + n / BLOCK * BLOCK * deep + n % BLOCK * 2;
        vi sum[2][COUNT] = {{{0}}};
        for (size_t k = 0; k < deep; k += 2, pairs += 2 * BLOCK) {
            vi both[2];
            UNROLL for (size_t r = 0; r < rows; r++) {
                int32_t pair;
                memcpy(&pair, q[r] + k, sizeof pair);
                both[r] = pair - (vi){0};
            }
            UNROLL8 for (size_t i = 0; i < count; i++) {
                const vi weights = widen_pairs(pairs + 2 * W * i);
                UNROLL for (size_t r = 0; r < rows; r++) sum[r][i] += pairs_times(both[r], weights);
            }
        }
        for (size_t r = 0; r < rows; r++)
            UNROLL8 for (size_t i = 0; i < count; i++) {
                const size_t from = n + i * W, left = from < N ? N - from : 0;
                if (left == 0) break;
                float *to = out + r * N + from;
                const vf size = load_up_to(scale + from, left, 0.0f) * unit[r];
                store_up_to(to, load_up_to(to, left, 0.0f) + __builtin_convertvector(sum[r][i], vf) * size, left);
            }
    }
}

static void add_packed(float *out, const float *x, const flm_matrix *m, size_t S)
{
    int16_t q[2][DEPTH];
    float unit[2];
    for (size_t k = 0; k < m->K; k += DEPTH) {
        const size_t depth = m->K - k < DEPTH ? m->K - k : DEPTH, deep = padded(depth, 2);
        const int8_t *w = m->packed + k * padded(m->N, BLOCK);
        for (size_t s = 0, rows; s < S; s += rows) {
            rows = S - s < 2 ? 1 : 2;
            for (size_t r = 0; r < rows; r++) unit[r] = round_run(q[r], x + (s + r) * m->K + k, depth);
            if (rows == 1) add_run(out + s * m->N, q, unit, w, m->scale, deep, m->N, 1);
            else add_run(out + s * m->N, q, unit, w, m->scale, deep, m->N, 2);
        }
    }
}
