/* test_factor.c: n-grams over factors of a random text, in arrays with nothing after them: counted, found and checked.
 */
#include "ngram.h"

#include "check.h"

static void every_context_is_found(size_t n, size_t V)
{
    const int32_t factor[] = {1, 0, 3, -1}, letter[] = {0, 1, 2, 0, 1, 3, 4};
    const flm_factors f = {factor, letter, 4, 3};
    float *draws = random_floats(n, (unsigned)n);
    int32_t *id = exactly(n, sizeof *id), *position = exactly(n, sizeof *position);
    uint8_t *starts = exactly(n, 1);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        id[i] = (int32_t)((draws[i] + 3) / 6 * (float)V);
        starts[i] = i == 0 || i == n / 2;
        if (!starts[i]) position[m++] = (int32_t)i;
    }
    uint64_t *key = exactly(n, sizeof *key), *sorted = exactly(m, sizeof *sorted), *spare = exactly(m, sizeof *spare);
    int32_t *item = exactly(m, sizeof *item), *spare_item = exactly(m, sizeof *spare_item);
    int32_t *last = exactly(f.reach, sizeof *last);
    int64_t *spelt = exactly(FLM_SPELT, sizeof *spelt), *context = exactly(m, sizeof *context);
    size_t *begin = exactly(V + 1, sizeof *begin), contexts = 0;
    int32_t *out[6];
    for (size_t i = 0; i < 6; i++) out[i] = exactly(m, sizeof **out);
    flm_factor_keys(key, last, spelt, &f, id, starts, 4, n);
    flm_factor_sort(item, sorted, spare_item, spare, begin, key, position, id, m, V);
    for (size_t r = 1; r < m; r++)
        CHECK(sorted[r] > sorted[r - 1] ||
              (sorted[r] == sorted[r - 1] && id[position[item[r]]] >= id[position[item[r - 1]]]));
    const size_t grams = flm_factor_number(out[0], out[1], out[2], out[3], out[4], context, out[5], NULL, &contexts,
                                           NULL, item, sorted, position, id, m);
    size_t occurrences = 0;
    for (size_t g = 0; g < grams; g++) {
        occurrences += (size_t)out[1][g];
        CHECK(context[out[3][g]] == (int64_t)key[out[2][g]] && id[out[2][g]] == out[0][g]);
    }
    CHECK(occurrences == m);
    const size_t slots = flm_factor_slots(contexts);
    int32_t *slot = exactly(slots, sizeof *slot), *node = exactly(n, sizeof *node);
    flm_factor_index(slot, slots, context, contexts);
    const flm_factors one = {factor, letter, 1, 3}; /* keys of one factor, looked up as such */
    flm_factor_keys(key, last, spelt, &one, id, starts, 1, n);
    for (size_t i = 0; i < m; i++) context[i] = 0;
    contexts = 1;
    context[0] = (int64_t)key[n - 1];
    flm_factor_index(slot, slots, context, contexts);
    const size_t size[] = {1};
    for (size_t i = 0; i < f.reach; i++) last[i] = -1;
    memset(spelt, 0, FLM_SPELT * sizeof *spelt);
    flm_factor_read(node, last, spelt, &one, slot, slots, context, id + n - 2, NULL, size, 1);
    CHECK(node[0] == 0 && last[0] == id[n - 2]);
    free(draws), free(id), free(position), free(starts), free(key), free(sorted), free(spare), free(item);
    free(spare_item), free(last), free(spelt), free(context), free(begin), free(slot), free(node);
    for (size_t i = 0; i < 6; i++) free(out[i]);
}

static void slots(void)
{
    CHECK(flm_factor_slots(0) == 2 && flm_factor_slots(1) == 2 && flm_factor_slots(2) == 4);
    CHECK(flm_factor_slots(3) == 8 && flm_factor_slots(4) == 8 && flm_factor_slots(5) == 16);
}

int main(void)
{
    slots();
    every_context_is_found(300, 7);
    every_context_is_found(41, 5);
    every_context_is_found(4, 2);
    return finish("factor");
}
