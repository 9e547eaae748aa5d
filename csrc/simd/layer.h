/* simd/layer.h: what layers of gated cells share, along packed sequences and backward.
 *
 * A cell (simd/lstm.inc, simd/gru.inc) says what W units of a row do, forward and backward. What is around it is here:
 * the walk over time steps, the states carried from one to the next, tiles of rows, and panels (simd/product.inc),
 * where the product of a time step leaves the gates 16 units at a time: the sums go straight through the
 * nonlinearities. */
#ifndef FLM_LAYER_H
#define FLM_LAYER_H

#include "fastlm.h"
#include "simd/vec.h"
#include "simd/tile.h"
#include "simd/row.h"
#include "simd/product.inc"
#include "simd/matrix.inc"

/* A layer of the forward pass over N rows; fastlm.h says what lstm_forward and gru_forward hold in these arrays. */
typedef struct layer {
    float *h, *c, *h_prev, *c_prev; /* (N,H); c and c_prev are NULL where a cell has no second state */
    float *gates, *kept;            /* panels of N rows; kept is NULL where a cell keeps nothing else */
    const float *packed, *bias;     /* the recurrent matrix; a bias (H) of its product, or NULL */
    const float *inputs;            /* panels of R rows, of which row n reads row[n], or its own where row is NULL */
    const int64_t *row;
    const uint8_t *starts;
    const size_t *size;
    size_t T, N, R, H;
} layer;

/* W units of a row. What belongs to the gates lies `apart` floats from gate to gate, `stored` lanes of it are used. */
typedef struct units {
    float *h, *c, *gate, *kept;
    const float *h_prev, *c_prev, *input, *bias;
    size_t left, apart, stored; /* left: how many of the units are real */
} units;

/* Sets a cell's h, c, gates and what it keeps, from the sums of the recurrent product. */
typedef void cell_forward(const units *u, const vf *recurrent);

INLINE units units_at(const layer *l, size_t n, size_t j, size_t G)
{
    const size_t at = n * l->H + j, block = j / LANES, lane = j % LANES, width = G * LANES;
    const size_t gate = (block * l->N + n) * width + lane, from = l->row ? (size_t)l->row[n] : n;
    return (units){.h = l->h + at,
                   .c = l->c ? l->c + at : NULL,
                   .gate = l->gates + gate,
                   .kept = l->kept ? l->kept + gate : NULL,
                   .h_prev = l->h_prev + at,
                   .c_prev = l->c_prev ? l->c_prev + at : NULL,
                   .input = l->inputs + (block * l->R + from) * width + lane,
                   .bias = l->bias ? l->bias + j : NULL,
                   .left = l->H - j,
                   .apart = LANES,
                   .stored = W};
}

/* What the cells of a row touch arrives while the sums are made. */
INLINE void prefetch_units(const units u, const size_t G)
{
    UNROLL for (size_t k = 0; k < G; k++) {
        __builtin_prefetch(u.input + k * LANES);
        __builtin_prefetch(u.gate + k * LANES, 1);
    }
    if (u.kept) __builtin_prefetch(u.kept + (G - 1) * LANES, 1);
    if (u.c) {
        __builtin_prefetch(u.c_prev);
        __builtin_prefetch(u.c, 1);
    }
    __builtin_prefetch(u.h, 1);
}

/* Rows n to n+rows-1 of the 16 units from j on. */
INLINE void layer_tile(const layer *l, cell_forward *cell, size_t n, size_t rows, size_t j, const size_t G)
{
    const operand a = {l->h_prev + n * l->H, l->H, 1, l->H, 0, 1};
    vf sum[TILE_ROWS][PANEL];
    for (size_t r = 0; r < rows; r++) prefetch_units(units_at(l, n + r, j, G), G);
    for (size_t part = 0; part < LANES; part += W) {
        if (j + part >= l->H) { /* finite, since later products multiply it by zeros */
            const units u = units_at(l, n, j, G);
            for (size_t k = 0; k < rows * G; k++) {
                store(u.gate + k * LANES + part, splat(0.0f));
                if (u.kept) store(u.kept + k * LANES + part, splat(0.0f));
            }
            continue;
        }
        tile_sums(sum, &a, l->packed + j * G * l->H + part, rows, G);
        for (size_t r = 0; r < rows; r++) {
            const units u = units_at(l, n + r, j + part, G);
            cell(&u, sum[r]);
        }
    }
}

INLINE void layer_forward(const layer *l, cell_forward *cell, const size_t G)
{
    const size_t H = l->H;
    size_t n = 0, before = 0;
    for (size_t t = 0; t < l->T; before = n, n += l->size[t++]) {
        const uint8_t *fresh = l->starts ? l->starts + n : NULL;
        const size_t end = n + l->size[t];
        carry_rows(l->h_prev + n * H, t ? l->h + before * H : l->h_prev, fresh, l->size[t], H);
        if (l->c) carry_rows(l->c_prev + n * H, t ? l->c + before * H : l->c_prev, fresh, l->size[t], H);
        for (size_t j = 0; j < H; j += LANES)
            for (size_t m = n, rows; m < end; m += rows) {
                rows = next_rows(end - m);
                layer_tile(l, cell, m, rows, j, G);
            }
    }
}

/* A layer of the backward pass; fastlm.h says what lstm_backward and gru_backward hold in these arrays. */
typedef struct layer_back {
    float *gates, *kept, *dh, *dc;              /* kept and dc are NULL where a cell has none */
    const float *h_prev, *c, *c_prev, *packed;  /* those that a cell does not look at are NULL */
    const uint8_t *starts;
    const size_t *size;
    size_t T, N, H;
} layer_back;

/* W units of a row in the backward pass. */
typedef struct units_back {
    float *gate, *kept, *dc;
    float *dh_prev; /* to add what reaches h_prev other than by the product; NULL where a document or batch starts */
    const float *dh, *h_prev, *c, *c_prev;
    size_t left;
} units_back;

/* Turns a cell's gates, and what it keeps, into the gradients of the sums that they were made of. */
typedef void cell_backward(const units_back *u);

/* Sequence s of the step whose first row is n. */
INLINE units_back units_back_at(const layer_back *l, size_t n, size_t s, size_t j, float *dh_prev, size_t G)
{
    const size_t at = (n + s) * l->H + j, gate = (j / LANES * l->N + n + s) * G * LANES + j % LANES;
    return (units_back){.gate = l->gates + gate,
                        .kept = l->kept ? l->kept + gate : NULL,
                        .dc = l->dc ? l->dc + s * l->H + j : NULL,
                        .dh_prev = dh_prev ? dh_prev + s * l->H + j : NULL,
                        .dh = l->dh + at,
                        .h_prev = l->h_prev ? l->h_prev + at : NULL,
                        .c = l->c ? l->c + at : NULL,
                        .c_prev = l->c_prev ? l->c_prev + at : NULL,
                        .left = l->H - j};
}

INLINE void layer_backward(const layer_back *l, cell_backward *cell, const size_t G)
{
    const float *product = l->kept ? l->kept : l->gates; /* where the gradient of the recurrent product takes shape */
    size_t n = l->N;
    for (size_t t = l->T; t-- > 0;) {
        n -= l->size[t];
        const uint8_t *fresh = l->starts ? l->starts + n : NULL;
        float *dh_prev = t ? l->dh + (n - l->size[t - 1]) * l->H : NULL;
        for (size_t j = 0; j < l->H; j += W)
            for (size_t s = 0; s < l->size[t]; s++) {
                const units_back u = units_back_at(l, n, s, j, fresh && fresh[s] ? NULL : dh_prev, G);
                cell(&u);
            }
        if (t == 0) break;
        panel_rows_back(dh_prev, product + n * G * LANES, l->N, l->packed, fresh, l->size[t], l->H, l->H, G);
        if (l->dc) carry_rows(l->dc, l->dc, fresh, l->size[t], l->H);
    }
}

/* out (S,N) = bias (N), or zeros where it is NULL, + x m. */
INLINE void biased_product(float *out, const float *x, const flm_matrix *m, const float *bias, size_t S)
{
    for (size_t s = 0; s < S; s++) {
        if (bias) memcpy(out + s * m->N, bias, m->N * sizeof *out);
        else memset(out + s * m->N, 0, m->N * sizeof *out);
    }
    add_product(out, x, m, S);
}

#endif
