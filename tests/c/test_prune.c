/* test_prune.c: what n-grams are worth in two small tries, by hand, and the backoffs without them. */
#include "ngram.h"

#include "check.h"

/* Words a, b, c of 1/2, 1/4, 1/4; after a: b with 3/4, which leaves (1 - 3/4) / (1 - 1/4) = 1/3 of their own to a and c.
 * After b: all three as by themselves. */
int main(void)
{
    const float half = logf(0.5f), quarter = logf(0.25f);
    const int32_t words[] = {0, 1, 2, 1, 0, 1, 2}, links[] = {-1, -1, -1, 1, 0, 1, 2}, children[] = {3, 4, 7, 7};
    const float logs[] = {half, quarter, quarter, logf(0.75f), half, quarter, quarter};
    int32_t *word = exactly(7, sizeof *word), *link = exactly(7, sizeof *link), *child = exactly(4, sizeof *child);
    float *logp = exactly(7, sizeof *logp), *backoff = exactly(3, sizeof *backoff), *loss = exactly(7, sizeof *loss);
    float *most = exactly(3, sizeof *most);
    double *frequency = exactly(3, sizeof *frequency);
    memcpy(word, words, sizeof words), memcpy(link, links, sizeof links), memcpy(child, children, sizeof children);
    memcpy(logp, logs, sizeof logs);
    const flm_trie t = {word, link, child, logp, backoff, 7, 3, 3, 2};
    float *any = random_floats(1, 1);
    backoff[1] = *any; /* whatever it is, all words have followed b */
    flm_ngram_rebalance(backoff, &t, NULL, 0, 3);
    CLOSE(backoff[0], log(1.0 / 3), 1e-6);
    CHECK(backoff[1] == 0 && backoff[2] == 0);
    frequency[0] = 0.5, frequency[1] = 0.25, frequency[2] = 0.25;
    flm_ngram_losses(loss, &t, NULL, frequency, 0, 3);
    /* Without b after a: 1/2, 1/4, 1/4 in place of 1/6, 3/4, 1/12. */
    CLOSE(loss[3], 0.5 * (0.75 * log(3) + log(1.0 / 3) / 6 + log(1.0 / 3) / 12), 1e-6);
    for (size_t c = 4; c < 7; c++) CLOSE(loss[c], 0, 1e-6); /* they say what the single words say */
    float *again = exactly(7, sizeof *again);
    flm_ngram_rebalance(backoff, &t, link, 0, 3); /* the suffixes are known, and need not be searched for */
    CLOSE(backoff[0], log(1.0 / 3), 1e-6);
    flm_ngram_losses(again, &t, link, frequency, 0, 3);
    for (size_t c = 3; c < 7; c++) CLOSE(again[c], loss[c], 1e-7);
    flm_ngram_most(most, loss, child, 3);
    CHECK(most[0] == loss[3] && most[2] == -1);
    const int32_t chain[] = {3, 4, 4, 4, 5}; /* n-gram 3 has the child 4 */
    float *raised = exactly(5, sizeof *raised);
    raised[3] = 1, raised[4] = 2;
    flm_trie_raise(raised, chain, 3, 4);
    CHECK(raised[3] == 2 && raised[4] == 2 && raised[0] == 0);
    free(word), free(link), free(child), free(logp), free(backoff), free(loss), free(most), free(frequency);
    free(raised), free(any), free(again);
    return finish("prune");
}
