/* test_sample.c: drawing and ranking over arrays with nothing after them. */
#include "fastlm.h"

#include "check.h"

static int32_t draw(const float *values, size_t V, double temperature, size_t top_k, double top_p, double u)
{
    float *x = exactly(V, sizeof *x);
    double *p = exactly(V, sizeof *p);
    int32_t *order = exactly(V, sizeof *order);
    memcpy(x, values, V * sizeof *x);
    const int32_t id = flm_sample(p, order, x, temperature, top_k, top_p, u, V);
    free(x);
    free(p);
    free(order);
    return id;
}

int main(void)
{
    const float halves[3] = {logf(0.25f), logf(0.5f), logf(0.25f)};
    CHECK(draw(halves, 3, 1.0, 0, 1.0, 0.2) == 0);
    CHECK(draw(halves, 3, 1.0, 0, 1.0, 0.3) == 1);
    CHECK(draw(halves, 3, 1.0, 0, 1.0, 0.99) == 2);
    CHECK(draw(halves, 3, 1.0, 2, 1.0, 0.99) == 0);
    CHECK(draw(halves, 3, 1.0, 9, 0.4, 0.99) == 1);
    CHECK(draw(halves, 3, 0.0, 0, 1.0, 0.99) == 1);
    CHECK(draw(halves, 1, 1.0, 1, 0.5, 0.5) == 0);
    const float none[2] = {-INFINITY, -INFINITY}, wrong[2] = {0.0f, NAN};
    CHECK(draw(none, 2, 1.0, 0, 1.0, 0.5) == -1);
    CHECK(draw(wrong, 2, 0.0, 0, 1.0, 0.5) == -1);

    for (size_t V = 1; V < 400; V += 57) {
        float *x = random_floats(V, (unsigned)V);
        int32_t *order = exactly(V, sizeof *order);
        for (size_t k = 0; k <= V; k += 1 + V / 5) {
            flm_top_k(order, x, k, V);
            size_t above = 0;
            for (size_t i = 1; i < k; i++) CHECK(x[order[i - 1]] >= x[order[i]]);
            for (size_t v = 0; k && v < V; v++) above += x[v] > x[order[k - 1]];
            CHECK(above < k || k == 0);
        }
        for (int i = 0; i < 20; i++) {
            const int32_t id = draw(x, V, 1.0, 0, 0.05 * i + 0.01, 0.05 * i);
            CHECK(id >= 0 && (size_t)id < V);
        }
        free(x);
        free(order);
    }
    return finish("sample");
}
