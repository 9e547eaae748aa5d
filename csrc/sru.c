/* sru.c: a simple recurrent unit along packed sequences, both ways (Lei et al. 2018, its gates from the input alone), and
 * root mean square normalisation (Zhang & Sennrich 2019). Included by kernels.h.
 *
 * The recurrence touches every unit by itself, so that a layer's products take all time steps at once. */

#define LEAST_SQUARE 1e-6

static void rms_norm(float *out, float *scale, const float *x, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++, x += D, out += D) {
        lanes squares = {{{0}}};
        for (size_t d = 0, p = 0; d < D; d += W, p = (p + 1) % PARTS)
            lanes_add_square(&squares, (int)p, load_up_to(x + d, D - d, 0.0f));
        scale[n] = (float)(1.0 / sqrt(lanes_total(&squares) / (double)D + LEAST_SQUARE));
        for (size_t d = 0; d < D; d++) out[d] = x[d] * scale[n];
    }
}
#undef LEAST_SQUARE

static void rms_norm_back(float *restrict dx, const float *dout, const float *out, const float *scale, size_t N, size_t D)
{
    for (size_t n = 0; n < N; n++, dx += D, dout += D, out += D) {
        lanes product = {{{0}}};
        for (size_t d = 0, p = 0; d < D; d += W, p = (p + 1) % PARTS)
            lanes_add(&product, (int)p, load_up_to(dout + d, D - d, 0.0f) * load_up_to(out + d, D - d, 0.0f));
        const float mean = (float)(lanes_total(&product) / (double)D);
        for (size_t d = 0; d < D; d++) dx[d] += scale[n] * (dout[d] - out[d] * mean);
    }
}

static void sru_forward(float *h, float *c, float *gates, float *carry, const uint8_t *starts, const size_t *size,
                        size_t T, size_t H)
{
    for (size_t t = 0, n = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            float *before = carry + s * H, *gate = gates + n * 3 * H;
            if (starts && starts[n]) memset(before, 0, H * sizeof *before);
            for (size_t j = 0; j < H; j += W) {
                const size_t left = H - j, at = n * H + j;
                const vf f = sigmoid_of(load_up_to(gate + j, left, 0.0f)), x = load_up_to(gate + H + j, left, 0.0f);
                const vf r = sigmoid_of(load_up_to(gate + 2 * H + j, left, 0.0f));
                const vf cell = x + f * (load_up_to(before + j, left, 0.0f) - x);
                store_up_to(gate + j, f, left);
                store_up_to(gate + 2 * H + j, r, left);
                store_up_to(before + j, cell, left);
                store_up_to(c + at, cell, left);
                store_up_to(h + at, r * cell, left);
            }
        }
}

/* One row; before: the cells that it forgot from, or NULL for zeros. */
INLINE void sru_row_back(float *gate, float *dc, const float *dh, const float *c, const float *before, size_t H)
{
    for (size_t j = 0; j < H; j += W) {
        const size_t left = H - j;
        const vf f = load_up_to(gate + j, left, 0.0f), x = load_up_to(gate + H + j, left, 0.0f);
        const vf r = load_up_to(gate + 2 * H + j, left, 0.0f), out = load_up_to(dh + j, left, 0.0f);
        const vf past = before ? load_up_to(before + j, left, 0.0f) : splat(0.0f);
        const vf cell = load_up_to(dc + j, left, 0.0f) + out * r;
        store_up_to(gate + j, cell * (past - x) * (f * (1.0f - f)), left);
        store_up_to(gate + H + j, cell * (1.0f - f), left);
        store_up_to(gate + 2 * H + j, out * load_up_to(c + j, left, 0.0f) * (r * (1.0f - r)), left);
        store_up_to(dc + j, cell * f, left);
    }
}

static void sru_backward(float *gates, float *dc, const float *dh, const float *c, const float *first,
                         const uint8_t *starts, const size_t *size, size_t T, size_t H)
{
    size_t n = rows_of(size, T);
    for (size_t t = T; t-- > 0;) {
        n -= size[t];
        const float *before = t ? c + (n - size[t - 1]) * H : first;
        for (size_t s = 0; s < size[t]; s++) {
            const size_t row = n + s;
            const int fresh = starts && starts[row];
            sru_row_back(gates + row * 3 * H, dc + s * H, dh + row * H, c + row * H, fresh ? NULL : before + s * H, H);
            if (fresh) memset(dc + s * H, 0, H * sizeof *dc);
        }
    }
}
