/* lstm.c: everything of an LSTM step but its two matrix products (Hochreiter & Schmidhuber 1997, Gers et al. 2000).
 * Included by kernels.h. */

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
            const vf i = sigmoid_of(pre[0]), f = sigmoid_of(pre[1]), g = tanh_of(pre[2]), o = sigmoid_of(pre[3]);
            vf cell = i * g;
            if (c_prev) cell += f * load_up_to(c_prev + at, left, 0.0f);
            store_up_to(gate, i, left);
            store_up_to(gate + H, f, left);
            store_up_to(gate + 2 * H, g, left);
            store_up_to(gate + 3 * H, o, left);
            store_up_to(c + at, cell, left);
            store_up_to(h + at, o * tanh_of(cell), left);
        }
}

/* dc += dh o (1 - tanh(c)^2), then through c = f c_prev + i g to the gates; dc leaves as the gradient of c_prev. */
static void lstm_gates_back(float *dgates, float *dc, const float *dh, const float *gates, const float *c,
                            const float *c_prev, size_t B, size_t H)
{
    for (size_t b = 0; b < B; b++)
        for (size_t j = 0; j < H; j += W) {
            const size_t left = H - j, at = b * H + j;
            const float *gate = gates + b * 4 * H + j;
            float *dgate = dgates + b * 4 * H + j;
            const vf i = load_up_to(gate, left, 0.0f), f = load_up_to(gate + H, left, 0.0f);
            const vf g = load_up_to(gate + 2 * H, left, 0.0f), o = load_up_to(gate + 3 * H, left, 0.0f);
            const vf squashed = tanh_of(load_up_to(c + at, left, 0.0f));
            const vf out = load_up_to(dh + at, left, 0.0f);
            const vf before = c_prev ? load_up_to(c_prev + at, left, 0.0f) : splat(0.0f);
            const vf cell = load_up_to(dc + at, left, 0.0f) + out * o * (1.0f - squashed * squashed);
            store_up_to(dgate, cell * g * (i * (1.0f - i)), left);
            store_up_to(dgate + H, cell * before * (f * (1.0f - f)), left);
            store_up_to(dgate + 2 * H, cell * i * (1.0f - g * g), left);
            store_up_to(dgate + 3 * H, out * squashed * (o * (1.0f - o)), left);
            store_up_to(dc + at, cell * f, left);
        }
}
