/* test_factor.c: n-grams over factors of a random text, in arrays with nothing after them: counted, found and checked.
 */
#include "ngram.h"

#include "check.h"
#include "simd/hash.h"

static void every_context_is_found(size_t n, size_t V)
{
    const int32_t factor[] = {1, 0, 3, -1}, letter[] = {0, 1, 2, 0, 1, 3, 4};
    const flm_factors f = {factor, letter, 4, 3, 2};
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
    const flm_factors one = {factor, letter, 1, 3, 2}; /* contexts of one factor, looked up as such */
    flm_factor_keys(key, last, spelt, &one, id, starts, 1, n);
    flm_factor_sort(item, sorted, spare_item, spare, begin, key, position, id, m, V);
    const size_t all = flm_factor_number(out[0], out[1], out[2], out[3], out[4], context, out[5], NULL, &contexts, NULL,
                                         item, sorted, position, id, m);
    const size_t end[2] = {0, contexts};
    const unsigned bucket_bits = flm_factor_bucket_bits(contexts);
    int32_t *bucket = exactly(((size_t)1 << bucket_bits) + 1, sizeof *bucket), *none = exactly(contexts, sizeof *none);
    uint32_t *part = exactly(contexts, sizeof *part), *zeros = exactly(contexts, sizeof *zeros);
    flm_factor_buckets(bucket, part, context, 0, bucket_bits, contexts);
    for (size_t h = 0; h < contexts; h++) none[h] = -1;
    flm_ngrams g = {
        .key_bits = FLM_FACTOR_KEY, .link_bits = 9, .context_bits = FLM_FACTOR_KEY + 9, .contexts = contexts};
    uint64_t *block = exactly(2 * ((contexts + FLM_NGRAM_BLOCK - 1) / FLM_NGRAM_BLOCK) + 2, sizeof *block);
    const size_t bits = flm_ngram_blocks(block, out[5], contexts, all, g.context_bits);
    uint8_t *records = exactly((bits + 7) / 8 + FLM_NGRAM_PAD, 1);
    flm_ngram_pack_contexts(records, block, out[5], none, zeros, part, 9, 0, FLM_FACTOR_KEY, contexts);
    g.block = block, g.context = records;
    const flm_factor_index index = {end, &bucket_bits, bucket};
    int32_t *node = exactly(n, sizeof *node);
    size_t *size = exactly(n, sizeof *size);
    for (size_t i = 0; i < n; i++) size[i] = 1;
    flm_factor_read(node, last, spelt, &one, &g, &index, id, starts, size, n);
    for (size_t i = 0; i < m; i++) {
        const size_t at = (size_t)position[i];
        CHECK(node[at - 1] >= 0 && context[node[at - 1]] == (int64_t)key[at]);
    }
    free(bucket), free(none), free(part), free(zeros), free(block), free(records), free(size);
    free(draws), free(id), free(position), free(starts), free(key), free(sorted), free(spare), free(item);
    free(spare_item), free(last), free(spelt), free(context), free(begin), free(node);
    for (size_t i = 0; i < 6; i++) free(out[i]);
}

static void buckets(void)
{
    CHECK(flm_factor_bucket_bits(0) == 0 && flm_factor_bucket_bits(15) == 0 && flm_factor_bucket_bits(16) == 1);
    CHECK(flm_factor_bucket_bits(31) == 1 && flm_factor_bucket_bits(32) == 2);
    const int64_t key[4] = {1, INT64_C(1) << 62, -(INT64_C(1) << 62), -1}; /* 0b00.., 0b01.., 0b11.., 0b11.. */
    int32_t *bucket = exactly(5, sizeof *bucket);
    uint32_t *part = exactly(4, sizeof *part);
    flm_factor_buckets(bucket, part, key, 7, 2, 4);
    CHECK(bucket[0] == 7 && bucket[1] == 8 && bucket[2] == 9 && bucket[3] == 9 && bucket[4] == 11);
    CHECK(part[0] == 0 && part[1] == 0 && part[2] == 0 && part[3] == (1u << FLM_FACTOR_KEY) - 1);
    free(bucket), free(part);
}

/* The word "a" of one letter, 1, before the word being spelt, which has none yet: in version 1 it cancels what stood
 * before, so that its key is that of other words. */
static void one_letter_cancels_nothing(void)
{
    const int32_t factor[] = {0, -1}, letter[] = {0, 1}, id[] = {1, 0, 0};
    const uint8_t starts[] = {1, 0, 0};
    uint64_t *key = exactly(3, sizeof *key), *before = exactly(3, sizeof *before);
    int32_t last[1];
    int64_t spelt[FLM_SPELT];
    for (unsigned version = 1; version <= 2; version++) {
        const flm_factors f = {factor, letter, 2, 0, version};
        flm_factor_keys(before, last, spelt, &f, id, starts, 1, 3);
        flm_factor_keys(key, last, spelt, &f, id, starts, 2, 3);
        CHECK((before[2] == mix64(GOLDEN_GAMMA)) == (version == 1));
        CHECK((key[2] == mix64(2 * GOLDEN_GAMMA)) == (version == 1));
    }
    free(key), free(before);
}

int main(void)
{
    buckets();
    one_letter_cancels_nothing();
    every_context_is_found(300, 7);
    every_context_is_found(41, 5);
    every_context_is_found(4, 2);
    return finish("factor");
}
