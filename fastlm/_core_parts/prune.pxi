# Part of _core.pyx: pruning of n-grams in plain arrays, which are those of unpacked tables or of a builder.


cdef int contexts_within(size_t first, size_t last, Py_ssize_t contexts) except -1:
    if not first <= last <= <size_t> contexts:
        raise ValueError(f"contexts {first} to {last} are outside the {contexts} contexts")
    return 0


cdef const int32_t *suffixes(const int32_t[::1] suffix, Py_ssize_t nodes) except? NULL:
    """Return the address of the suffixes of all n-grams; NULL for None."""
    if suffix is None:
        return NULL
    extent("suffix", suffix.shape[0], nodes)
    return &suffix[0]


def ngram_losses(float[::1] loss not None, const int32_t[::1] word not None, const int32_t[::1] link not None,
                 const int32_t[::1] child not None, const float[::1] logp not None, const float[::1] backoff not None,
                 const int32_t[::1] suffix, const double[::1] frequency not None, size_t vocab_size, size_t first,
                 size_t last):
    """Set loss (n-grams,) of the children of the contexts [first, last): nats a token that are lost without each.

    word, link, child, logp, backoff: see flm_trie; suffix (n-grams,): the longest n-gram that ends each, which saves a
    search, or None; frequency (contexts,): how often each context occurs for each token
    of text.
    """
    extent("loss", loss.shape[0], word.shape[0])
    extent("logp", logp.shape[0], word.shape[0])
    extent("child", child.shape[0], backoff.shape[0] + 1)
    extent("frequency", frequency.shape[0], backoff.shape[0])
    contexts_within(first, last, backoff.shape[0])
    cdef flm_trie t = trie_of(word, link, child, logp, backoff, vocab_size, 0)
    cdef const int32_t *ends = suffixes(suffix, word.shape[0])
    if first < last:
        with nogil:
            flm_ngram_losses(&loss[0], &t, ends, &frequency[0], first, last)


def largest_loss(const float[::1] loss not None, const int32_t[::1] child not None):
    """Return the largest loss among the children of each context (contexts,) float32, -1 where there are none."""
    cdef size_t contexts = <size_t> child.shape[0] - 1
    cdef float[::1] most = numpy.empty(contexts, numpy.float32)
    with nogil:
        flm_ngram_most(&most[0], &loss[0], &child[0], contexts)
    return most.base


def raise_losses(float[::1] loss not None, const int32_t[::1] child not None, size_t vocab_size):
    """Raise the loss of n-grams of a trie to that of their children, which they cannot be removed without."""
    with nogil:
        flm_trie_raise(&loss[0], &child[0], vocab_size, <size_t> child.shape[0] - 1)


def rebalance_ngrams(float[::1] backoff not None, const int32_t[::1] word not None, const int32_t[::1] link not None,
                     const int32_t[::1] child not None, const float[::1] logp not None, const int32_t[::1] suffix,
                     size_t vocab_size, size_t first, size_t last):
    """Set the backoffs of the contexts [first, last), all of one level, so that probabilities sum to one.

    suffix: as in `ngram_losses`.
    """
    extent("logp", logp.shape[0], word.shape[0])
    extent("child", child.shape[0], backoff.shape[0] + 1)
    contexts_within(first, last, backoff.shape[0])
    cdef flm_trie t = trie_of(word, link, child, logp, backoff, vocab_size, 0)
    cdef const int32_t *ends = suffixes(suffix, word.shape[0])
    if first < last:
        with nogil:
            flm_ngram_rebalance(&backoff[0], &t, ends, first, last)
