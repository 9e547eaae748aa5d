/* checks.c: ids, rows and sizes looked at before a kernel trusts them. Included by kernels.h.
 *
 * A block is looked at whole, without a branch in it, and again one by one where something in it is wrong. */
#define CHECKED 512

static size_t first_bad_id(const int32_t *id, int32_t lowest, size_t N, size_t V)
{
    const uint32_t many = V > INT32_MAX ? INT32_MAX + 1u : (uint32_t)V, least = (uint32_t)lowest, span = many - least;
    for (size_t from = 0; from < N; from += CHECKED) {
        const size_t end = N - from < CHECKED ? N : from + CHECKED;
        uint32_t bad = 0;
        for (size_t n = from; n < end; n++) bad |= (uint32_t)id[n] - least >= span;
        if (!bad) continue;
        for (size_t n = from; n < end; n++)
            if ((uint32_t)id[n] - least >= span) return n;
    }
    return N;
}

static size_t first_bad_row(const int64_t *row, int64_t lowest, size_t N, size_t R)
{
    const uint64_t least = (uint64_t)lowest, span = (uint64_t)R - least;
    for (size_t from = 0; from < N; from += CHECKED) {
        const size_t end = N - from < CHECKED ? N : from + CHECKED;
        uint64_t bad = 0;
        for (size_t n = from; n < end; n++) bad |= (uint64_t)row[n] - least >= span;
        if (!bad) continue;
        for (size_t n = from; n < end; n++)
            if ((uint64_t)row[n] - least >= span) return n;
    }
    return N;
}

static size_t first_bad_size(size_t *rows, const size_t *size, size_t T, size_t S)
{
    *rows = 0;
    if (T && size[0] > S) return 0;
    for (size_t from = 0; from < T; from += CHECKED) {
        const size_t end = T - from < CHECKED ? T : from + CHECKED;
        size_t bad = 0, sum = from ? 0 : size[0];
        for (size_t t = from ? from : 1; t < end; t++) {
            bad |= size[t] > size[t - 1];
            sum += size[t];
        }
        *rows += sum;
        if (!bad) continue;
        for (size_t t = from ? from : 1; t < end; t++)
            if (size[t] > size[t - 1]) return t;
    }
    return T;
}
#undef CHECKED
