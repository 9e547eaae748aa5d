# Part of _core.pyx: n-gram tries, built from a text and asked for probabilities.

MAX_ORDER = FLM_NGRAM_LENGTH    # words of the longest n-grams


cdef class NGramEstimates:
    """N-grams that are counted, and estimated in steps that share their work out to `tasks` calls each.

    After counting, in this order: `unigrams`; for every level from 2 on `longer`, then `estimate` for every task;
    `tables`. Any number of tasks gives the same tables.
    """

    cdef int32_t[::1] word, link, child, counts, pruned
    cdef float[::1] logp, backoff
    cdef double[::1] p, shorter
    cdef list origin                        # level k is nodes origin[k-1] to origin[k]
    cdef size_t at                          # the level that is being counted, or estimated
    cdef bytearray done                     # of every task: whether it has done its share
    cdef readonly size_t order, vocab_size, tasks

    cdef int _begin(self, size_t order, size_t vocab_size, size_t tasks) except -1:
        if not 1 <= order <= FLM_NGRAM_LENGTH:
            raise ValueError(f"order = {order}; 1 to {FLM_NGRAM_LENGTH} words were expected")
        if not 1 <= tasks < 2**31:
            raise ValueError(f"tasks = {tasks}, expected at least 1")
        self.order, self.vocab_size, self.tasks = order, vocab_size, tasks
        self.word = self.logp = self.p = self.shorter = self.pruned = None   # a view that was never set is not None
        self.origin, self.at, self.done = [], 0, bytearray(tasks)
        return 0

    cdef int _allocate(self, ends) except -1:
        """Make the tables of n-grams of up to 0, 1, ... words (order+1,). OverflowError for 2^31 n-grams or more."""
        cdef size_t V = self.vocab_size
        if ends[self.order] >= 2**31:
            raise OverflowError(f"there are {ends[self.order]} n-grams of up to {self.order} words; fewer than 2^31 "
                                "were expected")
        self.origin = ends.tolist()
        self.word, self.link, self.counts = (numpy.zeros(ends[self.order], numpy.int32) for _ in range(3))
        self.child = numpy.full(ends[self.order - 1] + 1 if self.order > 1 else 1, ends[self.order], numpy.int32)
        self.word.base[:V] = numpy.arange(V)
        self.link.base[:V] = -1
        return 0

    cdef int _turn(self, str step, bint ready) except -1:
        """Raise ValueError for a step that is out of order."""
        if not ready:
            raise ValueError(f"{step} was called out of turn; the order of the steps is in the docstring of the class")
        return 0

    cdef int _task(self, size_t task) except -1:
        if task >= self.tasks:
            raise ValueError(f"task = {task}, expected less than {self.tasks}")
        return 0

    cdef bint _shared(self) except -1:
        """Return whether every task has done its share of the step."""
        return all(self.done)

    cdef tuple _counted(self, bint keep):
        self.at = 0
        self.logp = numpy.empty(self.word.shape[0], numpy.float32) if keep else self.counts.base.view(numpy.float32)
        self.backoff = numpy.zeros(self.child.shape[0] - 1, numpy.float32)
        return self.counts.base, self.origin

    def unigrams(self, const double[::1] discount not None):
        """Estimate the single words; discount (4,): 0, D1, D2, D3+."""
        self._turn("unigrams", self.logp is not None and self.at == 0)
        self.p, self.at = numpy.empty(self.vocab_size), 1
        extent("discount", discount.shape[0], 4)
        with nogil:
            flm_ngram_unigrams(&self.logp[0], &self.p[0], &self.counts[0], &discount[0], self.vocab_size)

    def longer(self, size_t level):
        """Go on to the n-grams of `level` words, to be estimated."""
        self._turn("longer", self.p is not None and level == self.at + 1 <= self.order and self._shared())
        self.at, self.done = level, bytearray(self.tasks)
        self.shorter = self.p                             # the longest n-grams' are nobody's shorter ones
        self.p = numpy.empty(self.origin[level] - self.origin[level - 1]) if level < self.order else None

    def estimate(self, size_t task, size_t level, const double[::1] discount not None):
        """Estimate the n-grams of `level` words, 2 or more, after the task's share of their contexts."""
        self._task(task)
        self._turn("estimate", self.shorter is not None and level == self.at and not self.done[task])
        cdef size_t above = self.origin[level - 2], here = self.origin[level - 1]
        cdef size_t first = above + (here - above) * task // self.tasks
        cdef size_t last = above + (here - above) * (task + 1) // self.tasks
        extent("discount", discount.shape[0], 4)
        cdef double *p = NULL if self.p is None else &self.p[0]
        cdef int32_t *pruned = NULL if self.pruned is None else &self.pruned[0]
        with nogil:
            flm_ngram_estimate(&self.logp[0], &self.backoff[0], p, &self.shorter[0], &self.child[0],
                               &self.link[0], &self.counts[0], pruned, &discount[0], first, last, here, above)
        self.done[task] = 1

    def tables(self):
        """Return word, link, child, logp, backoff, as NGrams takes them."""
        self._turn("tables", self.logp is not None and self.at == self.order and self._shared())
        return self.word.base, self.link.base, self.child.base, self.logp.base, self.backoff.base


cdef class NGramBuilder(NGramEstimates):
    """The n-grams of a text, counted and estimated in steps that share their work out to `tasks` calls each.

    ids (n,) int32; starts (n,) uint8, 1 at every document's first token, which is read and never predicted; boundary:
    the id that ends contexts, or -1; order: words of the longest n-grams, 1 to 127. In this order: `sort` for every
    task; `keep_repeated` for every task, where wanted; `allocate`; for every level from 2 on `level`, then `number` for
    every task; `counted`; and those of `NGramEstimates`.
    """

    cdef const int32_t[::1] id
    cdef const uint8_t[::1] starts
    cdef uint8_t[::1] span, shared, reach
    cdef int32_t[::1] position, rank, node, above
    cdef size_t[::1] begin, cut
    cdef size_t[:, ::1] sizes

    def __cinit__(self, const int32_t[::1] ids not None, const uint8_t[::1] starts not None, int boundary, size_t order,
                  size_t vocab_size, size_t tasks):
        cdef size_t n = <size_t> ids.shape[0]
        extent("starts", starts.shape[0], ids.shape[0])
        self._begin(order, vocab_size, tasks)
        if not 0 < n < 2**31 or not starts[0]:
            raise ValueError(f"a text of {n} tokens was given; at least 1, the first of a document, was expected")
        check_ids(ids, vocab_size)
        self.id, self.starts = ids, starts
        self.span, self.position = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.int32)
        self.begin, self.cut = numpy.empty(vocab_size + 1, numpy.uintp), numpy.empty(tasks + 1, numpy.uintp)
        with nogil:
            flm_ngram_spans(&self.span[0], &ids[0], &starts[0], boundary, order, n)
            flm_ngram_group(&self.position[0], &self.begin[0], &ids[0], n, vocab_size)
            flm_ngram_cuts(&self.cut[0], &self.begin[0], vocab_size, tasks)
        self.rank = numpy.empty(n, numpy.int32)
        self.shared, self.reach = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.uint8)
        self.sizes = numpy.zeros((tasks, order + 1), numpy.uintp)
        self.node = None

    def sort(self, size_t task):
        """Sort the n-grams of the task's first words."""
        self._task(task)
        self._turn("sort", self.at == 0)
        cdef size_t first = self.cut[task], last = self.cut[task + 1]
        cdef size_t most = max(1, flm_ngram_largest_group(&self.begin[0], first, last))
        cdef uint64_t[::1] key = numpy.empty(2 * most, numpy.uint64)
        cdef int32_t[::1] spare = numpy.empty(most, numpy.int32)
        with nogil:
            flm_ngram_sort(&self.position[0], &self.rank[0], &self.shared[0], &self.reach[0], &key[0], &spare[0],
                           &self.id[0], &self.span[0], &self.begin[0], first, last, most, self.order, self.vocab_size)
            flm_ngram_sizes(&self.sizes[task, 0], &self.shared[0], &self.reach[0], self.begin[first], self.begin[last],
                            self.order)
        self.done[task] = 1

    def keep_repeated(self, size_t task, size_t whole):
        """Leave out n-grams of more than `whole` words that the task has sorted, where the words before their last one
        occur only once."""
        self._task(task)
        self._turn("keep_repeated", self.node is None and self.at == 0 and self._shared())
        cdef size_t first = self.cut[task], last = self.cut[task + 1]
        with nogil:
            flm_ngram_keep_repeated(&self.reach[0], &self.shared[0], &self.begin[0], first, last, whole)
            flm_ngram_sizes(&self.sizes[task, 0], &self.shared[0], &self.reach[0], self.begin[first], self.begin[last],
                            self.order)

    def level_sizes(self):
        """Return how many n-grams of 0, 1, ... words there are: (order+1,)."""
        self._turn("level_sizes", self.node is None and self.at == 0 and self._shared())
        return numpy.diff(self._ends(), prepend=0)

    def counting_bytes(self):
        """Return how many bytes the rest of counting will take, before `allocate`."""
        self._turn("counting_bytes", self.node is None and self.at == 0 and self._shared())
        cdef size_t[::1] nodes = self._ends()
        return flm_ngram_counting_bytes(&nodes[0], <size_t> self.id.shape[0], self.order)

    def allocate(self):
        """Make the tables, now that their sizes are known. OverflowError for 2^31 n-grams or more."""
        self._turn("allocate", self.at == 0 and self._shared())
        cdef size_t n = <size_t> self.id.shape[0]
        self._allocate(self._ends())
        self.node, self.above = numpy.empty(n, numpy.int32), numpy.empty(n, numpy.int32)
        if self.order == 1:
            flm_ngram_count_words(&self.counts[0], &self.id[0], &self.starts[0], n)
        self.at = 1

    cdef _ends(self):
        """Return how many n-grams of up to 0, 1, ... words there are: (order+1,)."""
        sizes = self.sizes.base.sum(0)
        sizes[:2] = 0, self.vocab_size
        return numpy.cumsum(sizes)

    def level(self, size_t level):
        """Go on to the n-grams of `level` words, to be numbered."""
        self._turn("level", self.node is not None and level == self.at + 1 <= self.order and self._shared())
        self.at, self.done = level, bytearray(self.tasks)
        self.node, self.above = self.above, self.node

    def number(self, size_t task, size_t level):
        """Number and count the n-grams of `level` words, 2 or more, of the task's first words."""
        self._task(task)
        self._turn("number", self.node is not None and level == self.at > 1 and not self.done[task])
        cdef size_t next = self.origin[level - 1] + sum(self.sizes[i, level] for i in range(task))
        with nogil:
            flm_ngram_number(&self.word[0], &self.link[0], &self.child[0], &self.counts[0], &self.node[0],
                             &self.above[0], next, &self.id[0], &self.position[0], &self.rank[0], &self.shared[0],
                             &self.reach[0], &self.span[0], &self.begin[0], self.cut[task], self.cut[task + 1], level,
                             self.order)
        self.done[task] = 1

    def counted(self, bint keep):
        """Free what only counting needed; return the counts (nodes,) int32, which estimating overwrites unless they are
        kept, and where each level begins and ends."""
        self._turn("counted", self.node is not None and self.at == self.order and self._shared())
        self.position = self.rank = self.node = self.above = None
        self.shared = self.reach = None
        self.id = self.starts = None
        return self._counted(keep)


def count_counts(const int32_t[::1] count not None):
    """Return how many of count (n,) are 1, 2, 3 and 4: int64 (5,), of which the first is not used."""
    cdef int64_t[::1] times = numpy.empty(5, numpy.int64)
    with nogil:
        flm_ngram_count_counts(&times[0], &count[0], <size_t> count.shape[0])
    return times.base


cdef dict NGRAM_FAULTS = {
    FLM_NGRAM_CHILD: "where its contexts begin", FLM_NGRAM_WORD: "its words", FLM_NGRAM_LINK: "its links",
    FLM_NGRAM_SUM: "its probabilities", FLM_NGRAM_BLOCKS: "its blocks", FLM_NGRAM_INNER: "which n-grams are contexts",
    FLM_NGRAM_KEY: "its keys"}
cdef uint32_t FLOAT_BITS = 32
PACKED = ("grams", "contexts", "blocks", "inner", "unigrams", "book", "shape")


cdef unsigned bits_below(uint64_t n) noexcept:
    """Return how many bits the numbers below n have."""
    cdef unsigned bits = 0
    while bits < 64 and (n - 1 if n else 0) >> bits:
        bits += 1
    return bits


cdef flm_trie trie_of(const int32_t[::1] word, const int32_t[::1] link, const int32_t[::1] child,
                      const float[::1] logp, const float[::1] backoff, size_t vocab_size, size_t order):
    return flm_trie(word=pointer(word), link=pointer(link), child=&child[0], logp=float_pointer(logp),
                    backoff=float_pointer(backoff), nodes=<size_t> word.shape[0],
                    contexts=<size_t> backoff.shape[0], V=vocab_size, order=order)


def check_trie(const int32_t[::1] word not None, const int32_t[::1] link not None, const int32_t[::1] child not None,
               const float[::1] logp not None, const float[::1] backoff not None, size_t vocab_size, size_t order,
               bint normalized=True):
    """Raise ValueError where plain arrays of n-grams contradict each other, hold n-grams of more than `order` words or,
    where they are said to be normalized, probabilities that do not sum to one.

    word, link (nodes,) int32; child (contexts+1,) int32; logp (nodes,), backoff (contexts,) float32: see csrc/ngram.h.
    """
    cdef size_t where = 0, level = 1
    cdef int fault
    nodes, contexts = word.shape[0], child.shape[0] - 1
    if contexts < 0:
        raise ValueError("child has 0 elements, expected at least 1")
    extent("link", link.shape[0], nodes)
    extent("logp", logp.shape[0], nodes)
    extent("backoff", backoff.shape[0], contexts)
    if <size_t> nodes < vocab_size:
        raise ValueError(f"there are {nodes} n-grams, expected at least the {vocab_size} words")
    cdef flm_trie t = trie_of(word, link, child, logp, backoff, vocab_size, order)
    with nogil:
        fault = flm_trie_check(&t, normalized, &where)
    if fault == FLM_NGRAM_CHILD:
        raise ValueError(f"child does not rise from {vocab_size} to the {nodes} n-grams")
    if fault == FLM_NGRAM_WORD:
        raise ValueError(f"n-gram {where} ends in word {word[where]}, out of order or outside the vocabulary of "
                         f"{vocab_size}")
    if fault == FLM_NGRAM_LINK:
        raise ValueError(f"n-gram {where} is linked to {link[where]}, which is not the same without its first word")
    if fault == FLM_NGRAM_SUM:
        after = "of the single words" if where == <size_t> nodes else f"after context {where}"
        raise ValueError(f"the probabilities {after} do not sum to one")
    cdef int32_t end = <int32_t> vocab_size
    while end < nodes:
        level += 1
        if level > order:
            raise ValueError(f"there are n-grams of {level} words, expected at most {order}")
        end = child[end] if end < contexts else <int32_t> nodes


def quantise_ngrams(uint16_t[::1] code not None, float[::1] backoff not None, const int32_t[::1] word not None,
                    const int32_t[::1] link not None, const int32_t[::1] child not None, const float[::1] logp not None,
                    const int32_t[::1] suffix, const float[::1] book not None, const double[::1] p not None,
                    size_t vocab_size, size_t first, size_t last):
    """Set code (nodes,) and backoff (contexts,) for the contexts [first, last) of one level, see flm_ngram_quantise; the
    arrays are those of a builder, or were checked. suffix (nodes,): None where it is not known."""
    extent("code", code.shape[0], word.shape[0])
    extent("logp", logp.shape[0], word.shape[0])
    extent("child", child.shape[0], backoff.shape[0] + 1)
    extent("p", p.shape[0], book.shape[0])
    if suffix is not None:
        extent("suffix", suffix.shape[0], word.shape[0])
    if not 0 < book.shape[0] <= 1 << 16 or not first <= last <= <size_t> backoff.shape[0]:
        raise ValueError(f"contexts {first} to {last} of {backoff.shape[0]} were given with a book of {book.shape[0]}; "
                         "contexts that there are and 1 to 65536 values were expected")
    cdef flm_trie t = trie_of(word, link, child, logp, backoff, vocab_size, 0)
    cdef const int32_t *suffixes = pointer(suffix)
    if first < last:
        with nogil:
            flm_ngram_quantise(&code[0], &backoff[0], &t, &book[0], &p[0], suffixes, <size_t> book.shape[0], first,
                               last)


cdef tuple backoff_codes(float[::1] backoff, bint exact):
    """Return the codes (contexts,) uint32 of backoffs, their bits, and the lowest one in steps."""
    if exact:
        return backoff.base.view(numpy.uint32), FLOAT_BITS, 0
    steps = numpy.rint(backoff.base * FLM_NGRAM_STEPS).astype(numpy.int32)
    lowest = int(steps.min(initial=0))
    codes = (steps - lowest).astype(numpy.uint32)
    return codes, bits_below(<uint64_t> int(codes.max(initial=0)) + 1), lowest


def pack_grams(const int32_t[::1] word not None, const uint16_t[::1] code, const float[::1] logp not None,
               size_t vocab_size, unsigned value_bits):
    """Return the records (bytes,) uint8 of the n-grams from `vocab_size` on: code (nodes,), or the floats where None."""
    cdef size_t n = <size_t> word.shape[0] - vocab_size
    cdef unsigned word_bits = bits_below(vocab_size)
    cdef uint8_t[::1] grams = numpy.zeros((n * (word_bits + value_bits) + 7) // 8 + FLM_NGRAM_PAD, numpy.uint8)
    extent("logp", logp.shape[0], word.shape[0])
    if code is not None:
        extent("code", code.shape[0], word.shape[0])
    with nogil:
        flm_ngram_pack_grams(&grams[0], &word[0] + vocab_size, NULL if code is None else &code[0] + vocab_size,
                             &logp[0] + vocab_size, word_bits, value_bits, n)
    return grams.base


def rank_contexts(const int32_t[::1] child not None):
    """Return `inner` (3 * words,) int32 of a trie, see flm_ngrams, and how many contexts there are."""
    cdef size_t contexts = <size_t> child.shape[0] - 1, words, found
    has = numpy.flatnonzero(numpy.diff(child) > 0)
    words = (<size_t> int(has.max(initial=-1)) + 64) // 64 if len(has) else 0
    cdef uint32_t[::1] inner = numpy.empty(3 * words, numpy.uint32)
    with nogil:
        found = flm_ngram_rank(&inner[0], &child[0], contexts, words)
    return inner.base.view(numpy.int32), found


def contexts_of(const int32_t[::1] inner not None, size_t contexts, const int32_t[::1] word not None,
                const int32_t[::1] link not None, const int32_t[::1] child not None, const float[::1] backoff not None):
    """Return the first child, link (contexts,) int32 and backoff (contexts,) float32 of those n-grams of a trie that are
    contexts."""
    cdef int32_t[::1] first = numpy.empty(contexts, numpy.int32), link_of_context = numpy.empty(contexts, numpy.int32)
    cdef float[::1] out = numpy.empty(contexts, numpy.float32)
    cdef flm_trie t = trie_of(word, link, child, backoff, backoff, 0, 0)
    cdef const uint32_t *ranks = <const uint32_t *> pointer(inner)
    with nogil:
        flm_ngram_contexts(&first[0], &link_of_context[0], &out[0], &t, ranks, <size_t> inner.shape[0] // 3)
    return first.base, link_of_context.base, out.base


def pack_contexts(const int32_t[::1] first not None, const int32_t[::1] link not None, float[::1] backoff not None,
                  const uint32_t[::1] key, size_t nodes, bint exact):
    """Return the records (bytes,) uint8 and blocks int64 of contexts, see flm_ngrams, and `shape` (4,) int64: n-grams,
    contexts, bits of a backoff, and the lowest one."""
    cdef size_t contexts = <size_t> first.shape[0], bits
    cdef unsigned link_bits = bits_below(contexts + 1), key_bits = 0 if key is None else FLM_FACTOR_KEY, backoff_bits
    extent("link", link.shape[0], first.shape[0])
    extent("backoff", backoff.shape[0], first.shape[0])
    codes, backoff_bits, lowest = backoff_codes(backoff, exact)
    cdef const uint32_t[::1] code = codes
    cdef uint64_t[::1] block = numpy.empty(2 * ((contexts + FLM_NGRAM_BLOCK - 1) // FLM_NGRAM_BLOCK) + 2, numpy.uint64)
    with nogil:
        bits = flm_ngram_blocks(&block[0], &first[0], contexts, nodes, link_bits + backoff_bits + key_bits)
    cdef uint8_t[::1] records = numpy.zeros((bits + 7) // 8 + FLM_NGRAM_PAD, numpy.uint8)
    with nogil:
        flm_ngram_pack_contexts(&records[0], &block[0], &first[0], &link[0], &code[0], NULL if key is None else &key[0],
                                link_bits, backoff_bits, key_bits, contexts)
    return records.base, block.base.view(numpy.int64), numpy.array([nodes, contexts, backoff_bits, lowest], numpy.int64)


cdef class NGrams:
    """A trie of packed n-grams, checked whole when it is made, and read only: any number of threads may use it.

    tables: arrays by the names PACKED, as `models.ngram.packed` makes them: grams, contexts uint8, blocks int64, inner
    int32, unigrams, book float32, shape int64 (n-grams, contexts, bits of a backoff, the lowest one). checked: whether
    they were checked before, or come from there. ValueError where they contradict each other, hold n-grams of more than
    `order` words or, where they are said to be normalized, probabilities that do not sum to one. A state is the number
    of a context, or -1 where nothing has been read.
    """

    cdef flm_ngrams grams
    cdef object _tables, _falling
    cdef size_t[::1] _levels
    cdef size_t _words                  # of the longest n-grams

    def __init__(self, dict tables not None, size_t vocab_size, size_t order, bint normalized=True,
                 bint checked=False):
        if not 1 <= order <= FLM_NGRAM_LENGTH:
            raise ValueError(f"order = {order}; 1 to {FLM_NGRAM_LENGTH} words were expected")
        cdef size_t bits = self._take(tables, vocab_size, order, True, 0), where = 0
        cdef int fault = FLM_NGRAM_SOUND
        if not checked:
            with nogil:
                fault = flm_ngram_check(&self.grams, normalized, &where, bits)
        if fault != FLM_NGRAM_SOUND:
            self._tables = None
            raise ValueError(f"{NGRAM_FAULTS[fault]} are not those of n-grams, at {where}")
        self._levels = None
        if not checked:
            self._find_levels()

    cdef int _find_levels(self) except -1:
        """Find where the contexts of each length end, once."""
        if self._levels is not None:
            return 0
        cdef size_t[::1] levels = numpy.empty(self.grams.order + 1, numpy.uintp)
        cdef size_t words = flm_ngram_levels(&levels[0], &self.grams)
        if words > self.grams.order:
            self._tables = None
            raise ValueError(f"there are n-grams of {words} words, expected at most {self.grams.order}")
        self._words, self._levels = words, levels
        return 0

    cdef size_t _take(self, dict tables, size_t vocab_size, size_t order, bint trie, unsigned key_bits) except? 0:
        """Point at the tables; raise ValueError where their lengths are not those that belong together. Return how many
        bits the records of contexts may have."""
        cdef const uint8_t[::1] gram = tables["grams"], context = tables["contexts"]
        cdef const int64_t[::1] block = tables["blocks"], shape = tables["shape"]
        cdef const int32_t[::1] inner = tables["inner"] if trie else None
        cdef const float[::1] unigram = tables["unigrams"], book = tables["book"]
        extent("shape", shape.shape[0], 4)
        extent("unigrams", unigram.shape[0], <Py_ssize_t> vocab_size)
        nodes, contexts, backoff_bits, lowest = (int(number) for number in shape)
        if not vocab_size <= nodes < 2**31 or not 0 <= contexts < 2**31 or not 0 <= backoff_bits <= FLOAT_BITS \
                or not -2**30 <= lowest <= 2**30:
            raise ValueError(f"shape is {[nodes, contexts, backoff_bits, lowest]}, which no n-grams have")
        cdef unsigned word_bits = bits_below(vocab_size), value_bits = bits_below(<uint64_t> book.shape[0])
        if book.shape[0] == 0:
            value_bits = FLOAT_BITS
        elif book.shape[0] != 1 << value_bits or value_bits > 16:
            raise ValueError(f"book has {book.shape[0]} elements, expected a power of two up to 65536, or none")
        extent("grams", gram.shape[0], ((nodes - vocab_size) * (word_bits + value_bits) + 7) // 8 + FLM_NGRAM_PAD)
        extent("blocks", block.shape[0], 2 * ((contexts + FLM_NGRAM_BLOCK - 1) // FLM_NGRAM_BLOCK) + 2)
        if context.shape[0] < FLM_NGRAM_PAD:
            raise ValueError(f"contexts has {context.shape[0]} elements, expected at least {FLM_NGRAM_PAD}")
        if book.shape[0] == 0:
            book = None
        words = 0
        if trie:
            words = inner.shape[0] // 3
            extent("inner", inner.shape[0], 3 * words)
        self.grams = flm_ngrams(
            gram=&gram[0], context=&context[0], block=<const uint64_t *> &block[0],
            inner=<const uint32_t *> pointer(inner), unigram=float_pointer(unigram),
            book=float_pointer(book), lowest=<int32_t> lowest, word_bits=word_bits,
            value_bits=value_bits, link_bits=bits_below(<uint64_t> contexts + 1), backoff_bits=backoff_bits,
            key_bits=key_bits, gram_bits=word_bits + value_bits,
            context_bits=bits_below(<uint64_t> contexts + 1) + <unsigned> backoff_bits + key_bits, nodes=nodes, contexts=contexts, inner_nodes=64 * words, V=vocab_size, order=order)
        self._tables, self._falling = tables, None
        return 8 * (<size_t> context.shape[0] - FLM_NGRAM_PAD)

    @property
    def nodes(self):
        """The number of n-grams."""
        return self.grams.nodes

    @property
    def contexts(self):
        """The number of n-grams that something has followed."""
        return self.grams.contexts

    @property
    def longest(self):
        """The number of n-grams of the most words that there are."""
        self._is_state(-1)
        self._find_levels()
        return self.grams.nodes - flm_ngram_shorter(&self.grams, &self._levels[0], self._words)

    @property
    def unigrams(self):
        """log p (V,) float32 of every word where nothing has been read."""
        return self._tables["unigrams"]

    def describe(self, const int32_t[::1] node not None):
        """Return the length and the number of different words that have followed (N,) int32 of each context (N,), and
        the log of the share that it leaves to shorter ones (N,) float32; 0, V and 0 for -1."""
        cdef size_t N = <size_t> node.shape[0]
        cdef int32_t[::1] length = numpy.empty(N, numpy.int32), followed = numpy.empty(N, numpy.int32)
        cdef float[::1] backoff = numpy.empty(N, numpy.float32)
        self._are_states(node)
        self._find_levels()
        with nogil:
            flm_ngram_describe(&length[0], &followed[0], &backoff[0], &self.grams, &self._levels[0], &node[0], N)
        return length.base, followed.base, backoff.base

    def matched(self, const int32_t[::1] node not None, const int32_t[::1] target not None):
        """Return the words (N,) int32 of the longest known n-gram that ends with each target after its node; 1 for the
        target alone."""
        cdef size_t N = <size_t> node.shape[0]
        cdef int32_t[::1] order = numpy.empty(N, numpy.int32)
        extent("target", target.shape[0], node.shape[0])
        check_ids(target, self.grams.V)
        self._are_states(node)
        self._find_levels()
        with nogil:
            flm_ngram_matched(&order[0], &self.grams, &self._levels[0], &node[0], &target[0], N)
        return order.base

    def unpack(self):
        """Return the plain arrays word, link, child, logp and backoff, see flm_trie in csrc/ngram.h."""
        cdef size_t nodes = self.grams.nodes, contexts
        self._is_state(-1)
        self._find_levels()
        contexts = flm_ngram_shorter(&self.grams, &self._levels[0], self._words)
        cdef int32_t[::1] word = numpy.empty(nodes, numpy.int32), link = numpy.empty(nodes, numpy.int32)
        cdef int32_t[::1] child = numpy.empty(contexts + 1, numpy.int32)
        cdef float[::1] logp = numpy.empty(nodes, numpy.float32), backoff = numpy.empty(contexts, numpy.float32)
        with nogil:
            flm_ngram_unpack(&word[0], &link[0], &child[0], &logp[0], &backoff[0], &self.grams, contexts)
        return word.base, link.base, child.base, logp.base, backoff.base

    def score(self, double[::1] nats not None, const int32_t[::1] ids not None, int32_t state):
        """Set nats (n,) to -log p of each of ids (n,) after those before it and the state; return the last state."""
        cdef size_t n = <size_t> ids.shape[0]
        extent("nats", nats.shape[0], ids.shape[0])
        check_ids(ids, self.grams.V)
        self._is_state(state)
        with nogil:
            flm_ngram_score(&nats[0], &state, &self.grams, &ids[0], n)
        return state

    def read(self, int32_t[::1] node not None, int32_t[::1] state not None, const int32_t[::1] ids not None,
             const uint8_t[::1] starts, const size_t[::1] size not None):
        """Set node (N,) to the state after every row of a packed batch; state (S,) int32 in and out."""
        packed_sequences(size, starts, ids.shape[0], state.shape[0])
        extent("node", node.shape[0], ids.shape[0])
        check_ids(ids, self.grams.V)
        self._are_states(state)
        cdef const uint8_t *begins = flags(starts)
        with nogil:
            flm_ngram_read(&node[0], &state[0], &self.grams, &ids[0], begins, &size[0], <size_t> size.shape[0])

    def nats(self, double[::1] nats not None, const int32_t[::1] node not None, const int32_t[::1] target not None):
        """Set nats (N,) to -log p(target | node), 0 where target is -1."""
        targets(target, node.shape[0], <Py_ssize_t> self.grams.V)
        extent("nats", nats.shape[0], node.shape[0])
        self._are_states(node)
        with nogil:
            flm_ngram_nats(&nats[0], &self.grams, &node[0], &target[0], <size_t> node.shape[0])

    def log_probabilities(self, float[:, ::1] out not None, const int32_t[::1] node not None):
        """Set out (N, V) to log p of every word after each node (N,)."""
        shape("out", out.shape[0], out.shape[1], node.shape[0], <Py_ssize_t> self.grams.V)
        self._are_states(node)
        with nogil:
            flm_ngram_log_probabilities(&out[0, 0], &self.grams, &node[0], <size_t> node.shape[0])

    def of_words(self, float[:, ::1] out not None, const int32_t[::1] node not None,
                 const int32_t[::1] target not None, const int32_t[::1] word not None):
        """Set out (N, 1 + S) to log p after each node (N,): first of its target (N,), 0 where that is -1, then of every
        word (S,), which are different ones."""
        cdef Py_ssize_t N = node.shape[0], S = word.shape[0], s
        cdef int32_t[::1] column = numpy.zeros(self.grams.V, numpy.int32)
        cdef float[::1] base = numpy.empty(S + 1, numpy.float32)
        shape("out", out.shape[0], out.shape[1], N, 1 + S)
        targets(target, N, <Py_ssize_t> self.grams.V)
        self._are_states(node)
        for s in range(S):
            if not 0 <= word[s] < <int64_t> self.grams.V:
                raise IndexError(f"word[{s}] = {word[s]} is outside the vocabulary of {self.grams.V}")
            column[word[s]] = <int32_t> (1 + s)
        if N:
            with nogil:
                flm_ngram_of_words(&out[0, 0], &base[0], &self.grams, &node[0], &target[0], &word[0] if S else NULL,
                                   &column[0], <size_t> S, <size_t> N)

    def top(self, const int32_t[::1] node not None, size_t k):
        """Return the k likeliest words after each node (N,), likeliest first: ids and log p, (N, min(k, V)) each."""
        cdef size_t N = <size_t> node.shape[0], V = self.grams.V
        cdef int32_t[::1] falling
        k = min(k, V)
        self._are_states(node)
        if self._falling is None:
            self._falling = numpy.argsort(-self.unigrams, kind="stable").astype(numpy.int32)
        falling = self._falling
        cdef int32_t[:, ::1] word = numpy.empty((N, k), numpy.int32)
        cdef float[:, ::1] logp = numpy.empty((N, k), numpy.float32)
        cdef uint32_t[::1] seen = numpy.empty(V, numpy.uint32)
        if N and k:
            with nogil:
                flm_ngram_top(&word[0, 0], &logp[0, 0], &seen[0], &self.grams, &falling[0], &node[0], k, N)
        return word.base, logp.base

    cdef int _is_state(self, int32_t node) except -1:
        if self._tables is None:
            raise ValueError("these n-grams have no tables, since they were not made by their class")
        if node < -1 or (node >= 0 and (<size_t> node >= self.grams.contexts)):
            raise IndexError(f"state {node} is outside the {self.grams.contexts} contexts")
        return 0

    cdef int _are_states(self, const int32_t[::1] node) except -1:
        cdef Py_ssize_t n
        self._is_state(-1)
        for n in range(node.shape[0]):
            if node[n] < -1 or (node[n] >= 0 and <size_t> node[n] >= self.grams.contexts):
                self._is_state(node[n])
        return 0


def left_out(double[::1] nats not None, float[:, ::1] out, const int32_t[::1] word not None,
             const int32_t[::1] link not None, const int32_t[::1] child not None, const float[::1] logp not None,
             const int32_t[::1] count not None, const double[:, ::1] discount not None,
             const double[::1] total not None, const double[::1] mass not None, const int32_t[::1] node not None,
             const int32_t[::1] target not None, size_t vocab_size):
    """Set nats (N,) to -log p of each target as if this occurrence had not been counted, and out (N, V), unless None, to
    log p of every word where there is a target.

    word, link, child, logp: the plain arrays of a builder; count (nodes,), discount (order, 4), total and mass
    (contexts+1,): see flm_ngram_counts; node (N,): n-grams that are contexts, or -1. ValueError where a target never
    followed its node.
    """
    cdef size_t N = <size_t> node.shape[0], done
    cdef double[::1] scratch = numpy.empty(2 * vocab_size)
    cdef float *rows = NULL
    targets(target, node.shape[0], <Py_ssize_t> vocab_size)
    extent("nats", nats.shape[0], node.shape[0])
    extent("count", count.shape[0], word.shape[0])
    extent("total", total.shape[0], child.shape[0])
    extent("mass", mass.shape[0], total.shape[0])
    shape("discount", discount.shape[0], discount.shape[1], discount.shape[0], 4)
    if out is not None:
        shape("out", out.shape[0], out.shape[1], node.shape[0], <Py_ssize_t> vocab_size)
        rows = &out[0, 0]
    for i in range(N):
        if not -1 <= node[i] < child.shape[0] - 1:
            raise IndexError(f"state {node[i]} is outside the {child.shape[0] - 1} contexts")
    cdef flm_trie t = trie_of(word, link, child, logp, logp[:child.shape[0] - 1], vocab_size,
                              <size_t> discount.shape[0])
    cdef flm_ngram_counts counts = flm_ngram_counts(count=&count[0], discount=&discount[0, 0], total=&total[0],
                                                    mass=&mass[0])
    with nogil:
        done = flm_ngram_left_out(&nats[0], rows, &scratch[0], &t, &counts, &node[0], &target[0], N)
    if done < N:
        raise ValueError(f"target {target[done]} of row {done} never followed its context in the text that was counted")


cdef inline const float *float_pointer(const float[::1] x) noexcept:
    return NULL if x is None else &x[0]
