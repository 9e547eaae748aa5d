/* gru.c: a layer of gated recurrent units along packed sequences, both ways. Cho et al. 2014, with the reset gate taken
 * after the product, so that one product a time step serves all three gates. Included by kernels.h.
 *
 * The gates lie in panels as the LSTM's do (lstm.c), 3 of them a unit. Of the recurrent product only m, the part that the
 * reset gate scales, is needed again on the way back; where it is kept, the gradient of the product then takes shape. */

#define GRU 3
#define GRU_WIDTH (GRU * LANES)

/* W units: from the inputs' sums and those of the recurrent product, its bias not yet added, to h, the gates and m; the
 * gates lie `apart` floats from one another, m where the third would be. */
INLINE void gru_cell(float *h, float *gate, float *kept, size_t apart, const vf *input, const vf *recurrent, vf bias,
                     vf before, size_t left, size_t stored)
{
    const vf r = sigmoid_of(input[0] + recurrent[0]), z = sigmoid_of(input[1] + recurrent[1]), m = recurrent[2] + bias;
    const vf n = tanh_of(input[2] + r * m);
    store_up_to(gate, r, stored);
    store_up_to(gate + apart, z, stored);
    store_up_to(gate + 2 * apart, n, stored);
    store_up_to(kept + 2 * apart, m, stored);
    store_up_to(h, n + z * (before - n), left);
}

/* Some rows of the 16 units of a panel. Row r has its inputs at inputs + r*GRU_WIDTH, or at row[r]*GRU_WIDTH. */
INLINE void gru_tile(float *h, float *gates, float *kept, const float *h_prev, const float *packed, const float *bias,
                     const float *inputs, const int64_t *row, size_t H, size_t j, size_t rows)
{
    const operand a = {h_prev, H, 1, H, 0, 1};
    vf sum[TILE_ROWS][PANEL];
    for (size_t r = 0; r < rows; r++) {                  /* what the cells touch arrives while the sums are made */
        const float *from = inputs + (row ? (size_t)row[r] : r) * GRU_WIDTH;
        UNROLL for (size_t k = 0; k < GRU; k++) {
            __builtin_prefetch(from + k * LANES);
            __builtin_prefetch(gates + r * GRU_WIDTH + k * LANES, 1);
        }
        __builtin_prefetch(kept + r * GRU_WIDTH + 2 * LANES, 1);
        __builtin_prefetch(h + r * H + j, 1);
    }
    for (size_t part = 0; part < LANES; part += W) {
        const size_t left = H - j > part ? H - j - part : 0;
        if (!left) {
            for (size_t k = 0; k < rows * GRU; k++) {
                store(gates + k * LANES + part, splat(0.0f));
                store(kept + k * LANES + part, splat(0.0f));
            }
            continue;
        }
        const vf constant = load_up_to(bias + j + part, left, 0.0f);
        tile_sums(sum, &a, packed + part, rows, GRU);
        for (size_t r = 0; r < rows; r++) {
            const float *from = inputs + (row ? (size_t)row[r] : r) * GRU_WIDTH + part;
            const size_t at = r * H + j + part;
            vf input[GRU];
            UNROLL for (size_t k = 0; k < GRU; k++) input[k] = load(from + k * LANES);
            gru_cell(h + at, gates + r * GRU_WIDTH + part, kept + r * GRU_WIDTH + part, LANES, input, sum[r], constant,
                     load_up_to(h_prev + at, left, 0.0f), left, W);
        }
    }
}

static void gru_forward(float *h, float *gates, float *kept, float *h_prev, const float *packed, const float *bias,
                        const float *inputs, const int64_t *row, const uint8_t *starts, const size_t *size, size_t T,
                        size_t N, size_t R, size_t H)
{
    size_t n = 0, before = 0;
    for (size_t t = 0; t < T; before = n, n += size[t++]) {
        carry_rows(h_prev + n * H, t ? h + before * H : h_prev, starts ? starts + n : NULL, size[t], H);
        for (size_t j = 0; j < H; j += LANES) {
            const size_t panel = j / LANES * N * GRU_WIDTH;
            const float *from = inputs + j / LANES * R * GRU_WIDTH;
            for (size_t m = n, rows; m < n + size[t]; m += rows) {
                rows = next_rows(n + size[t] - m);
                gru_tile(h + m * H, gates + panel + m * GRU_WIDTH, kept + panel + m * GRU_WIDTH, h_prev + m * H,
                         packed + j * GRU * H, bias, row ? from : from + m * GRU_WIDTH, row ? row + m : NULL, H, j,
                         rows);
            }
        }
    }
}

static void gru_step(float *h, float *gates, float *kept, const float *x, const flm_matrix *input,
                     const flm_matrix *recurrent, const float *input_bias, const float *bias, const float *h_prev,
                     size_t S, size_t H)
{
    for (size_t s = 0; s < S; s++) memcpy(gates + s * GRU * H, input_bias, GRU * H * sizeof *gates);
    memset(kept, 0, S * GRU * H * sizeof *kept);
    add_product(gates, x, input, S);
    add_product(kept, h_prev, recurrent, S);
    for (size_t s = 0; s < S; s++)
        for (size_t j = 0; j < H; j += W) {
            const size_t left = H - j;
            float *gate = gates + s * GRU * H + j, *product = kept + s * GRU * H + j;
            vf from_x[GRU], from_h[GRU];
            UNROLL for (size_t k = 0; k < GRU; k++) {
                from_x[k] = load_up_to(gate + k * H, left, 0.0f);
                from_h[k] = load_up_to(product + k * H, left, 0.0f);
            }
            gru_cell(h + s * H + j, gate, product, H, from_x, from_h, load_up_to(bias + j, left, 0.0f),
                     load_up_to(h_prev + s * H + j, left, 0.0f), left, left);
        }
}

/* W units of a panel, of which `left` are real: the gates become their gradients, kept those of the recurrent product,
 * and what reaches h_prev past the product is added to `into`, unless that is NULL. */
INLINE void gru_cell_back(float *gate, float *kept, float *into, const float *dh, const float *h_prev, size_t left)
{
    const vf r = load_up_to(gate, left, 0.0f), z = load_up_to(gate + LANES, left, 0.0f);
    const vf n = load_up_to(gate + 2 * LANES, left, 0.0f), m = load_up_to(kept + 2 * LANES, left, 0.0f);
    const vf out = load_up_to(dh, left, 0.0f), dn = out * (1.0f - z) * (1.0f - n * n);
    const vf dr = dn * m * (r * (1.0f - r)), dz = out * (load_up_to(h_prev, left, 0.0f) - n) * (z * (1.0f - z));
    store(gate, dr);
    store(gate + LANES, dz);
    store(gate + 2 * LANES, dn);
    store(kept, dr);
    store(kept + LANES, dz);
    store(kept + 2 * LANES, dn * r);
    if (into) store_up_to(into, load_up_to(into, left, 0.0f) + out * z, left);
}

static void gru_backward(float *gates, float *kept, float *dh, const float *h_prev, const float *packed,
                         const uint8_t *starts, const size_t *size, size_t T, size_t N, size_t H)
{
    size_t n = N;
    for (size_t t = T; t-- > 0;) {
        n -= size[t];
        const uint8_t *fresh = starts ? starts + n : NULL;
        float *before = t ? dh + (n - size[t - 1]) * H : NULL;
        for (size_t j = 0; j < H; j += W)
            for (size_t s = 0; s < size[t]; s++) {
                const size_t panel = (j / LANES * N + n + s) * GRU_WIDTH + j % LANES, at = (n + s) * H + j;
                float *into = before && !(fresh && fresh[s]) ? before + s * H + j : NULL;
                gru_cell_back(gates + panel, kept + panel, into, dh + at, h_prev + at, H - j);
            }
        if (t)
            panel_rows_back(before, kept + n * GRU_WIDTH, N, packed, fresh, size[t], H, H, GRU);
    }
}
#undef GRU
#undef GRU_WIDTH
