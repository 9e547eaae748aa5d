/* sample.c: drawing the next token. One row at a time, so that plain double arithmetic is fast enough. */
#include "fastlm.h"

#include <math.h>

/* Whether id a comes before id b: the larger x, ties to the lower id. */
static int before(const float *x, int32_t a, int32_t b)
{
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

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

/* A heap of the k best so far, its worst on top, then sorted in place: V log k at most, V for the usual row. */
void flm_top_k(int32_t *order, const float *x, size_t k, size_t V)
{
    if (k > V) k = V;
    if (k == 0) return;
    for (size_t i = 0; i < k; i++) order[i] = (int32_t)i;
    for (size_t root = k / 2; root-- > 0;) sift(order, x, root, k);
    for (size_t i = k; i < V; i++)
        if (before(x, (int32_t)i, order[0])) {
            order[0] = (int32_t)i;
            sift(order, x, 0, k);
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
static size_t walk(const double *p, const int32_t *order, double u, double mass, size_t n)
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

int32_t flm_sample(double *p, int32_t *order, const float *x, double temperature, size_t top_k, double top_p, double u,
                   size_t V)
{
    size_t best = 0;
    for (size_t v = 0; v < V; v++) {
        if (isnan(x[v])) return -1;
        if (x[v] > x[best]) best = v;
    }
    if (x[best] == -INFINITY) return -1;
    if (temperature <= 0.0) return (int32_t)best;

    double mass = 0.0;
    for (size_t v = 0; v < V; v++) {
        p[v] = exp(((double)x[v] - (double)x[best]) / temperature);
        mass += p[v];
    }
    if (!(mass >= 1.0)) return -1;
    size_t kept = top_k == 0 || top_k > V ? V : top_k;
    if (kept == V && top_p >= 1.0) return (int32_t)walk(p, NULL, u, mass, V);
    if (top_p >= 1.0) {
        flm_top_k(order, x, kept, V);
        mass = 0.0;
        for (size_t i = 0; i < kept; i++) mass += p[order[i]];
        return order[walk(p, order, u, mass, kept)];
    }
    if (kept < V) {
        flm_top_k(order, x, kept, V);
        mass = 0.0;
        for (size_t i = 0; i < kept; i++) mass += p[order[i]];
    }
    /* The set is mostly small: sort a few, and more only where they do not reach top_p. */
    for (size_t sorted = kept < V ? kept : 64;; sorted *= 4) {
        if (sorted > kept) sorted = kept;
        if (kept == V) flm_top_k(order, x, sorted, V);
        double sum = 0.0;
        for (size_t i = 0; i < sorted; i++) {
            sum += p[order[i]];
            if (sum >= top_p * mass || i + 1 == kept) return order[walk(p, order, u, sum, i + 1)];
        }
    }
}

size_t flm_first_bad_id(const int32_t *id, size_t N, size_t V)
{
    size_t n = 0;
    while (n < N && id[n] >= 0 && (size_t)id[n] < V) n++;
    return n;
}
