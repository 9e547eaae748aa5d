/* optimizer.c: one step of an optimiser over a flat array. Included by kernels.h.
 *
 * The rate is copied first: through the pointer the compiler would have to read it again after every store. */

static void sgd(float *restrict p, float *restrict g, size_t n, const flm_rate *rate)
{
    const flm_rate r = *rate;
    const float shrink = 1.0f - r.lr * r.decay;
    for (size_t i = 0; i < n; i++) {
        const float d = r.scale * g[i] + r.l2 * p[i];
        p[i] = p[i] * shrink - r.lr * d;
        g[i] = 0.0f;
    }
}

static void momentum(float *restrict p, float *restrict v, float *restrict g, size_t n, const flm_rate *rate)
{
    const flm_rate r = *rate;
    const float shrink = 1.0f - r.lr * r.decay;
    for (size_t i = 0; i < n; i++) {
        v[i] = r.momentum * v[i] + (r.scale * g[i] + r.l2 * p[i]);
        p[i] = p[i] * shrink - r.lr * v[i];
        g[i] = 0.0f;
    }
}

/* a += d^2; p -= lr d / (sqrt(a) + epsilon).  Duchi, Hazan & Singer 2011. */
static void adagrad(float *restrict p, float *restrict a, float *restrict g, size_t n, const flm_rate *rate)
{
    const flm_rate r = *rate;
    const float shrink = 1.0f - r.lr * r.decay;
    for (size_t i = 0; i < n; i++) {
        const float d = r.scale * g[i] + r.l2 * p[i];
        a[i] += d * d;
        p[i] = p[i] * shrink - r.lr * d / (sqrtf(a[i]) + r.epsilon);
        g[i] = 0.0f;
    }
}

/* m = b1 m + (1-b1) d; v = b2 v + (1-b2) d^2; p = (1 - lr decay) p - lr (m/c1) / (sqrt(v/c2) + epsilon).
 * Loshchilov & Hutter 2019; Kingma & Ba 2015. */
static void adamw(float *restrict p, float *restrict m, float *restrict v, float *restrict g, size_t n,
                  const flm_rate *rate)
{
    const flm_rate r = *rate;
    const float shrink = 1.0f - r.lr * r.decay;
    const float keep1 = (float)r.beta1, keep2 = (float)r.beta2;
    const float take1 = (float)(1.0 - r.beta1), take2 = (float)(1.0 - r.beta2);
    const float lr = r.lr / r.correct1, root = 1.0f / sqrtf(r.correct2);
    for (size_t i = 0; i < n; i++) {
        const float d = r.scale * g[i] + r.l2 * p[i];
        m[i] = keep1 * m[i] + take1 * d;
        v[i] = keep2 * v[i] + take2 * (d * d);
        p[i] = p[i] * shrink - lr * m[i] / (sqrtf(v[i]) * root + r.epsilon);
        g[i] = 0.0f;
    }
}

static double sum_squares(const float *x, size_t n)
{
    return row_squares(x, n);
}

/* One pass where add and sum_squares take two; the sum has the same bytes. */
static double add_sum_squares(float *out, const float *x, size_t n)
{
    lanes sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const vf y = load(out + i + p * W) + load(x + i + p * W);
            store(out + i + p * W, y);
            lanes_add_square(&sum, p, y);
        }
    UNROLL for (int p = 0; p < PARTS; p++) {
        const size_t from = i + (size_t)(p * W), left = from < n ? n - from : 0;
        if (left == 0) break;
        const vf y = load_up_to(out + from, left, 0.0f) + load_up_to(x + from, left, 0.0f);
        store_up_to(out + from, y, left);
        lanes_add_square(&sum, p, y);
    }
    return lanes_total(&sum);
}
