# Part of _core.pyx: n-gram tries, built from a text and asked for probabilities.

MAX_ORDER = FLM_NGRAM_LENGTH    # words of the longest n-grams


cdef class NGramBuilder:
    """The n-grams of a text, counted and estimated in steps that share their work out to `tasks` calls each.

    ids (n,) int32; starts (n,) uint8, 1 at every document's first token, which is read and never predicted; boundary:
    the id that ends contexts, or -1; order: words of the longest n-grams, 1 to 127. In this order: `sort` for every
    task; `allocate`; for every level from 2 on `level`, then `number` for every task; `counted`; `unigrams`; for every
    level from 2 on `longer`, then `estimate` for every task; `tables`. Any number of tasks gives the same tables.
    """

    cdef const int32_t[::1] id
    cdef const uint8_t[::1] starts
    cdef uint8_t[::1] span, shared, reach
    cdef int32_t[::1] position, rank, node, above, word, link, child, counts
    cdef float[::1] logp, backoff
    cdef double[::1] p, shorter
    cdef size_t[::1] begin, cut
    cdef size_t[:, ::1] sizes
    cdef list origin
    cdef size_t at                          # the level that is being counted, or estimated
    cdef bytearray done                     # of every task: whether it has done its share
    cdef readonly size_t order, vocab_size, tasks

    def __cinit__(self, const int32_t[::1] ids not None, const uint8_t[::1] starts not None, int boundary, size_t order,
                  size_t vocab_size, size_t tasks):
        cdef size_t n = <size_t> ids.shape[0]
        extent("starts", starts.shape[0], ids.shape[0])
        if not 1 <= order <= FLM_NGRAM_LENGTH:
            raise ValueError(f"order = {order}; 1 to {FLM_NGRAM_LENGTH} words were expected")
        if not 0 < n < 2**31 or not starts[0]:
            raise ValueError(f"a text of {n} tokens was given; at least 1, the first of a document, was expected")
        if not 1 <= tasks < 2**31:
            raise ValueError(f"tasks = {tasks}, expected at least 1")
        check_ids(ids, vocab_size)
        self.id, self.starts, self.order, self.vocab_size, self.tasks = ids, starts, order, vocab_size, tasks
        self.span, self.position = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.int32)
        self.begin, self.cut = numpy.empty(vocab_size + 1, numpy.uintp), numpy.empty(tasks + 1, numpy.uintp)
        with nogil:
            flm_ngram_spans(&self.span[0], &ids[0], &starts[0], boundary, order, n)
            flm_ngram_group(&self.position[0], &self.begin[0], &ids[0], n, vocab_size)
            flm_ngram_cuts(&self.cut[0], &self.begin[0], vocab_size, tasks)
        self.rank = numpy.empty(n, numpy.int32)
        self.shared, self.reach = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.uint8)
        self.sizes = numpy.zeros((tasks, order + 1), numpy.uintp)
        self.node = self.logp = self.p = self.shorter = None        # a view that was never set is not None
        self.origin, self.at, self.done = [], 0, bytearray(tasks)

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

    def lower(self, double memory):
        """Lower the order, before `allocate`, until counting takes about `memory` bytes, or to 2."""
        self._turn("lower", self.at == 0 and self._shared())
        cdef size_t[::1] nodes = self._ends()
        self.order = flm_ngram_order_within(&nodes[0], <size_t> self.id.shape[0], self.order, memory)
        self.sizes = self.sizes.base[:, :self.order + 1].copy()

    def allocate(self):
        """Make the tables, now that their sizes are known. OverflowError for 2^31 n-grams or more."""
        self._turn("allocate", self.at == 0 and self._shared())
        cdef size_t n = <size_t> self.id.shape[0], V = self.vocab_size
        ends = self._ends()
        if ends[self.order] >= 2**31:
            raise OverflowError(f"there are {ends[self.order]} n-grams of up to {self.order} words; fewer than 2^31 "
                                "were expected")
        self.origin = ends.tolist()                       # level k is nodes origin[k-1] to origin[k]
        self.word, self.link, self.counts = (numpy.zeros(ends[self.order], numpy.int32) for _ in range(3))
        self.child = numpy.full(ends[self.order - 1] + 1 if self.order > 1 else 1, ends[self.order], numpy.int32)
        self.node, self.above = numpy.empty(n, numpy.int32), numpy.empty(n, numpy.int32)
        self.word.base[:V] = numpy.arange(V)
        self.link.base[:V] = -1
        if self.order == 1:
            flm_ngram_count_words(&self.counts[0], &self.id[0], &self.starts[0], n)
        self.at = 1

    cdef _ends(self):
        """Return how many n-grams of up to 0, 1, ... words there are: (order+1,)."""
        sizes = self.sizes.base.sum(0)
        sizes[:2] = 0, self.vocab_size
        return numpy.cumsum(sizes)

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
                             &self.reach[0], &self.begin[0], self.cut[task], self.cut[task + 1], level, self.order)
        self.done[task] = 1

    def counted(self):
        """Free what only counting needed; return the counts (nodes,) int32, and where each level begins and ends."""
        self._turn("counted", self.node is not None and self.at == self.order and self._shared())
        self.position = self.rank = self.node = self.above = None
        self.shared = self.reach = None
        self.id = self.starts = None
        self.at = 0
        self.logp = numpy.empty(self.word.shape[0], numpy.float32)
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
        with nogil:
            flm_ngram_estimate(&self.logp[0], &self.backoff[0], p, &self.shorter[0], &self.child[0],
                               &self.link[0], &self.counts[0], &discount[0], first, last, here, above)
        self.done[task] = 1

    def tables(self):
        """Return word, link, child, logp, backoff, as NGrams takes them."""
        self._turn("tables", self.logp is not None and self.at == self.order and self._shared())
        return self.word.base, self.link.base, self.child.base, self.logp.base, self.backoff.base


def count_counts(const int32_t[::1] count not None):
    """Return how many of count (n,) are 1, 2, 3 and 4: int64 (5,), of which the first is not used."""
    cdef int64_t[::1] times = numpy.empty(5, numpy.int64)
    with nogil:
        flm_ngram_count_counts(&times[0], &count[0], <size_t> count.shape[0])
    return times.base


cdef class NGrams:
    """A trie of n-grams, checked whole when it is made, unless it was `checked` before, and read only: any number of
    threads may use it.

    word, link (nodes,) int32; child (contexts+1,) int32; logp (nodes,), backoff (contexts,) float32: see csrc/ngram.h.
    ValueError where the tables contradict each other, hold n-grams of more than `order` words or, where they are said
    to be normalized, probabilities that do not sum to one. A state is the number of a context, or -1 where nothing has been read.
    """

    cdef flm_ngrams grams
    cdef object _tables, _falling

    def __init__(self, const int32_t[::1] word not None, const int32_t[::1] link not None,
                 const int32_t[::1] child not None, const float[::1] logp not None, const float[::1] backoff not None,
                 size_t vocab_size, size_t order, bint normalized=True, bint checked=False):
        cdef size_t where = 0, level = 1
        cdef int fault
        cdef int32_t end
        nodes, contexts = word.shape[0], child.shape[0] - 1
        if contexts < 0:
            raise ValueError("child has 0 elements, expected at least 1")
        extent("link", link.shape[0], nodes)
        extent("logp", logp.shape[0], nodes)
        extent("backoff", backoff.shape[0], contexts)
        if not 1 <= order <= FLM_NGRAM_LENGTH:
            raise ValueError(f"order = {order}; 1 to {FLM_NGRAM_LENGTH} words were expected")
        self._tables = (word, link, child, logp, backoff)
        self.grams = flm_ngrams(word=&word[0], link=&link[0], child=&child[0], logp=&logp[0], backoff=&backoff[0],
                                nodes=nodes, contexts=contexts, V=vocab_size, order=order)
        if <size_t> nodes < vocab_size:
            raise ValueError(f"there are {nodes} n-grams, expected at least the {vocab_size} words")
        if checked:
            return
        with nogil:
            fault = flm_ngram_check(&self.grams, normalized, &where)
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
        end = <int32_t> vocab_size
        while end < nodes:
            level += 1
            if level > order:
                raise ValueError(f"there are n-grams of {level} words, expected at most {order}")
            end = child[end] if end < contexts else <int32_t> nodes

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

    def top(self, const int32_t[::1] node not None, size_t k):
        """Return the k likeliest words after each node (N,), likeliest first: ids and log p, (N, min(k, V)) each."""
        cdef size_t N = <size_t> node.shape[0], V = self.grams.V
        cdef int32_t[::1] falling
        k = min(k, V)
        self._are_states(node)
        if self._falling is None:
            self._falling = numpy.argsort(-numpy.asarray(self._tables[3])[:V], kind="stable").astype(numpy.int32)
        falling = self._falling
        cdef int32_t[:, ::1] word = numpy.empty((N, k), numpy.int32)
        cdef float[:, ::1] logp = numpy.empty((N, k), numpy.float32)
        cdef uint32_t[::1] seen = numpy.empty(V, numpy.uint32)
        if N and k:
            with nogil:
                flm_ngram_top(&word[0, 0], &logp[0, 0], &seen[0], &self.grams, &falling[0], &node[0], k, N)
        return word.base, logp.base

    def left_out(self, double[::1] nats not None, float[:, ::1] out, const int32_t[::1] count not None,
                 const double[:, ::1] discount not None, const double[::1] total not None,
                 const double[::1] mass not None, const int32_t[::1] node not None, const int32_t[::1] target not None):
        """Set nats (N,) to -log p of each target as if this occurrence had not been counted, and out (N, V), unless
        None, to log p of every word.

        count (nodes,), discount (order, 4), total and mass (contexts+1,): see flm_ngram_counts. ValueError where a
        target never followed its node.
        """
        cdef size_t N = <size_t> node.shape[0], done
        cdef double[::1] scratch = numpy.empty(2 * self.grams.V)
        cdef float *rows = NULL
        targets(target, node.shape[0], <Py_ssize_t> self.grams.V)
        extent("nats", nats.shape[0], node.shape[0])
        extent("count", count.shape[0], <Py_ssize_t> self.grams.nodes)
        extent("total", total.shape[0], <Py_ssize_t> self.grams.contexts + 1)
        extent("mass", mass.shape[0], total.shape[0])
        shape("discount", discount.shape[0], discount.shape[1], <Py_ssize_t> self.grams.order, 4)
        if out is not None:
            shape("out", out.shape[0], out.shape[1], node.shape[0], <Py_ssize_t> self.grams.V)
            rows = &out[0, 0]
        self._are_states(node)
        cdef flm_ngram_counts counts = flm_ngram_counts(count=&count[0], discount=&discount[0, 0], total=&total[0],
                                                        mass=&mass[0])
        with nogil:
            done = flm_ngram_left_out(&nats[0], rows, &scratch[0], &self.grams, &counts, &node[0], &target[0], N)
        if done < N:
            raise ValueError(f"target {target[done]} of row {done} never followed its context in the text that was "
                             "counted")

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
