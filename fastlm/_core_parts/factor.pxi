# Part of _core.pyx: n-grams over factors of the context.

SPELT_WORDS = FLM_SPELT     # the word being spelt and those before it: factors 0, -1, ...


cdef class Factors:
    """The features of the context that n-grams count over, see flm_factors: factors (levels,) int32, the most telling
    first; letter (V,) int32 or None; keys: the version of the keys, 2, or 1 for those of older files. Read only."""

    cdef flm_factors factors
    cdef object _tables
    cdef readonly size_t vocab_size

    def __cinit__(self, const int32_t[::1] factors not None, const int32_t[::1] letter, size_t vocab_size,
                  unsigned keys=2):
        cdef Py_ssize_t k
        cdef int32_t reach = 0
        for k in range(factors.shape[0]):
            if factors[k] <= -FLM_SPELT or (factors[k] <= 0 and letter is None):
                raise ValueError(f"factor {factors[k]}; a distance of at least 1 was expected, or with letters "
                                 f"{1 - FLM_SPELT} to 0")
            reach = max(reach, factors[k])
        if not 1 <= factors.shape[0] <= FLM_NGRAM_LENGTH or reach > FLM_NGRAM_LENGTH:
            raise ValueError(f"{factors.shape[0]} factors of up to {reach} tokens back; 1 to {FLM_NGRAM_LENGTH} of "
                             "each were expected")
        if keys not in (1, 2):
            raise ValueError(f"keys = {keys}; version 1 or 2 was expected")
        if letter is not None:
            extent("letter", letter.shape[0], <Py_ssize_t> vocab_size)
        self._tables, self.vocab_size = (factors, letter), vocab_size
        self.factors = flm_factors(factor=&factors[0], letter=pointer(letter),
                                   levels=<size_t> factors.shape[0], reach=<size_t> reach,
                                   keys=keys)

    @property
    def reach(self):
        """The number of tokens that a state holds."""
        return self.factors.reach

    def level(self, const int32_t[::1] ids not None, const uint8_t[::1] starts not None,
              const int32_t[::1] position not None, const int32_t[::1] above, size_t above_contexts, size_t level):
        """Return the n-grams that end in ids[position] (m,) after `level` factors, as by flm_factor_number: word,
        count, from, context_of (n-grams,), shorter (m,), key, child (contexts,) and link (above_contexts,)."""
        cdef size_t n = <size_t> ids.shape[0], m = <size_t> position.shape[0], V = self.vocab_size, contexts = 0, grams
        cdef int32_t[::1] last = numpy.empty(max(1, self.factors.reach), numpy.int32)
        cdef int64_t[::1] spelt = numpy.empty(FLM_SPELT, numpy.int64)
        cdef uint64_t[::1] key = numpy.empty(n, numpy.uint64), sorted_key = numpy.empty(m, numpy.uint64)
        cdef uint64_t[::1] spare_key = numpy.empty(m, numpy.uint64)
        cdef size_t[::1] begin = numpy.empty(V + 1, numpy.uintp)
        cdef int32_t[::1] item = numpy.empty(m, numpy.int32), spare = numpy.empty(m, numpy.int32)
        cdef int32_t[::1] link = numpy.empty(max(1, above_contexts), numpy.int32)
        extent("starts", starts.shape[0], ids.shape[0])
        if level > self.factors.levels:
            raise ValueError(f"level = {level} is above the {self.factors.levels} factors")
        if not 0 < m <= n < 2**31 or not starts[0]:
            raise ValueError(f"a text of {n} tokens was given, {m} of them predicted; at least 1, and the first of a "
                             "document, were expected")
        check_ids(ids, V)
        check_ids(position, n)
        if above is not None:
            extent("above", above.shape[0], position.shape[0])
            check_ids(above, above_contexts)
        with nogil:
            flm_factor_keys(&key[0], &last[0], &spelt[0], &self.factors, &ids[0], &starts[0], level, n)
            flm_factor_sort(&item[0], &sorted_key[0], &spare[0], &spare_key[0], &begin[0], &key[0], &position[0],
                            &ids[0], m, V)
        key = spare_key = None
        cdef int32_t[::1] word = numpy.empty(m, numpy.int32), count = numpy.empty(m, numpy.int32)
        cdef int32_t[::1] from_ = numpy.empty(m, numpy.int32), context_of = numpy.empty(m, numpy.int32)
        cdef int32_t[::1] shorter = numpy.empty(m, numpy.int32), child = numpy.empty(m, numpy.int32)
        cdef int64_t[::1] context = numpy.empty(m, numpy.int64)
        with nogil:
            grams = flm_factor_number(&word[0], &count[0], &from_[0], &context_of[0], &shorter[0], &context[0],
                                      &child[0], &link[0], &contexts, NULL if above is None else &above[0], &item[0],
                                      &sorted_key[0], &position[0], &ids[0], m)
        found = [word.base, count.base, from_.base, context_of.base, shorter.base, context.base, child.base]
        for i, length in enumerate((grams, grams, grams, grams, m, contexts, contexts)):
            found[i] = found[i][:length].copy()
        return (*found, link.base[:above_contexts])


def estimate_ngrams(float[::1] logp not None, float[::1] backoff not None, double[::1] p not None,
                    const double[::1] shorter not None, const int32_t[::1] child not None,
                    const int32_t[::1] link not None, const int32_t[::1] count not None,
                    const double[::1] discount not None, size_t first, size_t last, size_t origin,
                    size_t origin_shorter):
    """Call flm_ngram_estimate for the contexts [first, last), whose n-grams begin at `origin`; p and shorter hold the
    probabilities of the n-grams from `origin` and `origin_shorter` on."""
    cdef size_t h, low = origin, end = origin + <size_t> p.shape[0], n, begin, grams
    extent("discount", discount.shape[0], 4)
    extent("count", count.shape[0], logp.shape[0])
    extent("link", link.shape[0], logp.shape[0])
    extent("child", child.shape[0], backoff.shape[0] + 1)
    if not first <= last <= <size_t> backoff.shape[0]:
        raise ValueError(f"contexts {first} to {last} are outside the {backoff.shape[0]} contexts")
    if end > <size_t> logp.shape[0]:
        raise ValueError(f"n-grams {origin} to {end} are outside the {logp.shape[0]} n-grams")
    if origin_shorter >= 2**31:
        raise ValueError(f"origin_shorter = {origin_shorter}, expected less than 2^31")
    for h in range(first, last + 1):
        if child[h] < 0 or not low <= <size_t> child[h] <= end:
            raise ValueError(f"child[{h}] = {child[h]}, expected {low} to {end}")
        low = <size_t> child[h]
    begin, grams = <size_t> child[first], <size_t> (child[last] - child[first])
    n = begin + kernels.first_bad_id(&count[0] + begin, 0, grams, 2**31)
    if n < begin + grams:
        raise ValueError(f"count[{n}] = {count[n]}, expected at least 0")
    n = begin + kernels.first_bad_id(&link[0] + begin, <int32_t> origin_shorter, grams,
                                     origin_shorter + <size_t> shorter.shape[0])
    if n < begin + grams:
        raise ValueError(f"link[{n}] = {link[n]}, expected {origin_shorter} to "
                         f"{origin_shorter + <size_t> shorter.shape[0] - 1}")
    with nogil:
        flm_ngram_estimate(&logp[0], &backoff[0], &p[0], &shorter[0], &child[0], &link[0], &count[0], NULL, &discount[0],
                           first, last, origin, origin_shorter)


def estimate_words(float[::1] logp not None, double[::1] p not None, const int32_t[::1] count not None,
                   const double[::1] discount not None):
    """Set logp[:V] and p (V,) from count (V,) by flm_ngram_unigrams."""
    cdef size_t n = kernels.first_bad_id(&count[0], 0, <size_t> count.shape[0], 2**31)
    extent("discount", discount.shape[0], 4)
    extent("p", p.shape[0], count.shape[0])
    if logp.shape[0] < count.shape[0]:
        raise ValueError(f"logp has {logp.shape[0]} elements, expected at least {count.shape[0]}")
    if n < <size_t> count.shape[0]:
        raise ValueError(f"count[{n}] = {count[n]}, expected at least 0")
    with nogil:
        flm_ngram_unigrams(&logp[0], &p[0], &count[0], &discount[0], <size_t> count.shape[0])


def factor_levels(const int32_t[::1] word not None, const int32_t[::1] link not None,
                  const int32_t[::1] child not None, size_t vocab_size, size_t levels):
    """Return how many contexts have up to 0, 1, ... factors (levels+1,), from plain arrays of n-grams over factors; raise
    ValueError where they contradict each other."""
    cdef size_t where = 0
    cdef int fault
    cdef size_t[::1] end = numpy.empty(levels + 1, numpy.uintp)
    extent("child", child.shape[0], link.shape[0] + 1)
    cdef flm_trie t = flm_trie(word=pointer(word), link=pointer(link), child=&child[0], logp=NULL, backoff=NULL,
                               nodes=<size_t> word.shape[0], contexts=<size_t> link.shape[0], V=vocab_size,
                               order=levels + 1)
    with nogil:
        fault = flm_factor_levels(&end[0], &t, &where)
    if fault != FLM_NGRAM_SOUND:
        raise ValueError(f"{NGRAM_FAULTS[fault]} are not those of n-grams, at {where}")
    return end.base


def bucket_keys(const int64_t[::1] key not None, const size_t[::1] end not None):
    """Return the buckets int32 of contexts whose keys (contexts,) rise in each level, one level after the other, and the
    bits of each key that a record keeps (contexts,) uint32. end (levels+1,): of `factor_levels`."""
    cdef size_t k, levels = <size_t> end.shape[0] - 1, n
    cdef unsigned bits
    cdef uint32_t[::1] part = numpy.empty(key.shape[0], numpy.uint32)
    cdef int32_t[::1] bucket
    unsigned_key = numpy.asarray(key).view(numpy.uint64)
    out = []
    for k in range(levels):
        of_level = unsigned_key[end[k]:end[k + 1]]
        if not (of_level[1:] >= of_level[:max(0, len(of_level) - 1)]).all():
            raise ValueError(f"its keys are not those of n-grams: those of {k + 1} factors do not rise")
        n = end[k + 1] - end[k]
        bits = flm_factor_bucket_bits(n)
        bucket = numpy.empty((1 << bits) + 1, numpy.int32)
        with nogil:
            flm_factor_buckets(&bucket[0], &part[0] + end[k], &key[0] + end[k], end[k], bits, n)
        out.append(bucket.base)
    return numpy.concatenate(out), part.base


FACTORED = ("grams", "contexts", "blocks", "unigrams", "book", "shape", "buckets", "levels")


cdef class FactoredNGrams(NGrams):
    """Packed n-grams over factors, checked whole and read only; `NGrams` has the same methods.

    tables: arrays by the names FACTORED, as for `NGrams`, without inner, and buckets int32, levels int64 (levels+1,):
    see flm_factor_index.
    """

    cdef const int32_t[::1] bucket
    cdef size_t[::1] ends
    cdef unsigned[::1] bucket_bits
    cdef flm_factor_index index
    cdef Factors factors

    def __init__(self, Factors factors not None, dict tables not None, bint checked=False):
        cdef size_t where = 0, k, bits, length = 0, levels = factors.factors.levels
        cdef int fault = FLM_NGRAM_SOUND
        bits = self._take(tables, factors.vocab_size, levels + 1, False, FLM_FACTOR_KEY)
        ends, self.bucket, self.factors = tables["levels"], tables["buckets"], factors
        self._tables = None                 # until all is checked
        extent("levels", ends.shape[0], <Py_ssize_t> levels + 1)
        if ends[0] != 0 or ends[levels] != self.grams.contexts or (numpy.diff(ends) < 0).any():
            raise ValueError(f"levels do not rise from 0 to the {self.grams.contexts} contexts")
        self.ends = ends.astype(numpy.uintp)
        self.bucket_bits = numpy.empty(levels, numpy.uintc)
        for k in range(levels):
            self.bucket_bits[k] = flm_factor_bucket_bits(self.ends[k + 1] - self.ends[k])
            length += (<size_t> 1 << self.bucket_bits[k]) + 1
        extent("buckets", self.bucket.shape[0], <Py_ssize_t> length)
        self.index = flm_factor_index(end=&self.ends[0], bucket_bits=&self.bucket_bits[0], bucket=&self.bucket[0])
        if not checked:
            with nogil:
                fault = flm_factor_check(&self.grams, &self.index, &where, bits)
        if fault != FLM_NGRAM_SOUND:
            raise ValueError(f"{NGRAM_FAULTS[fault]} are not those of n-grams, at {where}")
        self._tables, self._levels = tables, self.ends

    def unpack(self):
        """Return the plain arrays word, link (contexts,), child (contexts+1,), logp (nodes,), backoff (contexts,) and
        key (contexts,) int64, of which the lowest bits are zeros: they are not kept."""
        cdef size_t nodes = self.grams.nodes, contexts = self.grams.contexts
        self._is_state(-1)
        cdef int32_t[::1] word = numpy.empty(nodes, numpy.int32), link = numpy.empty(contexts, numpy.int32)
        cdef int32_t[::1] child = numpy.empty(contexts + 1, numpy.int32)
        cdef int64_t[::1] key = numpy.empty(contexts, numpy.int64)
        cdef float[::1] logp = numpy.empty(nodes, numpy.float32), backoff = numpy.empty(contexts, numpy.float32)
        with nogil:
            flm_factor_unpack(&word[0], &logp[0], &child[0], &link[0], &backoff[0], &self.grams)
            flm_factor_unpack_keys(&key[0], &self.grams, &self.index)
        return word.base, link.base, child.base, logp.base, backoff.base, key.base

    def read_factors(self, int32_t[::1] node not None, int32_t[:, ::1] last not None, int64_t[:, ::1] spelt not None,
                     const int32_t[::1] ids not None, const uint8_t[::1] starts, const size_t[::1] size not None):
        """Set node (N,) to the context after every row of a packed batch; last (S, reach), spelt (S, 3) in and out."""
        self._is_state(-1)
        packed_sequences(size, starts, ids.shape[0], spelt.shape[0])
        extent("node", node.shape[0], ids.shape[0])
        check_ids(ids, self.grams.V)
        shape("last", last.shape[0], last.shape[1], spelt.shape[0], <Py_ssize_t> self.factors.factors.reach)
        shape("spelt", spelt.shape[0], spelt.shape[1], spelt.shape[0], FLM_SPELT)
        cdef const uint8_t *begins = flags(starts)
        cdef int32_t *tokens = &last[0, 0] if last.shape[0] and last.shape[1] else NULL
        with nogil:
            flm_factor_read(&node[0], tokens, &spelt[0, 0], &self.factors.factors, &self.grams,
                            &self.index, &ids[0], begins, &size[0], <size_t> size.shape[0])

    def score(self, nats, ids, state):
        """Raise TypeError: a state is what the factors look at, see `read_factors`."""
        raise TypeError(NO_LINKS)

    def read(self, node, state, ids, starts, size):
        """Raise TypeError, as `score` does."""
        raise TypeError(NO_LINKS)


cdef str NO_LINKS = "n-grams over factors are not linked to shorter ones; only a plain trie of n-grams does this"


cdef inline const int32_t *pointer(const int32_t[::1] x) noexcept:
    return NULL if x is None else &x[0]
