/* cache.c: what a text has just said as a model of what it says next. Declared in cache.h. Occurrences of a token are
 * chained from the newest to the oldest, so that a token costs what the window holds of it and no more. */
#include "cache.h"

#include <math.h>

size_t flm_cache_running(double *running, const double *decay, size_t window)
{
    running[0] = 0;
    for (size_t k = 0; k < window; k++) {
        if (!(decay[k] >= 0 && decay[k] <= 1)) return k;
        running[k + 1] = running[k] + decay[k];
    }
    return window;
}

/* Chains position t; returns where its document begins. */
static inline size_t enter(const int32_t *id, const uint8_t *starts, int32_t *link, int32_t *last, size_t t,
                           size_t origin)
{
    link[t] = last[id[t]];
    last[id[t]] = (int32_t)t;
    return starts && starts[t] ? t : origin;
}

/* How many tokens up to i, of those from `from` on, are those up to t, of `most` at most; the last of them is. */
static inline size_t agreeing(const int32_t *id, int32_t from, size_t i, size_t t, size_t most)
{
    size_t m = 1;
    while (m < most && i >= (size_t)from + m && id[i - m] == id[t - m]) m++;
    return m;
}

/* The first position of the window of t, whose document begins at origin. */
static inline int32_t oldest(const flm_cache *c, size_t origin, size_t t)
{
    return (int32_t)(t - origin < c->window ? origin : t + 1 - c->window);
}

/* The decayed sum of everything in the window. */
static inline double whole(const flm_cache *c, int32_t from, size_t t) { return c->running[t - (size_t)from + 1]; }

/* From sums over contexts of exactly m tokens in common to those over m or more; none below the lowest order. */
static void gather_up(double *sum, const flm_cache *c)
{
    for (size_t m = c->orders - 1; m > 1; m--) sum[m - 1] += sum[m];
    for (size_t m = 0; m < c->lowest; m++) sum[m] = 0;
}

void flm_cache_counts(double *total, double *count, const flm_cache *c, const int32_t *id, const uint8_t *starts,
                      const int32_t *target, int32_t *link, int32_t *last, size_t first, size_t n)
{
    const size_t orders = c->orders;
    size_t origin = 0;
    for (size_t t = 0; t < n; t++) {
        last[id[t]] = -1;
        if (t >= first && target[t - first] >= 0) last[target[t - first]] = -1;
    }
    for (size_t t = 0; t < n; t++) {
        origin = enter(id, starts, link, last, t, origin);
        if (t < first) continue;
        const int32_t from = oldest(c, origin, t);
        double *const s = total + (t - first) * orders, *const a = count + (t - first) * orders;
        const int32_t y = target[t - first];
        for (size_t m = 0; m < orders; m++) s[m] = a[m] = 0;
        s[0] = whole(c, from, t);
        if (y >= 0 && c->lowest == 0)
            for (int32_t j = last[y]; j >= from; j = link[j]) a[0] += c->decay[t - (size_t)j];
        if (orders > 1)
            for (int32_t i = link[t]; i >= from; i = link[i]) {
                const size_t m = agreeing(id, from, (size_t)i, t, orders - 1), age = t - (size_t)i - 1;
                s[m] += c->decay[age];
                if (id[i + 1] == y) a[m] += c->decay[age];
            }
        gather_up(s, c);
        gather_up(a, c);
    }
}

/* What a token's mass gains from a context of m tokens in common, for every m; returns what is left to the model. */
static double shares(double *share, const double *s, const flm_cache *c, const double *weight)
{
    double left = 1;
    for (size_t m = c->orders; m-- > 0;) {
        int exponent;
        share[m] = 0;
        if (!(s[m] > 0)) continue;
        frexp(s[m], &exponent);
        exponent += FLM_CACHE_SHIFT;
        const int size = exponent < FLM_CACHE_SIZES ? exponent : FLM_CACHE_SIZES - 1;
        const double w = weight[m * FLM_CACHE_SIZES + (size_t)(size < 0 ? 0 : size)];
        share[m] = left * w / s[m];
        left *= 1 - w;
    }
    for (size_t m = 2; m < c->orders; m++) share[m] += share[m - 1];
    return left;
}

/* A row being made: its words in the order met, and where each of them is. */
typedef struct row {
    int32_t *word, *slot;
    double *mass;
    size_t used;
} row;

static inline void add(row *r, int32_t v, double mass)
{
    if (r->slot[v] < 0) {
        r->slot[v] = (int32_t)r->used;
        r->mass[r->used] = 0;
        r->word[r->used++] = v;
    }
    r->mass[r->slot[v]] += mass;
}

void flm_cache_rows(int32_t *word, float *mass, float *left, size_t width, const flm_cache *c, const double *weight,
                    const int32_t *id, const uint8_t *starts, int32_t *link, int32_t *last, int32_t *slot,
                    double *scratch, size_t first, size_t n)
{
    double s[FLM_CACHE_ORDERS], share[FLM_CACHE_ORDERS];
    const size_t most = c->orders - 1;
    size_t origin = 0;
    for (size_t t = 0; t < n; t++) last[id[t]] = slot[id[t]] = -1;
    for (size_t t = 0; t < n; t++) {
        origin = enter(id, starts, link, last, t, origin);
        if (t < first) continue;
        const int32_t from = oldest(c, origin, t);
        for (size_t m = 0; m < c->orders; m++) s[m] = 0;
        s[0] = whole(c, from, t);
        if (most)
            for (int32_t i = link[t]; i >= from; i = link[i])
                s[agreeing(id, from, (size_t)i, t, most)] += c->decay[t - (size_t)i - 1];
        gather_up(s, c);
        left[t - first] = (float)shares(share, s, c, weight);
        row r = {word + (t - first) * width, slot, scratch, 0};
        if (share[0] > 0)
            for (size_t j = t + 1; j-- > (size_t)from;) add(&r, id[j], share[0] * c->decay[t - j]);
        if (most)
            for (int32_t i = link[t]; i >= from; i = link[i])
                add(&r, id[i + 1], share[agreeing(id, from, (size_t)i, t, most)] * c->decay[t - (size_t)i - 1]);
        for (size_t k = 0; k < width; k++) {
            const int met = k < r.used;
            if (met) slot[r.word[k]] = -1;
            else r.word[k] = -1;
            mass[(t - first) * width + k] = met ? (float)scratch[k] : 0;
        }
    }
}
