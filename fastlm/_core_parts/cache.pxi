# Part of _core.pyx: the cache of what a text has just said.


cdef class Cache:
    """What followed earlier, in the last `window` tokens, the contexts of `lowest` to `orders` - 1 tokens that stand
    before the next one; an age of k tokens weighs exp(-k / memory). Read only: any number of threads may ask it.

    ids (n,) int32 is a text from its beginning or from a window before `first` on; starts (n,) uint8 or None: 1 where
    a document begins.
    """

    cdef flm_cache cache
    cdef object _tables
    cdef readonly size_t vocab_size

    def __init__(self, size_t vocab_size, size_t window, double memory, size_t lowest, size_t orders):
        if not 1 <= window < 2**31 or not memory > 0 or not lowest < orders <= FLM_CACHE_ORDERS:
            raise ValueError(f"a cache of {window} tokens, memory {memory} and contexts of {lowest} to less than "
                             f"{orders} tokens was asked for; at least 1 token, a memory above 0 and contexts of less "
                             f"than {FLM_CACHE_ORDERS} were expected")
        cdef double[::1] decay = numpy.exp(numpy.arange(window) / -memory)
        cdef double[::1] running = numpy.append(0.0, numpy.cumsum(decay))
        self._tables, self.vocab_size = (decay, running), vocab_size
        self.cache = flm_cache(decay=&decay[0], running=&running[0], window=window, lowest=lowest, orders=orders)

    def counts(self, double[:, ::1] total not None, double[:, ::1] count not None, const int32_t[::1] ids not None,
               const uint8_t[::1] starts, const int32_t[::1] target not None, size_t first):
        """total, count (n - first, orders): see flm_cache_counts. target (n - first,): what follows ids[first:]."""
        cdef size_t n = <size_t> ids.shape[0]
        N = self._tokens(ids, starts, first)
        targets(target, N, <Py_ssize_t> self.vocab_size)
        shape("total", total.shape[0], total.shape[1], N, <Py_ssize_t> self.cache.orders)
        shape("count", count.shape[0], count.shape[1], N, <Py_ssize_t> self.cache.orders)
        if N == 0:
            return
        cdef int32_t[::1] link = numpy.empty(n, numpy.int32), last = numpy.empty(self.vocab_size, numpy.int32)
        cdef const uint8_t *begins = flags(starts)
        with nogil:
            flm_cache_counts(&total[0, 0], &count[0, 0], &self.cache, &ids[0], begins, &target[0], &link[0], &last[0],
                             first, n)

    def rows(self, int32_t[:, ::1] word not None, float[:, ::1] mass not None, float[::1] left not None,
             const double[:, ::1] weight not None, const int32_t[::1] ids not None, const uint8_t[::1] starts,
             size_t first):
        """word, mass (n - first, min(window, V)), left (n - first,): see flm_cache_rows. weight (orders, 16)."""
        cdef size_t n = <size_t> ids.shape[0], V = self.vocab_size, width = min(self.cache.window, V)
        N = self._tokens(ids, starts, first)
        shape("word", word.shape[0], word.shape[1], N, <Py_ssize_t> width)
        shape("mass", mass.shape[0], mass.shape[1], N, <Py_ssize_t> width)
        shape("weight", weight.shape[0], weight.shape[1], <Py_ssize_t> self.cache.orders, FLM_CACHE_SIZES)
        extent("left", left.shape[0], N)
        if N == 0:
            return
        cdef int32_t[::1] link = numpy.empty(n, numpy.int32), last = numpy.empty(V, numpy.int32)
        cdef int32_t[::1] slot = numpy.empty(V, numpy.int32)
        cdef double[::1] scratch = numpy.empty(width)
        cdef const uint8_t *begins = flags(starts)
        with nogil:
            flm_cache_rows(&word[0, 0], &mass[0, 0], &left[0], width, &self.cache, &weight[0, 0], &ids[0], begins,
                           &link[0], &last[0], &slot[0], &scratch[0], first, n)

    cdef Py_ssize_t _tokens(self, const int32_t[::1] ids, const uint8_t[::1] starts, size_t first) except -1:
        """How many there are from `first` on."""
        check_ids(ids, self.vocab_size)
        if starts is not None:
            extent("starts", starts.shape[0], ids.shape[0])
        if first > <size_t> ids.shape[0]:
            raise ValueError(f"first = {first} is beyond the {ids.shape[0]} tokens")
        return ids.shape[0] - <Py_ssize_t> first
