/* test_cache.c: the cache of a random text, in arrays with nothing after them: its rows hold what its counts say. */
#include "cache.h"

#include "check.h"

static void rows_are_counts(size_t n, size_t first, size_t V, size_t window, size_t lowest, size_t orders)
{
    float *draws = random_floats(n, (unsigned)(n + V));
    int32_t *id = exactly(n, sizeof *id), *target = exactly(n - first, sizeof *target);
    uint8_t *starts = exactly(n, 1);
    for (size_t i = 0; i < n; i++) {
        id[i] = (int32_t)((draws[i] + 3) / 6 * (float)V);
        starts[i] = i == n / 3;
    }
    for (size_t i = first; i < n; i++) target[i - first] = i + 1 < n ? id[i + 1] : -1;
    double *decay = exactly(window, sizeof *decay), *running = exactly(window + 1, sizeof *running);
    for (size_t i = 0; i < window; i++) decay[i] = 1 / (double)(i + 1);
    CHECK(flm_cache_running(running, decay, window) == window);
    const flm_cache c = {decay, running, window, lowest, orders};
    const size_t rows = n - first, width = window < V ? window : V;
    double *total = exactly(rows * orders, sizeof *total), *count = exactly(rows * orders, sizeof *count);
    double *weight = exactly(orders * FLM_CACHE_SIZES, sizeof *weight), *scratch = exactly(width, sizeof *scratch);
    int32_t *link = exactly(n, sizeof *link), *last = exactly(V, sizeof *last), *slot = exactly(V, sizeof *slot);
    int32_t *word = exactly(rows * width, sizeof *word);
    float *mass = exactly(rows * width, sizeof *mass), *left = exactly(rows, sizeof *left);
    for (size_t i = 0; i < orders * FLM_CACHE_SIZES; i++) weight[i] = 0.5;
    flm_cache_counts(total, count, &c, id, starts, target, link, last, first, n);
    flm_cache_rows(word, mass, left, width, &c, weight, id, starts, link, last, slot, scratch, first, n);
    for (size_t r = 0; r < rows; r++) {
        double said = 0, rest = 1, row = 0, sum = left[r];
        for (size_t m = lowest; m < orders; m++)
            if (total[r * orders + m] > 0) {
                said = 0.5 * said + 0.5 * count[r * orders + m] / total[r * orders + m];
                rest *= 0.5;
            }
        for (size_t k = 0; k < width; k++) {
            sum += (double)mass[r * width + k];
            if (target[r] >= 0 && word[r * width + k] == target[r]) row += (double)mass[r * width + k];
        }
        CLOSE(rest, left[r], 1e-6);
        CLOSE(said, row, 1e-6);
        CLOSE(sum, 1, 1e-5);
    }
    free(draws), free(id), free(target), free(starts), free(decay), free(running), free(total), free(count);
    free(weight), free(scratch), free(link), free(last), free(slot), free(word), free(mass), free(left);
}

static void running_sums(void)
{
    double *running = exactly(4, sizeof *running), *decay = exactly(3, sizeof *decay);
    memcpy(decay, (double[3]){1, 0.5, 0}, 3 * sizeof *decay);
    CHECK(flm_cache_running(running, decay, 3) == 3);
    CHECK(running[0] == 0 && running[1] == 1 && running[2] == 1.5 && running[3] == 1.5);
    decay[1] = 1.0000001;
    CHECK(flm_cache_running(running, decay, 3) == 1);
    decay[1] = 1, decay[2] = -1e-9;
    CHECK(flm_cache_running(running, decay, 3) == 2);
    decay[0] = (double)NAN;
    CHECK(flm_cache_running(running, decay, 3) == 0);
    CHECK(flm_cache_running(running, decay, 0) == 0 && running[0] == 0);
    free(running), free(decay);
}

int main(void)
{
    running_sums();
    rows_are_counts(200, 0, 7, 31, 0, 4);
    rows_are_counts(200, 50, 40, 9, 1, 3);
    rows_are_counts(60, 13, 3, 100, 2, 9);
    rows_are_counts(1, 0, 1, 1, 0, 1);
    return finish("cache");
}
