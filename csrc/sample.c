/* sample.c: drawing the next token. Declared in fastlm.h. One row at a time, so that plain double arithmetic is fast
 * enough. */
#include "fastlm.h"

#include <math.h>

/* Whether id a comes before id b: the larger x, ties to the lower id. */
static int before(const float *x, int32_t a, int32_t b) { return x[a] > x[b] || (x[a] == x[b] && a < b); }

/* Restores the heap order[0..n) below root; the id that comes last is on top. */
static void sift(int32_t *order, const float *x, size_t root, size_t n)
{
    const int32_t moved = order[root];
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && before(x, order[child], order[child + 1])) child++;
        if (!before(x, moved, order[child])) break;
        order[root] = order[child];
        root = child;
    }
    order[root] = moved;
}

/* Whether one of sixteen values is above a threshold, without a branch for each. */
static int any_above(const float *x, float threshold)
{
    int above = 0;
    for (size_t j = 0; j < 16; j++) above |= x[j] > threshold;
    return above;
}

/* A heap of the k best so far, its worst on top, then sorted in place: V log k at most, V for the usual row, most of
 * which is below the worst and is passed over sixteen at a time. */
void flm_top_k(int32_t *order, const float *x, size_t k, size_t V)
{
    if (k > V) k = V;
    if (k == 0) return;
    for (size_t i = 0; i < k; i++) order[i] = (int32_t)i;
    for (size_t root = k / 2; root-- > 0;) sift(order, x, root, k);
    for (size_t i = k; i < V;) {
        if (i + 16 <= V && !any_above(x + i, x[order[0]])) {
            i += 16;
            continue;
        }
        for (const size_t end = i + 16 < V ? i + 16 : V; i < end; i++)
            if (x[i] > x[order[0]]) { /* a tie goes to the lower id, which is in the heap */
                order[0] = (int32_t)i;
                sift(order, x, 0, k);
            }
    }
    for (size_t last = k - 1; last > 0; last--) {
        const int32_t worst = order[0];
        order[0] = order[last];
        order[last] = worst;
        sift(order, x, 0, last);
    }
}

/* The first i at which the running sum of p[order[i]] (p[i] where order is NULL) exceeds u * mass; rounding cannot
 * take it past the last i with p > 0. */
static size_t index_at(const double *p, const int32_t *order, double u, double mass, size_t n)
{
    double sum = 0.0;
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        const double q = order ? p[order[i]] : p[i];
        if (q <= 0.0) continue;
        last = i;
        sum += q;
        if (sum > u * mass) break;
    }
    return last;
}

/* p[v] = exp((x[v] - x[best]) / temperature), of every id or of n in `order`, and their sum. */
static double weigh(double *p, const int32_t *order, const float *x, size_t best, double temperature, size_t n)
{
    double mass = 0.0;
    for (size_t i = 0; i < n; i++) {
        const size_t v = order ? (size_t)order[i] : i;
        p[v] = exp(((double)x[v] - (double)x[best]) / temperature);
        mass += p[v];
    }
    return mass;
}

int32_t flm_sample(double *p, int32_t *order, const float *x, double temperature, size_t top_k, double top_p, double u,
                   size_t V)
{
    int nan = 0;
    for (size_t v = 0; v < V; v++) nan |= x[v] != x[v];
    if (nan) return -1;
    const size_t kept = temperature <= 0.0 ? 1 : top_k == 0 || top_k > V ? V : top_k;
    if (kept < V) flm_top_k(order, x, kept, V);
    else flm_top_k(order, x, 1, V);
    const size_t best = (size_t)order[0];
    if (x[best] == -INFINITY) return -1;
    if (temperature <= 0.0) return (int32_t)best;

    double mass = weigh(p, kept < V ? order : NULL, x, best, temperature, kept);
    if (!(mass >= 1.0)) return -1;
    if (top_p >= 1.0 && kept == V) return (int32_t)index_at(p, NULL, u, mass, V);
    if (top_p >= 1.0) return order[index_at(p, order, u, mass, kept)];
    /* The set is mostly small: sort a few, and more only where they do not reach top_p. */
    for (size_t sorted = kept < V ? kept : 64;; sorted *= 4) {
        if (sorted > kept) sorted = kept;
        if (kept == V) flm_top_k(order, x, sorted, V);
        double sum = 0.0;
        for (size_t i = 0; i < sorted; i++) {
            sum += p[order[i]];
            if (sum >= top_p * mass || i + 1 == kept) return order[index_at(p, order, u, sum, i + 1)];
        }
    }
}
