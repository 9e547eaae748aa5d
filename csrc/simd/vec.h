/* simd/vec.h: vectors of W floats, W the width of the instruction set being compiled, and the few things that GCC's
 * vector operators do not spell. Loops handle 16 floats at a time as PARTS vectors, so that lane i of 16 meets the same
 * numbers in the same order whatever W is. */
#ifndef FLM_VEC_H
#define FLM_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined __SSE2__
#include <immintrin.h>
#endif

#if defined FLM_AVX512
#define W 16
#elif defined FLM_AVX2
#define W 8
#else
#define W 4
#endif
#define LANES 16
#define PARTS (LANES / W)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")
#define UNROLL8 _Pragma("GCC unroll 8")
#define GROUP 4 /* vectors worked on side by side where that is faster */

INLINE size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef double vd __attribute__((vector_size(W * 4))); /* W / 2 doubles */
typedef float vf_unaligned __attribute__((vector_size(W * 4), aligned(4), may_alias));

INLINE vf load(const float *x) { return *(const vf_unaligned *)x; }
INLINE void store(float *out, vf v) { *(vf_unaligned *)out = v; }
INLINE vf splat(float a) { return a - (vf){0}; }

/* The next W / 2 floats in double. */
INLINE vd widen(const float *x)
{
#if defined FLM_AVX512
    return (vd)_mm512_cvtps_pd(_mm256_loadu_ps(x));
#elif defined FLM_AVX2
    return (vd)_mm256_cvtps_pd(_mm_loadu_ps(x));
#elif defined __SSE2__
    return (vd)_mm_cvtps_pd((__m128)_mm_loadl_epi64((const __m128i *)x));
#else
    return (vd){(double)x[0], (double)x[1]};
#endif
}

/* max(a, b) is a > b ? a : b, so b where either is NaN; positive(a) is a, or 0 where it is negative. lower and upper
 * give half of the lanes in double. load_part reads the first n < W floats and fills the other lanes; store_part writes
 * the first n. */
#if defined FLM_AVX512
INLINE vf max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vi positive(vi a) { return (vi)_mm512_max_epi32((__m512i)a, _mm512_setzero_si512()); }
INLINE vd lower(vf v) { return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v)); }
INLINE vd upper(vf v) { return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1)); }
INLINE vf load_part(const float *x, size_t n, float fill)
{
    return (vf)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1u), x);
}
INLINE void store_part(float *out, vf v, size_t n)
{
    _mm512_mask_storeu_ps(out, (__mmask16)((1u << n) - 1u), (__m512)v);
}
#elif defined FLM_AVX2
INLINE vf max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vi positive(vi a) { return (vi)_mm256_max_epi32((__m256i)a, _mm256_setzero_si256()); }
INLINE vd lower(vf v) { return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v)); }
INLINE vd upper(vf v) { return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1)); }
INLINE vi first(size_t n) { return (vi){0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)n; }
INLINE vf load_part(const float *x, size_t n, float fill)
{
    const __m256i mask = (__m256i)first(n);
    return (vf)_mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(x, mask), (__m256)mask);
}
INLINE void store_part(float *out, vf v, size_t n) { _mm256_maskstore_ps(out, (__m256i)first(n), (__m256)v); }
#else
INLINE vi positive(vi a) { return a & (a > 0); }
#if defined __SSE2__
INLINE vf max(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
INLINE vd lower(vf v) { return (vd)_mm_cvtps_pd((__m128)v); }
INLINE vd upper(vf v) { return (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v)); }
#else
INLINE vf max(vf a, vf b) { return (vf)(((a > b) & (vi)a) | (~(a > b) & (vi)b)); }
INLINE vd lower(vf v) { return (vd){(double)v[0], (double)v[1]}; }
INLINE vd upper(vf v) { return (vd){(double)v[2], (double)v[3]}; }
#endif
INLINE vf load_part(const float *x, size_t n, float fill)
{
    return (vf){n > 0 ? x[0] : fill, n > 1 ? x[1] : fill, n > 2 ? x[2] : fill, fill};
}
INLINE void store_part(float *out, vf v, size_t n)
{
    if (n > 0) out[0] = v[0];
    if (n > 1) out[1] = v[1];
    if (n > 2) out[2] = v[2];
}
#endif

/* Any n: a whole vector, a part of one, or nothing (all fill). */
#if defined FLM_AVX512
INLINE vf load_up_to(const float *x, size_t n, float fill)
{
    return (vf)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << (n < W ? n : W)) - 1u), x);
}
INLINE void store_up_to(float *out, vf v, size_t n)
{
    _mm512_mask_storeu_ps(out, (__mmask16)((1u << (n < W ? n : W)) - 1u), (__m512)v);
}
#else
INLINE vf load_up_to(const float *x, size_t n, float fill) { return n >= W ? load(x) : load_part(x, n, fill); }
INLINE void store_up_to(float *out, vf v, size_t n)
{
    if (n >= W) store(out, v);
    else store_part(out, v, n);
}
#endif

#if defined FLM_AVX512
/* out[k*width + n] = in[n*stride + k], k and n < 16: in pairs, fours, eights and sixteens of rows. */
INLINE void transpose_square(float *out, size_t width, const float *in, size_t stride)
{
    __m512 row[16], pair[16];
    for (size_t n = 0; n < 16; n++) row[n] = _mm512_loadu_ps(in + n * stride);
    for (size_t n = 0; n < 16; n += 2) {
        pair[n] = _mm512_unpacklo_ps(row[n], row[n + 1]);
        pair[n + 1] = _mm512_unpackhi_ps(row[n], row[n + 1]);
    }
    /* Now quarter q of row[n + c] is column 4q + c of rows n to n + 3. */
    for (size_t n = 0; n < 16; n += 4)
        for (size_t c = 0; c < 4; c += 2) {
            const __m512d low = (__m512d)pair[n + c / 2], high = (__m512d)pair[n + 2 + c / 2];
            row[n + c] = (__m512)_mm512_unpacklo_pd(low, high);
            row[n + c + 1] = (__m512)_mm512_unpackhi_pd(low, high);
        }
    for (size_t c = 0; c < 4; c++) {
        const __m512 even = _mm512_shuffle_f32x4(row[c], row[4 + c], 0x88);
        const __m512 odd = _mm512_shuffle_f32x4(row[c], row[4 + c], 0xdd);
        const __m512 even2 = _mm512_shuffle_f32x4(row[8 + c], row[12 + c], 0x88);
        const __m512 odd2 = _mm512_shuffle_f32x4(row[8 + c], row[12 + c], 0xdd);
        _mm512_storeu_ps(out + c * width, _mm512_shuffle_f32x4(even, even2, 0x88));
        _mm512_storeu_ps(out + (4 + c) * width, _mm512_shuffle_f32x4(odd, odd2, 0x88));
        _mm512_storeu_ps(out + (8 + c) * width, _mm512_shuffle_f32x4(even, even2, 0xdd));
        _mm512_storeu_ps(out + (12 + c) * width, _mm512_shuffle_f32x4(odd, odd2, 0xdd));
    }
}
#endif

/* The largest of the lanes. */
INLINE float vector_max(vf v)
{
#if defined FLM_AVX512
    return _mm512_reduce_max_ps((__m512)v);
#else
    float lane[W];
    memcpy(lane, &v, sizeof v);
    if (W == 8) UNROLL for (int i = 0; i < 4; i++) lane[i] = lane[i] > lane[i + W - 4] ? lane[i] : lane[i + W - 4];
    lane[0] = lane[0] > lane[2] ? lane[0] : lane[2];
    lane[1] = lane[1] > lane[3] ? lane[1] : lane[3];
    return lane[0] > lane[1] ? lane[0] : lane[1];
#endif
}

/* Sixteen running sums in double. */
typedef struct lanes {
    vd part[2 * PARTS];
} lanes;

INLINE void lanes_add(lanes *sum, int part, vf v)
{
    sum->part[2 * part] += lower(v);
    sum->part[2 * part + 1] += upper(v);
}

/* a * a + sum for a that was a float: its square is exact in double, so the bytes are the same fused or not. */
INLINE vd add_square(vd a, vd sum)
{
#if defined FLM_AVX512
    return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)a, (__m512d)sum);
#elif defined FLM_AVX2
    return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)a, (__m256d)sum);
#else
    return a * a + sum;
#endif
}

INLINE void lanes_add_square(lanes *sum, int part, vf v)
{
    sum->part[2 * part] = add_square(lower(v), sum->part[2 * part]);
    sum->part[2 * part + 1] = add_square(upper(v), sum->part[2 * part + 1]);
}

/* Lane i + lane i+8, then i+4, i+2, i+1: written out, since a loop over the halves stays a loop. */
INLINE double lanes_total(const lanes *sum)
{
    vd part[8];
    double lane[8];
    memcpy(part, sum->part, sizeof sum->part);
    if (W == 4) UNROLL8 for (int i = 0; i < 4; i++) part[i] += part[i + 4];
    if (W <= 8) UNROLL8 for (int i = 0; i < 2; i++) part[i] += part[i + 2];
    part[0] += part[1];
#if defined FLM_AVX512
    const __m256d four = _mm512_castpd512_pd256((__m512d)*part) + _mm512_extractf64x4_pd((__m512d)*part, 1);
    memcpy(lane, &four, sizeof four);
#else
    memcpy(lane, part, sizeof *part);
#endif
    if (W >= 8) UNROLL8 for (int i = 0; i < 2; i++) lane[i] += lane[i + 2];
    return lane[0] + lane[1];
}

/* x = n log 2 + r with n the nearest integer and |r| <= log(2) / 2. Adding 1.5 * 2^23 rounds, and leaves n in the low
 * bits of the sum, with 127 the exponent field of 2^n. log 2 is split so that n times its first part is exact. */
typedef struct reduced { vf shifted, r; } reduced;

INLINE reduced reduce(vf x)
{
    const vf shift = splat(12582912.0f + 127.0f), shifted = x * 1.44269504f + shift, n = shifted - shift;
    return (reduced){shifted, (x - n * 0.693359375f) - n * -2.12194440e-4f};
}

/* exp(x) of some vectors, in place, for x in [-inf, 0]; NaN stays NaN. 2^n is 0 where its exponent field would not be
 * positive, and so is the result, below about 2^-126. The polynomial is that of exp_parts. Every step is written for
 * all vectors before the next step: a processor looks about four vectors ahead, and each step waits for the last. */
INLINE void exp_negative(vf *x, int count)
{
    reduced e[GROUP];
    vf y[GROUP];
    UNROLL for (int g = 0; g < count; g++) e[g] = reduce(max(splat(-104.0f), x[g]));
    UNROLL for (int g = 0; g < count; g++) y[g] = 0.00836885f + e[g].r * 0.001381432f;
    UNROLL for (int g = 0; g < count; g++) y[g] = 0.0416684f + e[g].r * y[g];
    UNROLL for (int g = 0; g < count; g++) y[g] = 0.1666652f + e[g].r * y[g];
    UNROLL for (int g = 0; g < count; g++) y[g] = 0.49999994f + e[g].r * y[g];
    UNROLL for (int g = 0; g < count; g++) y[g] = 1.0f + (e[g].r + e[g].r * e[g].r * y[g]);
    UNROLL for (int g = 0; g < count; g++) x[g] = (vf)positive((vi)((vu)e[g].shifted << 23)) * y[g];
}

/* 2^n * (1 + q) = exp(x) for -87.3 <= x < 88.7, and 2^n = inf just above: q = exp(r) - 1. Minimax, error 3e-9, and in
 * few steps (Estrin's order): what waits for it stands alone in its loop. */
typedef struct exponential { vf scale, q; } exponential;

INLINE exponential exp_parts(vf x)
{
    const reduced e = reduce(x);
    const vf r = e.r, r2 = r * r;
    const vf p = (0.49999994f + r * 0.1666652f) + r2 * ((0.0416684f + r * 0.00836885f) + r2 * 0.001381432f);
    return (exponential){(vf)((vu)e.shifted << 23), r + r2 * p};
}

INLINE vf absolute(vf x) { return (vf)((vu)x & 0x7fffffffu); }
INLINE vf with_sign_of(vf magnitude, vf x) { return (vf)((vu)magnitude | ((vu)x & 0x80000000u)); }

/* 1 / (1 + exp(-x)). Neither tail loses its digits: exp(-x) keeps its own, however large, and below -88.4 the result is
 * 1 / inf. */
INLINE vf sigmoid_of(vf x)
{
    const exponential e = exp_parts(max(splat(-87.3f), -max(splat(-88.73f), x)));
    return 1.0f / (1.0f + e.scale * (1.0f + e.q));
}

/* -m / (2 + m) with m = exp(-2|x|) - 1, which keeps its digits near 0. */
INLINE vf tanh_of(vf x)
{
    const exponential e = exp_parts(max(splat(-40.0f), -2.0f * absolute(x)));
    const vf m = e.scale * e.q + (e.scale - 1.0f);
    return with_sign_of(-m / (2.0f + m), x);
}

#endif
