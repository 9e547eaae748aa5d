/* test_kernels.c: every kernel of every instruction set at sizes that end in the middle of a vector, over arrays with
 * nothing after them (for the sanitizers), and all with the same bytes as the portable ones. */
#include "fastlm.h"

#include "check.h"

typedef struct outputs {
    unsigned char *bytes;
    size_t count;
} outputs;

static void keep(outputs *kept, void *array, size_t bytes)
{
    kept->bytes = realloc(kept->bytes, kept->count + bytes + 1);
    memcpy(kept->bytes + kept->count, array, bytes);
    kept->count += bytes;
    free(array);
}

static void softmaxes(const flm_kernels *k, outputs *kept, size_t N, size_t V)
{
    float *x = random_floats(N * V, 1), *out = exactly(N * V, sizeof *out);
    double *loss = exactly(N, sizeof *loss);
    int32_t *target = exactly(N, sizeof *target);
    for (size_t n = 0; n < N; n++) target[n] = n % 3 == 2 ? -1 : (int32_t)(V - 1 - n % V);
    k->softmax(out, x, N, V);
    for (size_t n = 0; n < N; n++) {
        double sum = 0.0;
        for (size_t v = 0; v < V; v++) sum += (double)out[n * V + v];
        CLOSE(sum, 1.0, 1e-6);
    }
    k->log_softmax(out, x, N, V);
    k->cross_entropy(loss, x, target, N, V);
    for (size_t n = 0; n < N; n++) CLOSE(loss[n], target[n] < 0 ? 0.0f : -out[n * V + (size_t)target[n]], 2e-6);
    keep(kept, out, N * V * sizeof *out);
    float *squared = random_floats(N * V, 1);
    k->softmax_squared(squared, loss, target, 0.5f, N, V);
    keep(kept, squared, N * V * sizeof *squared);
    k->softmax_cross_entropy(x, loss, target, 0.5f, N, V);
    for (size_t n = 0; n < N; n++) {
        double sum = 0.0;
        for (size_t v = 0; v < V; v++) sum += (double)x[n * V + v];
        CLOSE(sum, 0.0, 1e-6);
    }
    keep(kept, x, N * V * sizeof *x);
    keep(kept, loss, N * sizeof *loss);
    free(target);
}

static void elementwise(const flm_kernels *k, outputs *kept, size_t N, size_t D)
{
    const size_t n = N * D;
    float *x = random_floats(n, 2), *y = random_floats(n, 3), *out = random_floats(n, 4);
    float *bias = random_floats(D, 5);
    k->add(out, x, n);
    k->add_bias(out, bias, N, D);
    k->multiply(y, y, x, n);
    k->multiply_add(out, x, y, n);
    k->sum_rows(bias, out, N, D);
    k->tanh(x, x, n);
    k->tanh_back(out, y, x, n);
    k->sigmoid(y, x, n);
    k->sigmoid_back(out, x, y, n);
    k->relu(x, x, n);
    k->relu_back(out, y, x, n);
    k->dropout(y, x, 0.5f, 9, 0, n);
    k->dropout(out, x, 0.5f, 9, 1, n);
    for (size_t i = 0; i < n; i++) CHECK(x[i] >= 0.0f && (y[i] == 0.0f || y[i] == 2.0f * x[i]));
    double squares = k->sum_squares(out, n), wanted = 0.0;
    for (size_t i = 0; i < n; i++) wanted += (double)out[i] * (double)out[i];
    CLOSE(squares, wanted, 1e-9 * (1.0 + wanted));
    double *total = exactly(1, sizeof *total);
    *total = squares;
    free(x);
    x = random_floats(n, 2);
    squares = k->add_sum_squares(x, out, n);
    CHECK(squares == k->sum_squares(x, n));
    keep(kept, total, sizeof *total);
    keep(kept, out, n * sizeof *out);
    keep(kept, y, n * sizeof *y);
    keep(kept, bias, D * sizeof *bias);
    free(x);
}

static void lstm(const flm_kernels *k, outputs *kept, size_t B, size_t H)
{
    float *gates = random_floats(4 * B * H, 6), *recurrent = random_floats(4 * B * H, 7);
    float *before = random_floats(B * H, 8), *dh = random_floats(B * H, 9), *dc = random_floats(B * H, 10);
    float *panels = random_floats((H + 15) / 16 * 64 * B, 28);
    const size_t size[1] = {B};
    float *c = exactly(B * H, sizeof *c), *h = exactly(B * H, sizeof *h);
    k->lstm_gates(h, c, gates, NULL, NULL, B, H);
    k->lstm_gates(h, c, gates, recurrent, before, B, H);
    for (size_t i = 0; i < B * H; i++) CHECK(fabsf(h[i]) < 1.0f && fabsf(c[i]) < 4.0f);
    k->lstm_backward(panels, dh, dc, c, before, NULL, NULL, size, 1, B, H); /* one step: no product */
    keep(kept, gates, 4 * B * H * sizeof *gates);
    keep(kept, c, B * H * sizeof *c);
    keep(kept, h, B * H * sizeof *h);
    keep(kept, dc, B * H * sizeof *dc);
    free(before);
    free(dh);
    free(recurrent);
    free(panels);
}

/* S rows times (K,N), as floats either way round and as bytes, and a step of a layer of H = N units on K inputs. */
static void few_rows(const flm_kernels *k, outputs *kept, size_t S, size_t K, size_t N)
{
    float *x = random_floats(S * K, 31), *w = random_floats(K * N, 32), *scale = random_floats(N, 33);
    float *out = random_floats(S * N, 34), *rows = exactly(2 * N, sizeof *rows);
    int8_t *bytes = exactly(K * N, 1), *packed = exactly(k->int8_bytes(K, N), 1);
    for (size_t i = 0; i < K * N; i++) bytes[i] = (int8_t)(i * 7 % 255) - 127;
    k->int8_pack(packed, bytes, K, N);
    const flm_matrix dense = {.dense = w, .K = K, .N = N}, turned = {.dense = w, .K = K, .N = N, .transposed = 1};
    const flm_matrix small = {.packed = packed, .scale = scale, .K = K, .N = N};
    k->add_product(out, x, &dense, S);
    k->add_product(out, x, &turned, S);
    k->add_product(out, x, &small, S);
    const int64_t row[2] = {K ? (int64_t)(K - 1) : -1, -1};
    float *units = random_floats(K, 35);
    k->int8_rows(rows, bytes, units, row, 2, N);
    for (size_t n = 0; n < N; n++) CHECK(rows[N + n] == 0.0f);
    keep(kept, rows, 2 * N * sizeof *rows);
    float *u = random_floats(4 * N * N, 36), *v = random_floats(4 * K * N, 37), *bias = random_floats(4 * N, 38);
    float *h = random_floats(S * N, 39), *gates = exactly(4 * S * N, sizeof *gates);
    const flm_matrix input = {.dense = v, .K = K, .N = 4 * N}, recurrent = {.dense = u, .K = N, .N = 4 * N};
    k->lstm_step(h, out, gates, x, &input, &recurrent, bias, h, out, S, N);
    for (size_t i = 0; i < S * N; i++) CHECK(fabsf(h[i]) <= 1.0f);
    keep(kept, out, S * N * sizeof *out);
    keep(kept, h, S * N * sizeof *h);
    uint8_t *codes = exactly(2 * K * N, 1);
    const int64_t place[2] = {(int64_t)K - 1, 0};
    const size_t places = K ? 2 : 0;
    float *scales = random_floats(4, 41), *sum = random_floats(2 * N, 42);
    for (size_t i = 0; i < 2 * K * N; i++) codes[i] = (uint8_t)(i * 7);
    k->add_bytes(sum, scales, codes, place, 0.5f, places, 2, K, N);
    k->add_bytes_back(scales, sum, codes, place, 0.5f, places, 2, K, N);
    keep(kept, sum, 2 * N * sizeof *sum);
    keep(kept, scales, 4 * sizeof *scales);
    free(codes);
    float *floats[] = {x, w, scale, units, u, v, bias, gates};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) free(floats[i]);
    free(bytes);
    free(packed);
}

/* (M,K) times (K,N) in arrays of their exact sizes, each matrix either way round: all four in float, against double. */
static void many_rows(const flm_kernels *k, size_t M, size_t N, size_t K)
{
    float *a = random_floats(M * K, 51), *b = random_floats(K * N, 52), *out = random_floats(M * N, 53);
    float *before = random_floats(M * N, 53), *room = exactly(FLM_ROOM, sizeof *room);
    for (int way = 0; way < 8; way++) {
        const flm_strided left = {a, way & 1 ? 1 : K, way & 1 ? M : 1}, right = {b, way & 2 ? 1 : N, way & 2 ? K : 1};
        if (M && N) memcpy(out, before, M * N * sizeof *out);
        k->dense_product(out, N, &left, &right, M, N, K, way >> 2, room);
        for (size_t m = 0; m < M; m++)
            for (size_t n = 0; n < N; n++) {
                double wanted = way >> 2 ? (double)before[m * N + n] : 0.0;
                for (size_t i = 0; i < K; i++)
                    wanted += (double)a[m * left.by_row + i * left.by_column] *
                              (double)b[i * right.by_row + n * right.by_column];
                CLOSE((double)out[m * N + n], wanted, 1e-6 * (double)(K + 1));
            }
    }
    float *all[] = {a, b, out, before, room};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Layers both ways in arrays of their exact sizes; the sanitizers look on. Bytes differ between instruction sets. */
enum { T = 3, N = 12, S = 7, K = 3, R = 2 };
static const size_t layer_size[T] = {7, 4, 1};
static const uint8_t layer_starts[N] = {0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
static const int64_t layer_row[N] = {1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1};

typedef struct weights { /* of a layer of G gates */
    float *w, *u, *x, *bias, *packed_w, *packed_u, *back_w, *back_u, *inputs, *gates;
} weights;

static weights packed_weights(const flm_kernels *k, size_t H, size_t G)
{
    const size_t blocks = (H + 15) / 16, width = (K + 15) / 16 * 16;
    const weights m = {random_floats(K * G * H, 21),
                       random_floats(H * G * H, 22),
                       random_floats(N * K, 23),
                       random_floats(G * H, 24),
                       exactly(blocks * K * 16 * G, 4),
                       exactly(blocks * H * 16 * G, 4),
                       exactly(blocks * 16 * G * width, 4),
                       exactly(blocks * 16 * G * blocks * 16, 4),
                       exactly(blocks * N * 16 * G, 4),
                       exactly(blocks * N * 16 * G, 4)};
    k->panel_pack(m.packed_w, m.w, K, H, G);
    k->panel_pack(m.packed_u, m.u, H, H, G);
    k->panel_pack_back(m.back_w, m.w, K, H, G);
    k->panel_pack_back(m.back_u, m.u, H, H, G);
    k->panel_product(m.inputs, m.x, m.packed_w, m.bias, N, K, H, G);
    return m;
}

/* The gradients of the weights, from that of the gates and that of the recurrent product. */
static void weights_back(const flm_kernels *k, weights m, const float *h_prev, const float *product, size_t H, size_t G)
{
    k->panel_weights(m.u, h_prev, product, N, H, H, G);
    k->panel_scatter(m.inputs, m.gates, layer_row, N, R, H, G);
    k->panel_weights(m.w, m.x, m.gates, N, K, H, G);
    k->panel_sum(m.bias, product, N, H, G);
    k->panel_product_back(m.x, m.gates, m.back_w, N, K, H, G);
    for (size_t i = 0; i < N * K; i++) CHECK(isfinite(m.x[i]));
    for (size_t i = 0; i < G * H; i++) CHECK(isfinite(m.bias[i]));
    float *all[] = {m.w, m.u, m.x, m.bias, m.packed_w, m.packed_u, m.back_w, m.back_u, m.inputs, m.gates};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void layer(const flm_kernels *k, size_t H)
{
    const weights m = packed_weights(k, H, 4);
    float *h = exactly(N * H, sizeof *h), *c = exactly(N * H, sizeof *c), *dc = exactly(S * H, sizeof *dc);
    float *h_prev = random_floats(N * H, 26), *c_prev = random_floats(N * H, 27), *dh = random_floats(N * H, 25);
    k->lstm_forward(h, c, m.gates, h_prev, c_prev, m.packed_u, m.inputs, layer_row, layer_starts, layer_size, T, N, N,
                    H);
    k->lstm_forward(h, c, m.inputs, h_prev, c_prev, m.packed_u, m.inputs, NULL, NULL, layer_size, T, N, N, H);
    for (size_t i = 0; i < N * H; i++) CHECK(fabsf(h[i]) < 1.0f && fabsf(c[i]) < 5.0f);
    k->lstm_backward(m.gates, dh, dc, c, c_prev, m.back_u, layer_starts, layer_size, T, N, H);
    weights_back(k, m, h_prev, m.gates, H, 4);
    float *all[] = {dh, dc, h, c, h_prev, c_prev};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void gru(const flm_kernels *k, outputs *kept, size_t H)
{
    const weights m = packed_weights(k, H, 3);
    float *h = exactly(N * H, sizeof *h), *h_prev = random_floats(N * H, 26), *dh = random_floats(N * H, 25);
    float *product = random_floats((H + 15) / 16 * N * 48, 29), *bias = random_floats(H, 30);
    k->gru_forward(h, m.gates, product, h_prev, m.packed_u, bias, m.inputs, layer_row, layer_starts, layer_size, T, N,
                   N, H);
    k->gru_forward(h, m.inputs, product, h_prev, m.packed_u, bias, m.inputs, NULL, NULL, layer_size, T, N, N, H);
    for (size_t i = 0; i < N * H; i++) CHECK(fabsf(h[i]) < 5.0f);
    k->gru_backward(m.gates, product, dh, h_prev, m.back_u, layer_starts, layer_size, T, N, H);
    const flm_matrix input = {.dense = m.w, .K = K, .N = 3 * H}, recurrent = {.dense = m.u, .K = H, .N = 3 * H};
    float *gates = exactly(2 * 3 * H, sizeof *gates), *scratch = exactly(2 * 3 * H, sizeof *scratch);
    float *x = random_floats(2 * K, 40), *state = random_floats(2 * H, 41), *input_bias = random_floats(3 * H, 42);
    k->gru_step(state, gates, scratch, x, &input, &recurrent, input_bias, bias, state, 2, H);
    for (size_t i = 0; i < 2 * H; i++) CHECK(fabsf(state[i]) < 5.0f);
    keep(kept, state, 2 * H * sizeof *state);
    weights_back(k, m, h_prev, product, H, 3);
    float *all[] = {h, h_prev, dh, product, bias, gates, scratch, x, input_bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void sru(const flm_kernels *k, outputs *kept, size_t H)
{
    float *x = random_floats(N * H, 43), *out = exactly(N * H, sizeof *out), *scale = exactly(N, sizeof *scale);
    k->rms_norm(out, scale, x, N, H);
    k->rms_norm_back(x, out, out, scale, N, H);
    k->relu_squared(out, x, N * H);
    k->relu_squared_back(x, x, out, N * H);
    for (size_t i = 0; i < N * H; i++) CHECK(out[i] >= 0.0f && isfinite(x[i]));
    float *gates = random_floats(N * 3 * H, 44), *first = random_floats(S * H, 45), *carry = random_floats(S * H, 45);
    float *h = exactly(N * H, sizeof *h), *c = exactly(N * H, sizeof *c), *dc = exactly(S * H, sizeof *dc);
    memset(dc, 0, S * H * sizeof *dc);
    k->sru_forward(h, c, gates, carry, layer_starts, layer_size, T, H);
    for (size_t i = 0; i < N * H; i++) CHECK(fabsf(h[i]) <= fabsf(c[i]) && fabsf(c[i]) < 5.0f);
    k->sru_backward(gates, dc, h, c, first, layer_starts, layer_size, T, H);
    keep(kept, out, N * H * sizeof *out);
    keep(kept, h, N * H * sizeof *h);
    keep(kept, carry, S * H * sizeof *carry);
    keep(kept, gates, N * 3 * H * sizeof *gates);
    float *all[] = {x, scale, first, c, dc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void optimisers(const flm_kernels *k, outputs *kept, size_t n)
{
    const flm_rate rate = {.lr = 0.1f,
                           .scale = 0.5f,
                           .l2 = 0.01f,
                           .decay = 0.1f,
                           .momentum = 0.9f,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .epsilon = 1e-8f,
                           .correct1 = 0.1f,
                           .correct2 = 0.001f};
    float *p = random_floats(n, 11), *m = exactly(n, sizeof *m), *v = exactly(n, sizeof *v);
    for (int method = 0; method < 4; method++) {
        float *g = random_floats(n, 12);
        if (method == 0) k->sgd(p, g, n, &rate);
        if (method == 1) k->momentum(p, m, g, n, &rate);
        if (method == 2) k->adagrad(p, v, g, n, &rate);
        if (method == 3) k->adamw(p, m, v, g, n, &rate);
        for (size_t i = 0; i < n; i++) CHECK(g[i] == 0.0f && isfinite(p[i]));
        free(g);
    }
    keep(kept, p, n * sizeof *p);
    keep(kept, m, n * sizeof *m);
    keep(kept, v, n * sizeof *v);
}

/* Three sequences of lengths 4, 2 and 1; the first begins again at its third row. */
/* One wrong entry among many, at both sides of the ends of blocks. */
static void checks(const flm_kernels *k)
{
    enum { N = 1300 };
    int32_t *id = exactly(N, sizeof *id);
    int64_t *row = exactly(N, sizeof *row);
    size_t *size = exactly(N, sizeof *size), total;
    const size_t places[] = {0, 1, 511, 512, 513, 1023, 1024, N - 1};
    for (size_t n = 0; n < N; n++) {
        id[n] = (int32_t)(n % 65);
        row[n] = (int64_t)(n % 65);
        size[n] = N - n;
    }
    CHECK(k->first_bad_id(id, 0, N, 65) == N && k->first_bad_id(id, 0, N, 64) == 64 &&
          k->first_bad_id(id, 0, N, 0) == 0);
    CHECK(k->first_bad_id(id, 0, 0, 0) == 0 && k->first_bad_id(id, -1, N, SIZE_MAX) == N);
    CHECK(k->first_bad_size(&total, size, N, N) == N && total == (size_t)N * (N + 1) / 2);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const size_t n = places[i];
        const int32_t bad_ids[] = {65, -2, INT32_MAX, INT32_MIN};
        const int64_t bad_rows[] = {65, -2, INT64_MAX, INT64_MIN};
        for (size_t b = 0; b < 4; b++) {
            id[n] = bad_ids[b];
            row[n] = bad_rows[b];
            CHECK(k->first_bad_id(id, -1, N, 65) == n && k->first_bad_row(row, -1, N, 65) == n);
        }
        id[n] = -1;
        row[n] = -1;
        CHECK(k->first_bad_id(id, -1, N, 65) == N && k->first_bad_row(row, -1, N, 65) == N);
        CHECK(k->first_bad_id(id, 0, N, 65) == n && k->first_bad_row(row, 0, N, 65) == n);
        id[n] = 0;
        row[n] = 0;
        size[n] += 2;
        CHECK(k->first_bad_size(&total, size, N, N) == n);
        size[n] -= 2;
    }
    free(id);
    free(row);
    free(size);
}

static void packed(const flm_kernels *k, outputs *kept, size_t V)
{
    enum { T = 4, S = 3, N = 7, R = 5, K = 2, L = 3 };
    const size_t size[T] = {3, 2, 1, 1};
    const uint8_t starts[N] = {0, 0, 0, 0, 0, 1, 0};
    const int32_t id[N] = {0, 1, 0, 1, 0, 1, 0};
    int64_t row[N], position[S] = {0}, last[N * L], earlier[S * (L - 1)] = {-1, -1, -1, -1, -1, -1};
    k->position_rows(row, position, id, starts, size, T, 2, 2);
    const int64_t rows[N] = {0, 1, 0, 3, 2, 1, 2};
    CHECK(memcmp(row, rows, sizeof row) == 0);
    CHECK(position[0] == 2 && position[1] == 2 && position[2] == 1);
    k->last_ids(last, earlier, id, starts, size, T, L);
    CHECK(last[4 * L] == 0 && last[4 * L + 1] == 1 && last[4 * L + 2] == -1);
    CHECK(last[5 * L] == 1 && last[5 * L + 1] == -1 && last[6 * L + 1] == 1 && last[6 * L + 2] == -1);
    const int64_t order[2] = {1, 3};
    int64_t hashed[N * 2];
    k->hashed_rows(hashed, last, order, N, L, 2, 11);
    for (size_t n = 0; n < N; n++) {
        CHECK(hashed[2 * n] >= 0 && hashed[2 * n] < 11 && hashed[2 * n] == hashed[2 * (size_t)(id[n] ? 1 : 0)]);
        CHECK(last[n * L + 2] < 0 ? hashed[2 * n + 1] == -1 : hashed[2 * n + 1] >= 11 && hashed[2 * n + 1] < 22);
    }
    k->last_ids(last, earlier, id, NULL, size, T, 1);
    size_t total;
    CHECK(k->first_bad_size(&total, size, T, S) == T && total == N);
    CHECK(k->first_bad_size(&total, size, T, S - 1) == 0);
    CHECK(k->first_bad_size(&total, size, 0, 0) == 0 && total == 0);
    CHECK(k->first_bad_row(row, 0, N, 4) == N && k->first_bad_row(row, 0, N, 3) == 3);
    row[2] = -1;
    CHECK(k->first_bad_row(row, -1, N, 4) == N && k->first_bad_row(row, 0, N, 4) == 2);
    checks(k);

    float *table = random_floats(R * V, 13), *out = exactly(N * V, sizeof *out), *bias = random_floats(V, 14);
    float *carry = exactly(S * V, sizeof *carry), *running = exactly(S * V, sizeof *running);
    k->gather(out, table, row, N, V);
    for (size_t v = 0; v < V; v++) CHECK(out[2 * V + v] == 0.0f && out[3 * V + v] == table[3 * V + v]);
    k->scatter_add(table, out, row, N, V);
    k->prefix_sum(out, carry, table, bias, row, starts, size, T, V);
    for (size_t v = 0; v < V; v++) CLOSE(out[5 * V + v], bias[v] + table[V + v], 1e-6);
    k->suffix_sum(table, running, out, row, starts, size, T, V);
    k->prefix_sum(out, carry, table, NULL, row, NULL, size, T, V);

    const float rate[K] = {0.5f, 0.0f};
    float *sums = exactly(N * K * V, sizeof *sums), *lanes = exactly(S * K * V, sizeof *lanes);
    float *back = exactly(S * K * V, sizeof *back);
    k->decayed_sum(sums, lanes, out, rate, starts, size, T, K, V);
    for (size_t v = 0; v < V; v++) CHECK(sums[(6 * K + 1) * V + v] == out[6 * V + v]);
    k->decayed_sum_back(out, back, sums, rate, starts, size, T, K, V);
    keep(kept, out, N * V * sizeof *out);
    keep(kept, table, R * V * sizeof *table);
    keep(kept, sums, N * K * V * sizeof *sums);
    free(bias);
    free(carry);
    free(running);
    free(lanes);
    free(back);
}

/* Two lanes of 3 and 2 steps, the first after two entries. Attention's products fuse where they can, so that only what
 * stands between them is kept. */
static void block(const flm_kernels *k, outputs *kept, size_t D)
{
    enum { N = 5, S = 2, L = 2, T = 3, H = 2 };
    const int64_t length[S] = {2, 0}, offset[T + 1] = {0, 2, 4, 5};
    const size_t size[T] = {2, 2, 1};
    const uint8_t starts[N] = {0, 0, 0, 1, 0};
    int64_t *first = exactly(N, sizeof *first), *left = exactly(S, sizeof *left);
    float *qkv = random_floats(N * 3 * H * D, 51), *past = random_floats(S * L * 2 * H * D, 52);
    float *slope = random_floats(H, 53), *out = exactly(N * H * D, sizeof *out), *sum = exactly(N * H, sizeof *sum);
    float *dqkv = random_floats(N * 3 * H * D, 54), *after = exactly(S * L * 2 * H * D, sizeof *after);
    k->attention_spans(first, left, length, starts, size, T, S, 3);
    CHECK(first[4] == 2 && left[0] == 2 && left[1] == 1);
    const flm_attention a = {qkv, past, slope, length, first, offset, T, S, L, H, D};
    float *scratch = exactly(k->attention_scratch(&a), sizeof *scratch);
    k->attention_forward(out, sum, scratch, &a);
    k->attention_backward(dqkv, scratch, out, out, sum, &a);
    k->attention_carry(after, left, L, &a);
    for (size_t d = 0; d < 2 * H * D; d++) CHECK(after[(L + 1) * 2 * H * D + d] == 0.0f);
    keep(kept, after, S * L * 2 * H * D * sizeof *after);

    enum { P = 70 };
    const int64_t seen[S] = {69, 1};
    float *keys = random_floats(S * H * P * D, 59), *values = random_floats(S * H * P * D, 60);
    float *score = exactly(k->attention_step_scratch(P), sizeof *score), *one = exactly(S * H * D, sizeof *one);
    k->attention_step(one, score, qkv, keys, values, slope, seen, P - 1, S, P, H, D);
    for (size_t i = 0; i < H * D; i++) CHECK(one[H * D + i] == values[((H + i / D) * P + P - 2) * D + i % D]);
    keep(kept, one, S * H * D * sizeof *one);
    free(keys);
    free(values);
    free(score);

    float *x = random_floats(N * D, 55), *y = exactly(N * D, sizeof *y), *gain = random_floats(D, 56);
    float *moments = exactly(2 * N, sizeof *moments), *dx = random_floats(N * D, 57), *dgain = random_floats(D, 58);
    double *sums = exactly(2 * D, sizeof *sums);
    k->layer_norm(y, moments, x, gain, dgain, N, D);
    k->layer_norm_back(dx, dgain, gain, sums, y, x, moments, gain, N, D);
    k->gelu(x, y, x, gain, N, D);
    k->multiply_sum(dx, gain, y, N, D);
    k->residual(dx, x, gain, N, D);
    keep(kept, dx, N * D * sizeof *dx);
    keep(kept, gain, D * sizeof *gain);
    void *rest[] = {first, left, qkv, past, slope, out, sum, dqkv, scratch, x, y, moments, dgain, sums};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) free(rest[i]);
}

static outputs everything(const flm_kernels *k, size_t width)
{
    outputs kept = {0};
    for (size_t N = 0; N < 4; N++) {
        if (width) softmaxes(k, &kept, 5 * N, width);
        elementwise(k, &kept, N, width);
        lstm(k, &kept, N, width);
    }
    layer(k, width);
    if (width) block(k, &kept, width);
    gru(k, &kept, width);
    sru(k, &kept, width);
    few_rows(k, &kept, 3, 13, width);
    few_rows(k, &kept, 1, width, 9);
    many_rows(k, 7, width, 18);
    many_rows(k, width, 5, 270);
    optimisers(k, &kept, width);
    packed(k, &kept, width);
    return kept;
}

int main(void)
{
    static const char *const isas[] = {"portable", "avx2", "avx512"};
    static const size_t widths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 65, 257};
    CHECK(flm_kernels_for("portable") && flm_kernels_for(NULL) && flm_kernels_for("") == flm_kernels_for(NULL));
    CHECK(flm_kernels_for("sse9") == NULL);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        outputs wanted = everything(flm_kernels_for("portable"), widths[i]);
        for (size_t isa = 1; isa < 3; isa++) {
            const flm_kernels *k = flm_kernels_for(isas[isa]);
            if (!k) continue;
            CHECK(strcmp(k->name, isas[isa]) == 0);
            outputs got = everything(k, widths[i]);
            CHECK(got.count == wanted.count && memcmp(got.bytes, wanted.bytes, got.count) == 0);
            free(got.bytes);
        }
        free(wanted.bytes);
    }
    return finish("kernels");
}
