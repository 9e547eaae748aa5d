/* attention.c: causal attention with a cache of keys and values, both ways (Vaswani et al. 2017), its positions told by
 * a penalty on distance (ALiBi, Press et al. 2022). Included by kernels.h.
 *
 * Lane after lane, head after head, the rows are copied into the caller's scratch and taken QUERIES queries at a time. The
 * scores of a block stay in the second-level cache, so that a softmax of whole rows costs less than an online one would;
 * the way back makes them again from the logarithms of their sums (Dao et al. 2022). All products are made of tiles
 * (product.c), and none reaches further right of the diagonal than its tile does. */

static size_t attention_scratch(const flm_attention *a)
{
    const size_t width = rounded_up(a->D, LANES), keys = most_keys(a);
    return 4 * a->T * width + 2 * a->D * keys + keys * width + 2 * QUERIES * keys + QUERIES * width;
}

static void attention_spans(int64_t *first, int64_t *kept, const int64_t *length, const uint8_t *starts,
                            const size_t *size, size_t T, size_t S, size_t window)
{
    size_t n = 0, steps = T;
    for (size_t s = 0; s < S; s++) kept[s] = 0;          /* where the lane's document begins, until its end */
    for (size_t t = 0; t < T; t++)
        for (size_t s = 0; s < size[t]; s++, n++) {
            const int64_t at = length[s] + (int64_t)t;
            if (starts && starts[n]) kept[s] = at;
            first[n] = kept[s];
            if (window && at - kept[s] >= (int64_t)window) first[n] = at + 1 - (int64_t)window;
        }
    for (size_t s = 0; s < S; s++) {
        while (steps && size[steps - 1] <= s) steps--;
        kept[s] = length[s] + (int64_t)steps - kept[s];
        if (window && kept[s] >= (int64_t)window) kept[s] = (int64_t)window - 1;
    }
}

INLINE vf where(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

/* W penalized scores of query `own`: score - slope * distance, -inf at keys before `first` and after `own`. */
INLINE vf penalized(const float *score, size_t j, size_t first, size_t own, float slope)
{
    float ahead[W];
    UNROLL8 for (int i = 0; i < W; i++) ahead[i] = (float)i;
    const vf at = load(ahead) + (float)((int64_t)j - (int64_t)own);
    const vi seen = (at <= splat(0.0f)) & (at >= splat((float)((int64_t)first - (int64_t)own)));
    return where(seen, load(score) + slope * at, splat(-INFINITY));
}

/* GROUP vectors at a time of the keys from the panel of `first` to that of `own`; the rest of the row becomes zeros. */
#define OVER_ROW(j) for (size_t j = from; j < to; j += GROUP * W)
INLINE void zeros_around(float *row, const block *b, size_t from, size_t to)
{
    memset(row, 0, (from - b->low) * sizeof *row);
    memset(row + to - b->low, 0, (b->low + b->wide - to) * sizeof *row);
}

/* Scores of query `own` become exp(score - largest). Returns the largest, and their sum. */
static float row_softmax(float *row, double *total, const block *b, size_t first, size_t own, float slope)
{
    const size_t from = first / KEYS * KEYS, to = rounded_up(own + 1, KEYS);
    float *x = row - b->low;
    vf best = splat(-INFINITY);
    lanes sum = {{{0}}};
    OVER_ROW(j)
        UNROLL for (int g = 0; g < GROUP; g++) {
            const vf score = penalized(x + j + g * W, j + (size_t)g * W, first, own, slope);
            best = max(score, best);
            store(x + j + g * W, score);
        }
    const float top = vector_max(best);
    OVER_ROW(j) {
        vf y[GROUP];
        UNROLL for (int g = 0; g < GROUP; g++) y[g] = load(x + j + g * W) - top;
        exp_negative(y, GROUP);
        UNROLL for (int g = 0; g < GROUP; g++) {
            lanes_add(&sum, g % PARTS, y[g]);
            store(x + j + g * W, y[g]);
        }
    }
    zeros_around(row, b, from, to);
    *total = lanes_total(&sum);
    return top;
}

/* Scores of query `own` become probabilities, and dp, the gradient of those, becomes that of the scores. */
static void row_softmax_back(float *row, float *dp, const block *b, size_t first, size_t own, float slope,
                             float log_sum, float mean)
{
    const size_t from = first / KEYS * KEYS, to = rounded_up(own + 1, KEYS);
    float *x = row - b->low, *dx = dp - b->low;
    OVER_ROW(j) {
        vf y[GROUP];
        UNROLL for (int g = 0; g < GROUP; g++)
            y[g] = penalized(x + j + g * W, j + (size_t)g * W, first, own, slope) - log_sum;
        exp_negative(y, GROUP);
        UNROLL for (int g = 0; g < GROUP; g++) {
            const vi some = y[g] > splat(0.0f);          /* what lies beyond the diagonal was never written */
            store(x + j + g * W, y[g]);
            store(dx + j + g * W, where(some, y[g] * (load(dx + j + g * W) - mean), splat(0.0f)));
        }
    }
    zeros_around(row, b, from, to);
    zeros_around(dp, b, from, to);
}
#undef OVER_ROW

INLINE double dot(const float *x, const float *y, size_t D)
{
    lanes sum = {{{0}}};
    for (size_t d = 0; d < D; d += W)
        lanes_add(&sum, (int)(d / W % PARTS), load_up_to(x + d, D - d, 0.0f) * load_up_to(y + d, D - d, 0.0f));
    return lanes_total(&sum);
}

static void attention_forward(float *out, float *log_sum, float *scratch, const flm_attention *a)
{
    const float scale = (float)(1.0 / sqrt((double)a->D));
    size_t T = a->T;
    for (size_t s = 0; s < a->S && (T = steps_of(a, s, T)) > 0; s++)
        for (size_t h = 0; h < a->H; h++) {
            const lane l = lane_of(a, s, h, T);
            const size_t keys = rounded_up(l.keys, KEYS);
            float *q = scratch, *keys_t = q + T * l.width, *v = keys_t + l.D * keys, *score = v + keys * l.width;
            float *sum = score + QUERIES * keys;
            pack_steps(q, &l, a->qkv + h * l.D, 3 * a->H * l.D, scale);
            pack_transposed(keys_t, &l, 0);
            pack_keys(v, &l, 1);
            for (size_t t = 0; t < T; t += QUERIES) {
                const block b = block_of(&l, t);
                double total[QUERIES];
                block_scores(score, &l, &b, q, keys_t);
                for (size_t r = 0; r < b.rows; r++) {
                    const size_t n = row_of(&l, t + r);
                    const float top = row_softmax(score + r * b.wide, &total[r], &b, (size_t)a->first[n], b.own + r,
                                                  a->slope[h]);
                    log_sum[n * a->H + h] = (float)((double)top + log(total[r]));
                }
                block_weighted(sum, &l, &b, score, v);
                for (size_t r = 0; r < b.rows; r++) {
                    const float factor = (float)(1.0 / total[r]);
                    float *to = out + (row_of(&l, t + r) * a->H + h) * l.D;
                    for (size_t d = 0; d < l.D; d++) to[d] = sum[r * l.width + d] * factor;
                }
            }
        }
}

static void attention_backward(float *dqkv, float *scratch, const float *dout, const float *out, const float *log_sum,
                               const flm_attention *a)
{
    const float scale = (float)(1.0 / sqrt((double)a->D));
    const size_t all = a->H * a->D;
    size_t T = a->T;
    for (size_t s = 0; s < a->S && (T = steps_of(a, s, T)) > 0; s++)
        for (size_t h = 0; h < a->H; h++) {
            const lane l = lane_of(a, s, h, T);
            const size_t keys = rounded_up(l.keys, KEYS), steps = T * l.width;
            float *q = scratch, *d_out = q + steps, *dk = d_out + steps, *dv = dk + steps, *keys_t = dv + steps;
            float *values_t = keys_t + l.D * keys, *k = values_t + l.D * keys, *p = k + keys * l.width;
            float *dp = p + QUERIES * keys, *dq = dp + QUERIES * keys;
            pack_steps(q, &l, a->qkv + h * l.D, 3 * all, scale);
            pack_steps(d_out, &l, dout + h * l.D, all, 1.0f);
            pack_transposed(keys_t, &l, 0);
            pack_transposed(values_t, &l, 1);
            pack_keys(k, &l, 0);
            memset(dk, 0, 2 * steps * sizeof *dk);       /* and dv after it */
            for (size_t t = 0; t < T; t += QUERIES) {
                const block b = block_of(&l, t);
                block_scores(p, &l, &b, q, keys_t);
                block_scores(dp, &l, &b, d_out, values_t);
                for (size_t r = 0; r < b.rows; r++) {
                    const size_t n = row_of(&l, t + r);
                    fetch(dqkv + n * 3 * all + h * l.D, l.D);
                    if (t + r + SOON < T) fetch(out + row_of(&l, t + r + SOON) * all + h * l.D, l.D);
                    const double mean = dot(d_out + (t + r) * l.width, out + n * all + h * l.D, l.D);
                    row_softmax_back(p + r * b.wide, dp + r * b.wide, &b, (size_t)a->first[n], b.own + r, a->slope[h],
                                     log_sum[n * a->H + h], (float)mean);
                }
                block_weighted(dq, &l, &b, dp, k);
                for (size_t r = 0; r < b.rows; r++) {
                    float *to = dqkv + row_of(&l, t + r) * 3 * all + h * l.D;
                    for (size_t d = 0; d < l.D; d++) to[d] += dq[r * l.width + d] * scale;
                }
                block_transposed(dk, &l, &b, dp, q);
                block_transposed(dv, &l, &b, p, d_out);
            }
            for (size_t t = 0; t < T; t++) {
                float *to = dqkv + row_of(&l, t) * 3 * all + all + h * l.D;
                if (t + SOON < T) {
                    const float *next = dqkv + row_of(&l, t + SOON) * 3 * all + all + h * l.D;
                    fetch(next, l.D);
                    fetch(next + all, l.D);
                }
                add_to(to, dk + t * l.width, l.D);
                add_to(to + all, dv + t * l.width, l.D);
            }
        }
}

static void attention_carry(float *after, const int64_t *kept, size_t longest, const flm_attention *a)
{
    size_t T = a->T;
    const size_t entry = 2 * a->H * a->D;
    for (size_t s = 0; s < a->S; s++, after += longest * entry) {
        T = steps_of(a, s, T);
        const lane l = lane_of(a, s, 0, T);
        const size_t count = (size_t)kept[s];
        for (size_t i = 0; i < count; i++)
            memcpy(after + i * entry, key_at(&l, l.keys - count + i, 0), entry * sizeof *after);
        memset(after + count * entry, 0, (longest - count) * entry * sizeof *after);
    }
}
#undef QUERIES
#undef SOON
#undef KEYS
