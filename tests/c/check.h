/* check.h: the few lines a C test needs. A test fails by printing where and what, and main returns the count. */
#ifndef FLM_CHECK_H
#define FLM_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)
#define CLOSE(a, b, tolerance) CHECK(fabs((double)(a) - (double)(b)) <= (tolerance))

/* Exactly count elements and nothing after them, so that AddressSanitizer sees one too many. */
static void *exactly(size_t count, size_t element)
{
    void *at = calloc(count, element);
    if (!at) abort();
    return at;
}

/* Numbers in [-3, 3), the same in every run. */
static float *random_floats(size_t n, unsigned seed)
{
    float *x = exactly(n, sizeof *x);
    uint32_t z = seed * 2654435761u + 1u;
    for (size_t i = 0; i < n; i++) {
        z = z * 1664525u + 1013904223u;
        x[i] = (float)(z >> 8) * (6.0f / 16777216.0f) - 3.0f;
    }
    return x;
}

static int finish(const char *name)
{
    printf("%s: %s\n", name, failures ? "FAILED" : "ok");
    return failures != 0;
}

#endif
