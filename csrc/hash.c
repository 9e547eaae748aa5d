/* hash.c: n-grams as rows of a table of fixed size. Included by kernels.h. */

static void hashed_rows(int64_t *row, const int64_t *last, const int64_t *order, size_t N, size_t L, size_t K,
                        size_t buckets)
{
    for (size_t n = 0; n < N; n++, last += L, row += K) {
        uint64_t hash = 0;
        size_t k = 0;
        for (size_t l = 0; l < L && last[l] >= 0 && k < K; l++) {
            hash = spread(hash + ((uint64_t)last[l] + 1) * 0x9e3779b97f4a7c15u);
            if (order[k] == (int64_t)l + 1) {
                row[k] = (int64_t)(k * buckets + hash % buckets);
                k++;
            }
        }
        for (; k < K; k++) row[k] = -1;
    }
}
