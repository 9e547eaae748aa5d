# Part of _core.pyx: n-grams of a text that is counted in segments, as sorted runs of bytes (csrc/runs.h).

RUN_RECORD = FLM_RUN_RECORD     # bytes of a record, at most


cdef class NGramSegment:
    """The n-grams that begin at the first `most` positions of a part of a text, sorted and written as runs.

    ids (n,) int32: of the part, and, as far as the text goes on, of the order - 1 tokens after it; starts (n,) uint8, 1
    at every document's first token; boundary: the id that ends contexts, or -1; order: words of the longest n-grams, 1
    to 127. cuts (tasks+1,): the first words of the tasks, None: those that share this part out evenly. For every task
    `sort`, then `write` until it is done.
    """

    cdef const int32_t[::1] id
    cdef uint8_t[::1] span, shared, reach
    cdef int32_t[::1] position
    cdef size_t[::1] begin, cut, place
    cdef size_t order, vocab_size, most, tasks
    cdef bytearray sorted               # of every task: whether it is

    def __cinit__(self, const int32_t[::1] ids not None, const uint8_t[::1] starts not None, int boundary, size_t order,
                  size_t vocab_size, size_t most, size_t tasks, size_t[::1] cuts):
        cdef size_t n = <size_t> ids.shape[0]
        extent("starts", starts.shape[0], ids.shape[0])
        if not 1 <= order <= FLM_NGRAM_LENGTH:
            raise ValueError(f"order = {order}; 1 to {FLM_NGRAM_LENGTH} words were expected")
        if not 0 < most <= n < 2**31:
            raise ValueError(f"most = {most} of {n} tokens; 1 to all of fewer than 2^31 were expected")
        if not 1 <= tasks < 2**31:
            raise ValueError(f"tasks = {tasks}, expected at least 1")
        check_ids(ids, vocab_size)
        self.id, self.order, self.vocab_size, self.most, self.tasks = ids, order, vocab_size, most, tasks
        self.sorted = bytearray(tasks)
        self.span, self.position = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.int32)
        self.shared, self.reach = numpy.empty(n, numpy.uint8), numpy.empty(n, numpy.uint8)
        self.begin, self.place = numpy.empty(vocab_size + 1, numpy.uintp), numpy.zeros(2 * tasks, numpy.uintp)
        self.cut = numpy.empty(tasks + 1, numpy.uintp) if cuts is None else cuts
        extent("cuts", self.cut.shape[0], <Py_ssize_t> tasks + 1)
        with nogil:
            flm_ngram_spans(&self.span[0], &ids[0], &starts[0], boundary, order, n)
            flm_ngram_group(&self.position[0], &self.begin[0], &ids[0], n, vocab_size)
        if cuts is None:
            flm_ngram_cuts(&self.cut[0], &self.begin[0], vocab_size, tasks)
        elif cuts[0] != 0 or cuts[tasks] != vocab_size or (numpy.diff(cuts.base.astype(numpy.int64)) < 0).any():
            raise ValueError(f"cuts = {cuts.base.tolist()} do not rise from 0 to {vocab_size}")

    @property
    def cuts(self):
        """The first words of the tasks (tasks+1,)."""
        return self.cut.base

    cdef int _task(self, size_t task) except -1:
        if self.id is None or task >= self.tasks:
            raise ValueError(f"task = {task}, expected less than {self.tasks}")
        return 0

    def sort(self, size_t task):
        """Sort the n-grams of the task's first words."""
        self._task(task)
        cdef size_t first = self.cut[task], last = self.cut[task + 1]
        cdef size_t most = max(1, flm_ngram_largest_group(&self.begin[0], first, last))
        cdef uint64_t[::1] key = numpy.empty(2 * most, numpy.uint64)
        cdef int32_t[::1] spare = numpy.empty(most, numpy.int32)
        with nogil:
            flm_ngram_sort(&self.position[0], NULL, &self.shared[0], &self.reach[0], &key[0], &spare[0], &self.id[0],
                           &self.span[0], &self.begin[0], first, last, most, self.order, self.vocab_size)
        self.place[2 * task] = self.begin[first]
        self.sorted[task] = 1

    def write(self, size_t task, uint8_t[::1] out not None):
        """Write what comes next of the task's n-grams; return the bytes written, and whether these were the last."""
        self._task(task)
        has_room(out)
        if not self.sorted[task]:
            raise ValueError("write was called before sort")
        cdef size_t last = self.begin[self.cut[task + 1]], written
        cdef flm_run_place place = flm_run_place(rank=self.place[2 * task], same=self.place[2 * task + 1])
        with nogil:
            written = flm_run_write(&out[0], <size_t> out.shape[0], &place, &self.id[0], &self.position[0],
                                    &self.shared[0], &self.reach[0], last, self.most)
        self.place[2 * task], self.place[2 * task + 1] = place.rank, place.same
        return written, place.rank >= last


cdef int has_room(uint8_t[::1] out) except -1:
    if out.shape[0] < FLM_RUN_RECORD:
        raise ValueError(f"out has {out.shape[0]} bytes, expected at least {FLM_RUN_RECORD}")
    return 0


cdef class MergedRuns:
    """The merge of `k` runs that `NGramSegment` has written: call `give` for every run, and then `step`, again and again.
    """

    cdef flm_merge merge
    cdef uint8_t[::1] run
    cdef size_t[::1] tree
    cdef list given

    def __cinit__(self, size_t k):
        if not 0 < k < 2**31:
            raise ValueError(f"k = {k}, expected at least 1")
        self.run, self.tree = numpy.zeros(k * sizeof(flm_run), numpy.uint8), numpy.zeros(k, numpy.uintp)
        memset(&self.merge, 0, sizeof(flm_merge))
        self.merge.run, self.merge.tree, self.merge.k = <flm_run *> &self.run[0], &self.tree[0], k
        self.given = [None] * k

    def give(self, size_t number, const uint8_t[::1] data not None, bint whole):
        """Give the bytes of a run that come next: what `left` returned, and at least one record after it, or, where it
        is whole, all that is left."""
        if number >= self.merge.k:
            raise ValueError(f"number = {number}, expected less than {self.merge.k}")
        self.given[number] = data
        cdef flm_run *run = self.merge.run + number
        run.at = run.end = NULL
        if data.shape[0]:
            run.at, run.end = &data[0], &data[0] + data.shape[0]
        run.whole = whole

    def left(self, size_t number):
        """Return how many of the bytes given have not been read."""
        if number >= self.merge.k:
            raise ValueError(f"number = {number}, expected less than {self.merge.k}")
        return self.merge.run[number].end - self.merge.run[number].at

    def step(self, uint8_t[::1] out not None):
        """Merge into out; return the bytes written, and the run that more is needed of: k for none, since all is merged,
        and k + 1 where out is full."""
        cdef size_t written = 0, needed
        has_room(out)
        if None in self.given:
            raise ValueError("step was called before all runs were given")
        with nogil:
            needed = flm_merge_runs(&out[0], <size_t> out.shape[0], &written, &self.merge)
        return written, needed

    def sizes(self, size_t order):
        """Return how many n-grams of 0, 1, ... tokens were merged, how many of them occur once, and of how many that is
        true without their last token: (3, order+1)."""
        out = numpy.zeros((3, order + 1), numpy.int64)
        for j in range(1, min(order, <size_t> FLM_NGRAM_LENGTH) + 1):
            out[:, j] = self.merge.size[j], self.merge.once[j], self.merge.after_once[j]
        return out


cdef class NGramTrie(NGramEstimates):
    """The n-grams of merged runs, one run for each task, numbered, counted and estimated.

    sizes (tasks, order+1): how many n-grams of 0, 1, ... tokens each task has; cuts (tasks+1,): their first words;
    whole, once: which n-grams are kept, see flm_kept. In this order: `grow` for every task until its run is read; for
    every level from 2 on `level`, then `connect` for every task; `again`, and `count_left_out` for every task until its run is read;
    `counted`; and those of `NGramEstimates`.
    """

    cdef uint8_t[::1] run, growing
    cdef size_t[::1] cut
    cdef size_t[:, ::1] sizes
    cdef flm_kept kept

    def __cinit__(self, size_t[:, ::1] sizes not None, size_t[::1] cuts not None, size_t order, size_t whole, bint once,
                  size_t vocab_size):
        cdef size_t tasks = <size_t> sizes.shape[0]
        self._begin(order, vocab_size, tasks)
        shape("sizes", sizes.shape[0], sizes.shape[1], <Py_ssize_t> tasks, <Py_ssize_t> order + 1)
        extent("cuts", cuts.shape[0], <Py_ssize_t> tasks + 1)
        if order < 2:
            raise ValueError(f"order = {order}; at least 2 words were expected")
        self.sizes, self.cut = sizes, cuts
        self.kept = flm_kept(order=order, whole=whole, once=once)
        ends = sizes.base.sum(0)
        ends[:2] = 0, vocab_size
        self._allocate(numpy.cumsum(ends))
        if once:
            self.pruned = numpy.zeros(self.child.shape[0], numpy.int32)
        self.run = numpy.zeros(tasks * sizeof(flm_run), numpy.uint8)
        self.growing = numpy.zeros(tasks * sizeof(flm_growing), numpy.uint8)
        self._rewind()

    cdef int _rewind(self) except -1:
        cdef flm_growing *g
        self.run.base[:] = 0
        for task in range(self.tasks):
            g = <flm_growing *> &self.growing[0] + <size_t> task
            g.word, g.link, g.child, g.count = &self.word[0], &self.link[0], &self.child[0], &self.counts[0]
            g.pruned = NULL if self.pruned is None else &self.pruned[0]
            g.first_word = self.cut[task]
            for level in range(2, self.order + 1):
                g.next[level] = self.origin[level - 1] + int(self.sizes.base[:task, level].sum())
        return 0

    cdef size_t _read(self, size_t task, const uint8_t[::1] data, bint whole, bint again) except? 0:
        """Read records of a task's run; return how many bytes were read."""
        self._task(task)
        self._turn("count_left_out" if again else "grow", self.at == (self.order if again else 0) and not self.done[task])
        cdef flm_run *run = <flm_run *> &self.run[0] + task
        cdef flm_growing *g = <flm_growing *> &self.growing[0] + task
        cdef const uint8_t *begin = &data[0] if data.shape[0] else NULL
        run.at, run.end, run.whole = begin, begin + data.shape[0], whole
        with nogil:
            if again:
                flm_count_left_out(g, run, &self.kept)
            else:
                flm_grow(g, run, &self.kept)
        if run.done:
            if not again:
                flm_grow_to(g, self.cut[task + 1])
            self.done[task] = 1
        return <size_t> (run.at - begin)

    def grow(self, size_t task, const uint8_t[::1] data not None, bint whole):
        """Add the n-grams of records; return how many bytes of data were read, the rest of which comes again."""
        return self._read(task, data, whole, False)

    def level(self, size_t level):
        """Go on to the n-grams of `level` words, to be connected."""
        self._turn("level", self._shared() and level == max(2, self.at + 1) <= self.order)
        self.at, self.done = level, bytearray(self.tasks)

    def connect(self, size_t task, size_t level):
        """Find the suffixes of the n-grams of `level` words, of the task's share of their contexts, and count them."""
        self._task(task)
        self._turn("connect", level == self.at and not self.done[task])
        cdef size_t above = self.origin[level - 2], here = self.origin[level - 1]
        cdef size_t first = above + (here - above) * task // self.tasks
        cdef size_t last = above + (here - above) * (task + 1) // self.tasks
        with nogil:
            flm_link_counted(<flm_growing *> &self.growing[0], first, last, self.vocab_size)
        self.done[task] = 1

    def again(self):
        """Begin to read the runs again."""
        self._turn("again", self.at == self.order and self._shared())
        self.done = bytearray(self.tasks)
        self._rewind()

    def count_left_out(self, size_t task, const uint8_t[::1] data not None, bint whole):
        """Count what n-grams that are left out end in; return how many bytes of data were read."""
        return self._read(task, data, whole, True)

    def counted(self, bint keep):
        """Return the counts (nodes,) int32, which estimating overwrites unless they are kept, and where each level
        begins and ends."""
        self._turn("counted", self.logp is None and self.at == self.order and self._shared())
        return self._counted(keep)
