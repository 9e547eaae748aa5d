/* softmax.c: the softmax of rows and the losses on it. Included by kernels.h.
 *
 * The maximum is subtracted first, so no exponential overflows and the sum is at least 1; a NaN, a +inf or a row of -inf
 * gives a row of NaN. So a row is read three times: its maximum, the exponentials and their sum, the result. The three
 * readings of three successive rows share one loop: arithmetic is the limit for the exponentials, and the cache for
 * the other two, which therefore cost next to nothing beside them.
 *
 * Sums: RUN exponentials are added in 16 lanes of float, 8 to a lane, then the lanes in double. All are positive, so the
 * 7 additions in float cost at most 7 * 2^-24 = 4.2e-7 of the sum (in the mean of lanes of random numbers about 3e-8),
 * as much as the exponentials themselves; in double from the start they would cost a third of the whole time. */
#define RUN (8 * LANES)
#define AHEAD 2048                        /* floats: how far before its first reading a row is fetched from memory */

INLINE float row_max(const float *x, size_t V)
{
    vf best[PARTS];
    size_t i = 0;
    UNROLL for (int p = 0; p < PARTS; p++) best[p] = splat(-INFINITY);
    for (; i + LANES <= V; i += LANES)
        UNROLL for (int p = 0; p < PARTS; p++) best[p] = max(load(x + i + p * W), best[p]);
    for (; i < V; i += W) best[0] = max(load_up_to(x + i, V - i, -INFINITY), best[0]);
    UNROLL for (int p = 1; p < PARTS; p++) best[0] = max(best[p], best[0]);
    return vector_max(best[0]);
}

/* What shares the loop with the exponentials of one row. */
typedef struct beside {
    const float *next;                /* the row whose maximum is wanted, or NULL                                     */
    vf best[PARTS];
    float *done;                      /* the row before, which gets its result, or NULL: from * factor,               */
    const float *from;                /* or where subtracts (from - top) - rest                                       */
    int subtracts;
    float factor, top, rest;
} beside;

/* `count` vectors at i, parts p onwards of the 16 lanes; only `left` floats of them are there. */
INLINE void some_exp(float *e, const float *x, float shift, vf *run, beside *b, size_t i, int p, int count, size_t left)
{
    vf y[GROUP];
    UNROLL for (int g = 0; g < count; g++) y[g] = load_up_to(x + i + g * W, left, -INFINITY) - shift;
    if (b->next)
        UNROLL for (int g = 0; g < count; g++) {
            vf *best = &b->best[(p + g) % PARTS];
            *best = max(load_up_to(b->next + i + g * W, left, -INFINITY), *best);
        }
    exp_negative(y, count);
    if (e)
        UNROLL for (int g = 0; g < count; g++) store_up_to(e + i + g * W, y[g], left);
    UNROLL for (int g = 0; g < count; g++) run[(p + g) % PARTS] += y[g];
    if (b->done)
        UNROLL for (int g = 0; g < count; g++) {
            const vf from = load_up_to(b->from + i + g * W, left, 0.0f);
            store_up_to(b->done + i + g * W, b->subtracts ? (from - b->top) - b->rest : from * b->factor, left);
        }
}

/* The sum of exp(x - shift); the exponentials are written to e unless it is NULL. e may be x. Where b->next is given,
 * *next_top is its maximum. */
INLINE double row_exp(float *e, const float *x, float shift, float *next_top, beside *b, size_t V)
{
    lanes sum = {0};
    UNROLL for (int p = 0; p < PARTS; p++) b->best[p] = splat(-INFINITY);
    for (size_t i = 0; i < V;) {
        const size_t end = V - i < RUN ? V : i + RUN;
        vf run[PARTS] = {{0}};
        for (; i + GROUP * W <= end; i += GROUP * W) {
            if (b->next)
                for (size_t line = 0; line < GROUP * W; line += 16) __builtin_prefetch(b->next + i + line + AHEAD, 0, 2);
            some_exp(e, x, shift, run, b, i, 0, GROUP, SIZE_MAX);
        }
        for (; i < end; i += LANES)
            UNROLL for (int p = 0; p < PARTS; p++)
                if (i + (size_t)p * W < end)
                    some_exp(e, x, shift, run, b, i + (size_t)p * W, p, 1, end - i - (size_t)p * W);
        i = end;
        UNROLL for (int p = 0; p < PARTS; p++) lanes_add(&sum, p, run[p]);
    }
    if (b->next) {
        UNROLL for (int p = 1; p < PARTS; p++) b->best[0] = max(b->best[p], b->best[0]);
        *next_top = vector_max(b->best[0]);
    }
    return lanes_total(&sum);
}

INLINE void row_scale(float *x, float a, size_t V)
{
    size_t i = 0;
    for (; i + W <= V; i += W) store(x + i, load(x + i) * a);
    if (i < V) store_part(x + i, load_part(x + i, V - i, 0.0f) * a, V - i);
}

static void softmax(float *out, const float *x, size_t N, size_t V)
{
    beside b = {0};
    float top = N ? row_max(x, V) : 0.0f;
    for (size_t n = 0; n < N; n++, x += V, out += V) {
        b.next = n + 1 < N ? x + V : NULL;
        b.factor = (float)(1.0 / row_exp(out, x, top, &top, &b, V));
        b.from = b.done = out;
    }
    if (N) row_scale(b.done, b.factor, V);
}

static void log_softmax(float *out, const float *x, size_t N, size_t V)
{
    beside b = {.subtracts = 1};
    float top = N ? row_max(x, V) : 0.0f;
    for (size_t n = 0; n < N; n++, x += V, out += V) {
        const float shift = top;
        b.next = n + 1 < N ? x + V : NULL;
        b.rest = (float)log(row_exp(NULL, x, top, &top, &b, V));
        b.top = shift;
        b.from = x;
        b.done = out;
    }
    for (size_t v = 0; N && v < V; v++) b.done[v] = (b.from[v] - b.top) - b.rest;
}

/* The logarithms of some rows' sums at once, since a call empties every vector register. */
#define ROWS 32
INLINE void add_logs(double *loss, const double *sum, size_t n, size_t N)
{
    if ((n + 1) % ROWS && n + 1 < N) return;
    for (size_t m = n - n % ROWS; m <= n; m++) loss[m] = log(sum[m % ROWS]) + loss[m];
}

static void cross_entropy(double *loss, const float *x, const int32_t *target, size_t N, size_t V)
{
    double sum[ROWS];
    beside b = {0};
    float top = N ? row_max(x, V) : 0.0f;
    for (size_t n = 0; n < N; n++, x += V) {
        loss[n] = target[n] < 0 ? 0.0 : (double)top - (double)x[target[n]];
        b.next = n + 1 < N ? x + V : NULL;
        sum[n % ROWS] = row_exp(NULL, x, top, &top, &b, V);
        if (target[n] < 0) sum[n % ROWS] = 1.0;
        add_logs(loss, sum, n, N);
    }
}

static void softmax_cross_entropy(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V)
{
    double sum[ROWS];
    beside b = {0};
    float top = N ? row_max(x, V) : 0.0f, at_aim = 0.0f;              /* at_aim: the entry of b.done that is not scaled */
    for (size_t n = 0; n < N; n++, x += V) {
        const int32_t aim = target[n];
        loss[n] = aim < 0 ? 0.0 : (double)top - (double)x[aim];
        b.next = n + 1 < N ? x + V : NULL;
        const double total = row_exp(x, x, top, &top, &b, V);
        if (n && target[n - 1] >= 0) b.done[target[n - 1]] = at_aim;
        b.from = b.done = x;
        if (aim < 0) {
            memset(x, 0, V * sizeof *x);
            b.factor = 0.0f;
            sum[n % ROWS] = 1.0;
        } else {
            at_aim = (float)((double)scale * ((double)x[aim] / total - 1.0));
            b.factor = (float)((double)scale / total);
            sum[n % ROWS] = total;
        }
        add_logs(loss, sum, n, N);
    }
    if (N) row_scale(b.done, b.factor, V);
    if (N && target[N - 1] >= 0) b.done[target[N - 1]] = at_aim;
}
#undef ROWS

/* Sum of squares of a row, sixteen lanes in double. */
INLINE double row_squares(const float *x, size_t V)
{
    lanes sum = {0};
    size_t i = 0;
    for (; i + LANES <= V; i += LANES)
        UNROLL8 for (int h = 0; h < 2 * PARTS; h++) {
            const vd y = widen(x + i + h * (W / 2));
            sum.part[h] = add_square(y, sum.part[h]);
        }
    if (i < V)
        UNROLL for (int p = 0; p < PARTS; p++) {
            const size_t from = i + (size_t)(p * W), left = from < V ? V - from : 0;
            if (left == 0) break;
            lanes_add_square(&sum, p, load_up_to(x + from, left, 0.0f));
        }
    return lanes_total(&sum);
}

static void softmax_squared(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V)
{
    for (size_t n = 0; n < N; n++, x += V) {
        loss[n] = 0.0;
        if (target[n] < 0) {
            memset(x, 0, V * sizeof *x);
            continue;
        }
        beside b = {0};
        const double sum = row_exp(x, x, row_max(x, V), NULL, &b, V);
        const double p = (double)x[target[n]] / sum;
        x[target[n]] = 0.0f;
        const double others = row_squares(x, V) / (sum * sum);                 /* sum of p[v]^2, v != target */
        const double miss = 1.0 - p;
        loss[n] = others + miss * miss;
        const double dot = others - p * miss;                                  /* sum_v e[v] p[v] */
        const float from_p = (float)(1.0 / sum), twice = 2.0f * scale, shift = (float)dot;
        for (size_t v = 0; v < V; v++) {
            const float q = x[v] * from_p;
            x[v] = twice * q * (q - shift);
        }
        x[target[n]] = (float)(2.0 * (double)scale * p * (-miss - dot));
    }
}
