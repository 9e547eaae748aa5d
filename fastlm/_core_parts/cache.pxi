# Part of _core.pyx: the cache of what a text has just said.

CACHE_ORDERS = FLM_CACHE_ORDERS     # contexts of fewer tokens than these
CACHE_SIZES = FLM_CACHE_SIZES       # sizes of S, as weights are chosen by
CACHE_SHIFT = FLM_CACHE_SHIFT       # what the binary exponent of S gains to be its size


cdef class Cache:
    """Counts of the tokens that followed the contexts of `lowest` to `orders` - 1 tokens before, within a window of
    last tokens. decay (window,) float64: the weight of an age of 0, 1, ... tokens. Read only: any number of threads
    may use it.

    ids (n,) int32 is a text from its beginning or from a window before `first` on; starts (n,) uint8 or None: 1 where
    a document begins.
    """

    cdef flm_cache cache
    cdef object _tables
    cdef readonly size_t vocab_size

    def __cinit__(self, size_t vocab_size, const double[::1] decay not None, size_t lowest, size_t orders):
        cdef size_t window = <size_t> decay.shape[0], k
        cdef double[::1] running = numpy.empty(window + 1)
        if not 1 <= window < 2**31:
            raise ValueError(f"decay has {window} elements, expected 1 to 2^31 - 1")
        if not lowest < orders <= FLM_CACHE_ORDERS:
            raise ValueError(f"orders = {orders}, expected {lowest + 1} to {FLM_CACHE_ORDERS}")
        with nogil:
            k = flm_cache_running(&running[0], &decay[0], window)
        if k < window:
            raise ValueError(f"decay[{k}] = {decay[k]:g}, expected 0 to 1")
        self._tables, self.vocab_size = (decay, running), vocab_size
        self.cache = flm_cache(decay=&decay[0], running=&running[0], window=window, lowest=lowest, orders=orders)

    def counts(self, double[:, ::1] total not None, double[:, ::1] count not None, const int32_t[::1] ids not None,
               const uint8_t[::1] starts, const int32_t[::1] target not None, size_t first):
        """Set total, count (n - first, orders), see flm_cache_counts; target (n - first,): what follows ids[first:]."""
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
        """Set word, mass (n - first, min(window, V)) and left (n - first,), see flm_cache_rows; weight (orders, 16)."""
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
        """Check the tokens and return how many there are from `first` on."""
        check_ids(ids, self.vocab_size)
        if starts is not None:
            extent("starts", starts.shape[0], ids.shape[0])
        if first > <size_t> ids.shape[0]:
            raise ValueError(f"first = {first} is beyond the {ids.shape[0]} tokens")
        return ids.shape[0] - <Py_ssize_t> first
