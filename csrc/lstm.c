/* lstm.c: a layer of LSTM along packed sequences, both ways (Hochreiter & Schmidhuber 1997, Gers et al. 2000).
 * Included by kernels.h.
 *
 * The gates of all rows are kept in panels (product.c), where the product of a time step leaves them 16 units at a
 * time: the sums go straight through the nonlinearities. */

/* W units, the first `left` of them real: from the sums before the nonlinearities to c, h and the gates, which lie
 * `apart` floats from one another; `stored` lanes of them are written. */
INLINE void lstm_cell(float *h, float *c, float *gate, size_t apart, const vf pre[4], const float *c_prev, size_t left,
                      size_t stored)
{
    const vf i = sigmoid_of(pre[0]), f = sigmoid_of(pre[1]), g = tanh_of(pre[2]), o = sigmoid_of(pre[3]);
    vf cell = i * g;
    if (c_prev) cell += f * load_up_to(c_prev, left, 0.0f);
    store_up_to(gate, i, stored);
    store_up_to(gate + apart, f, stored);
    store_up_to(gate + 2 * apart, g, stored);
    store_up_to(gate + 3 * apart, o, stored);
    store_up_to(c, cell, left);
    store_up_to(h, o * tanh_of(cell), left);
}

static void lstm_gates(float *h, float *c, float *gates, const float *recurrent, const float *c_prev,
                       size_t B, size_t H)
{
    for (size_t b = 0; b < B; b++)
        for (size_t j = 0; j < H; j += W) {
            const size_t left = H - j, at = b * H + j;
            float *gate = gates + b * 4 * H + j;
            vf pre[4];
            UNROLL for (size_t k = 0; k < 4; k++) {
                pre[k] = load_up_to(gate + k * H, left, 0.0f);
                if (recurrent) pre[k] += load_up_to(recurrent + b * 4 * H + k * H + j, left, 0.0f);
            }
            lstm_cell(h + at, c + at, gate, H, pre, c_prev ? c_prev + at : NULL, left, left);
        }
}

/* Some rows of the 16 units of a panel. Row r has its inputs at inputs + r*WIDTH, or at row[r]*WIDTH. */
INLINE void lstm_tile(float *h, float *c, float *gates, const float *h_prev, const float *c_prev, const float *packed,
                      const float *inputs, const int64_t *row, size_t H, size_t j, size_t rows)
{
    const operand a = {h_prev, H, 1, H, 0, 1};
    vf sum[TILE_ROWS][PANEL];
    for (size_t r = 0; r < rows; r++) {                  /* what the cells touch arrives while the sums are made */
        const float *from = inputs + (row ? (size_t)row[r] : r) * WIDTH;
        UNROLL for (size_t k = 0; k < PANEL; k++) {
            __builtin_prefetch(from + k * LANES);
            __builtin_prefetch(gates + r * WIDTH + k * LANES, 1);
        }
        __builtin_prefetch(c_prev + r * H + j);
        __builtin_prefetch(c + r * H + j, 1);
        __builtin_prefetch(h + r * H + j, 1);
    }
    for (size_t part = 0; part < LANES; part += W) {
        if (j + part >= H) {
            for (size_t k = 0; k < rows * PANEL; k++) store(gates + k * LANES + part, splat(0.0f));
            continue;
        }
        tile_sums(sum, &a, packed + part, rows, PANEL);
        for (size_t r = 0; r < rows; r++) {
            const float *from = inputs + (row ? (size_t)row[r] : r) * WIDTH + part;
            const size_t at = r * H + j + part;
            UNROLL for (size_t k = 0; k < PANEL; k++) sum[r][k] += load(from + k * LANES);
            lstm_cell(h + at, c + at, gates + r * WIDTH + part, LANES, sum[r], c_prev + at, H - j - part, W);
        }
    }
}

/* Rows of `to` (count,H) = rows of `from`, zeros where a document starts. */
INLINE void carry_rows(float *to, const float *from, const uint8_t *starts, size_t count, size_t H)
{
    if (to != from) memcpy(to, from, count * H * sizeof *to);
    for (size_t s = 0; starts && s < count; s++)
        if (starts[s]) memset(to + s * H, 0, H * sizeof *to);
}

static void lstm_forward(float *h, float *c, float *gates, float *h_prev, float *c_prev, const float *packed,
                         const float *inputs, const int64_t *row, const uint8_t *starts, const size_t *size, size_t T,
                         size_t N, size_t R, size_t H)
{
    size_t n = 0, before = 0;
    for (size_t t = 0; t < T; before = n, n += size[t++]) {
        const uint8_t *fresh = starts ? starts + n : NULL;
        carry_rows(h_prev + n * H, t ? h + before * H : h_prev, fresh, size[t], H);
        carry_rows(c_prev + n * H, t ? c + before * H : c_prev, fresh, size[t], H);
        for (size_t j = 0; j < H; j += LANES) {
            float *panel = gates + j / LANES * N * WIDTH;
            const float *from = inputs + j / LANES * R * WIDTH;
            for (size_t m = n, rows; m < n + size[t]; m += rows) {
                rows = next_rows(n + size[t] - m);
                lstm_tile(h + m * H, c + m * H, panel + m * WIDTH, h_prev + m * H, c_prev + m * H,
                          packed + j * PANEL * H, row ? from : from + m * WIDTH, row ? row + m : NULL, H, j, rows);
            }
        }
    }
}

static void lstm_step(float *h, float *c, float *gates, const float *x, const flm_matrix *input,
                      const flm_matrix *recurrent, const float *bias, const float *h_prev, const float *c_prev,
                      size_t S, size_t H)
{
    for (size_t s = 0; s < S; s++) memcpy(gates + s * 4 * H, bias, 4 * H * sizeof *gates);
    add_product(gates, x, input, S);
    add_product(gates, h_prev, recurrent, S);
    lstm_gates(h, c, gates, NULL, c_prev, S, H);
}

/* W units of a panel: dc += dh o (1 - tanh(c)^2), then through c = f c_prev + i g to the gates, whose gradients take
 * their places; dc leaves as the gradient of c_prev. The first `left` units are real. */
INLINE void lstm_cell_back(float *gate, float *dc, const float *dh, const float *c, const float *c_prev, size_t left)
{
    const vf i = load_up_to(gate, left, 0.0f), f = load_up_to(gate + LANES, left, 0.0f);
    const vf g = load_up_to(gate + 2 * LANES, left, 0.0f), o = load_up_to(gate + 3 * LANES, left, 0.0f);
    const vf squashed = tanh_of(load_up_to(c, left, 0.0f)), out = load_up_to(dh, left, 0.0f);
    const vf cell = load_up_to(dc, left, 0.0f) + out * o * (1.0f - squashed * squashed);
    store(gate, cell * g * (i * (1.0f - i)));
    store(gate + LANES, cell * load_up_to(c_prev, left, 0.0f) * (f * (1.0f - f)));
    store(gate + 2 * LANES, cell * i * (1.0f - g * g));
    store(gate + 3 * LANES, out * squashed * (o * (1.0f - o)));
    store_up_to(dc, cell * f, left);
}

static void lstm_backward(float *gates, float *dh, float *dc, const float *c, const float *c_prev, const float *packed,
                          const uint8_t *starts, const size_t *size, size_t T, size_t N, size_t H)
{
    size_t n = N;
    for (size_t t = T; t-- > 0;) {
        n -= size[t];
        for (size_t j = 0; j < H; j += W)
            for (size_t s = 0; s < size[t]; s++) {
                float *gate = gates + (j / LANES * N + n + s) * WIDTH + j % LANES;
                const size_t at = (n + s) * H + j;
                lstm_cell_back(gate, dc + s * H + j, dh + at, c + at, c_prev + at, H - j);
            }
        if (t == 0) break;
        panel_rows_back(dh + (n - size[t - 1]) * H, gates + n * WIDTH, N, packed, starts ? starts + n : NULL, size[t],
                        H, H, PANEL);
        carry_rows(dc, dc, starts ? starts + n : NULL, size[t], H);
    }
}
