/* attention_lane.c: what one head of attention works on in one lane: its rows packed, and the products of a block of
 * queries with the keys that they see. Included by kernels.h. */

#define QUERIES 60                                         /* a multiple of TILE_ROWS */
#define KEYS 64                                          /* of a panel of transposed keys */

INLINE size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* The longest a lane can be, in whole panels. */
INLINE size_t most_keys(const flm_attention *a) { return rounded_up(a->L + a->T, KEYS); }

/* One head of one lane. */
typedef struct lane {
    const flm_attention *a;
    size_t s, h, T, past, keys, D, width;                /* width: D in whole vectors                            */
} lane;

INLINE lane lane_of(const flm_attention *a, size_t s, size_t h, size_t T)
{
    const size_t past = (size_t)a->length[s];
    return (lane){a, s, h, T, past, past + T, a->D, rounded_up(a->D, LANES)};
}

INLINE size_t row_of(const lane *l, size_t t) { return (size_t)l->a->offset[t] + l->s; }

/* How many steps lane s has, given how many the lane before it has. */
INLINE size_t steps_of(const flm_attention *a, size_t s, size_t before)
{
    while (before && (size_t)(a->offset[before] - a->offset[before - 1]) <= s) before--;
    return before;
}

/* Key j of the lane, or its value: D floats. */
INLINE const float *key_at(const lane *l, size_t j, int value)
{
    const size_t all = l->a->H * l->D, at = (size_t)value * all + l->h * l->D;
    if (j < l->past) return l->a->past + (l->s * l->a->L + j) * 2 * all + at;
    return l->a->qkv + row_of(l, j - l->past) * 3 * all + all + at;
}

/* Fetches the D floats of a head in a row that will be packed soon: rows of a lane lie pages apart, where no prefetcher of
 * the processor's follows. */
#define SOON 12
INLINE void fetch(const float *x, size_t D)
{
    for (size_t d = 0; d < D; d += LANES) __builtin_prefetch(x + d);
}

/* to (T,width) = rows t of x (N,stride), `scale` times, zeros beyond D. */
static void pack_steps(float *to, const lane *l, const float *x, size_t stride, float scale)
{
    for (size_t t = 0; t < l->T; t++, to += l->width) {
        const float *from = x + row_of(l, t) * stride;
        if (t + SOON < l->T) fetch(x + row_of(l, t + SOON) * stride, l->D);
        for (size_t d = 0; d < l->D; d++) to[d] = scale * from[d];
        for (size_t d = l->D; d < l->width; d++) to[d] = 0.0f;
    }
}

/* to (keys,width) = keys or values. */
static void pack_keys(float *to, const lane *l, int value)
{
    for (size_t j = 0; j < l->keys; j++, to += l->width) {
        if (j + SOON < l->keys) fetch(key_at(l, j + SOON, value), l->D);
        memcpy(to, key_at(l, j, value), l->D * sizeof *to);
        for (size_t d = l->D; d < l->width; d++) to[d] = 0.0f;
    }
}

/* to: panels (D,KEYS) of the transposed keys or values, zeros beyond the last. */
static void pack_transposed(float *to, const lane *l, int value)
{
    for (size_t j = 0; j < rounded_up(l->keys, KEYS); j += LANES) {
        float *corner = to + j / KEYS * KEYS * l->D + j % KEYS;
        for (size_t i = j + LANES; i < j + 2 * LANES && i < l->keys; i++) fetch(key_at(l, i, value), l->D);
        for (size_t d = 0; d < l->D; d += LANES) {
            const size_t deep = l->D - d < LANES ? l->D - d : LANES;
            float square[LANES][LANES] = {{0}};
            for (size_t i = 0; i < LANES && j + i < l->keys; i++)
                memcpy(square[i], key_at(l, j + i, value) + d, deep * sizeof *to);
            for (size_t k = 0; k < deep; k++)
                for (size_t i = 0; i < LANES; i++) corner[(d + k) * KEYS + i] = square[i][k];
        }
    }
}

/* out (rows,columns), `by_row` floats apart, = or += a times the panel; columns in whole vectors of LANES. */
INLINE void tile_product(float *out, size_t by_row, const operand a, const float *panel, size_t stride, size_t rows,
                         size_t columns, int add)
{
    vf sum[TILE_ROWS][PANEL];
    for (size_t from = 0; from < columns; from += WIDTH) {
        const size_t vectors = vectors_from(from, columns);
        for (size_t part = 0; part < LANES; part += W) {
            strided_sums(sum, &a, panel + from + part, stride, rows, vectors);
            for (size_t r = 0; r < rows; r++)
                for (size_t v = 0; v < vectors; v++) {
                    float *to = out + r * by_row + from + v * LANES + part;
                    store(to, add ? load(to) + sum[r][v] : sum[r][v]);
                }
        }
    }
}

/* Some queries of a lane and the keys that they see: queries t to t+rows-1, the first of which is key `own`, and keys
 * `low` to low+wide-1, both in whole panels. */
typedef struct block {
    size_t t, rows, own, low, wide;
} block;

INLINE block block_of(const lane *l, size_t t)
{
    const size_t rows = l->T - t < QUERIES ? l->T - t : QUERIES, own = l->past + t;
    const size_t low = (size_t)l->a->first[row_of(l, t)] / KEYS * KEYS;
    return (block){t, rows, own, low, rounded_up(own + rows, KEYS) - low};
}

/* to (rows,wide) = x (T,width) times transposed keys or values, up to the diagonal. */
static void block_scores(float *to, const lane *l, const block *b, const float *x, const float *panels)
{
    for (size_t j = b->low; j < b->own + b->rows; j += KEYS)
        for (size_t r = 0, rows; r < b->rows; r += rows) {
            rows = next_rows(b->rows - r);
            const size_t reach = b->own + r + rows;
            if (reach <= j) continue;
            const size_t columns = reach - j < KEYS ? rounded_up(reach - j, LANES) : KEYS;
            const operand a = {x + (b->t + r) * l->width, l->width, 1, l->D, 0, 1};
            tile_product(to + r * b->wide + j - b->low, b->wide, a, panels + j * l->D, KEYS, rows, columns, 0);
        }
}

/* out (rows,width) = x (rows,wide) times keys or values (keys,width), up to the diagonal. */
static void block_weighted(float *out, const lane *l, const block *b, const float *x, const float *values)
{
    for (size_t r = 0, rows; r < b->rows; r += rows) {
        rows = next_rows(b->rows - r);
        const operand a = {x + r * b->wide, b->wide, 1, b->own + r + rows - b->low, 0, 1};
        tile_product(out + r * l->width, l->width, a, values + b->low * l->width, l->width, rows, l->width, 0);
    }
}

/* out (T,width) += x (rows,wide) transposed, times the block's rows of y (T,width); for the lane's new keys. */
static void block_transposed(float *out, const lane *l, const block *b, const float *x, const float *y)
{
    const size_t end = b->own + b->rows;
    for (size_t j = b->low > l->past ? b->low : l->past, rows; j < end; j += rows) {
        const size_t skip = j > b->own ? j - b->own : 0;
        const operand a = {x + skip * b->wide + j - b->low, 1, b->wide, b->rows - skip, 0, 1};
        rows = next_rows(end - j);
        tile_product(out + (j - l->past) * l->width, l->width, a, y + (b->t + skip) * l->width, l->width, rows,
                     l->width, 1);
    }
}
