/* test_threads.c: several threads in the kernels at once, each on arrays of its own and all reading one table: for
 * ThreadSanitizer, and every thread gets the same bytes. */
#include "fastlm.h"

#include "check.h"

#include <pthread.h>

enum { THREADS = 4, ROWS = 50, WIDTH = 65 };

typedef struct work {
    const float *table;
    float *x;
    double loss[ROWS];
} work;

static void *run(void *argument)
{
    work *w = argument;
    const flm_kernels *k = flm_kernels_for(NULL);
    int64_t row[ROWS];
    int32_t target[ROWS];
    for (int n = 0; n < ROWS; n++) {
        row[n] = (n * 7) % ROWS;
        target[n] = n;
    }
    for (int round = 0; round < 20; round++) {
        k->gather(w->x, w->table, row, ROWS, WIDTH);
        k->tanh(w->x, w->x, ROWS * WIDTH);
        k->softmax_cross_entropy(w->x, w->loss, target, 1.0f, ROWS, WIDTH);
    }
    return NULL;
}

int main(void)
{
    float *table = random_floats(ROWS * WIDTH, 1);
    work works[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        works[i] = (work){.table = table, .x = exactly(ROWS * WIDTH, sizeof(float))};
        if (pthread_create(&threads[i], NULL, run, &works[i])) abort();
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK(memcmp(works[i].x, works[0].x, ROWS * WIDTH * sizeof(float)) == 0);
        CHECK(memcmp(works[i].loss, works[0].loss, sizeof works[0].loss) == 0);
    }
    for (int i = 0; i < THREADS; i++) free(works[i].x);
    free(table);
    return finish("threads");
}
