# Part of _core.pyx: ARPA text into tables of n-grams, and back (csrc/arpa.h).

cdef dict ARPA_STATUS = {FLM_WORDS_DONE: "done", FLM_WORDS_IDS_FULL: "full", FLM_ARPA_HEADING: "heading",
                         FLM_ARPA_NUMBER: "number", FLM_ARPA_FIELDS: "fields", FLM_ARPA_UNSEEN: "unseen",
                         FLM_ARPA_TWICE: "twice", FLM_ARPA_NUL: "nul"}


cdef class ArpaWords(WordTable):
    """The words of an ARPA file, which its 1-grams teach and by which longer n-grams are read.

    A block (uint8) is of whole lines, each ended by a newline; place, uint64 (2,): where in it the next line begins, and
    the number of that line. tally, uint64 (2,): n-grams read so far, and log-probabilities above 0 among them, taken as
    0. `read_words` and `read_grams` return (status, field): "done" at the end of the block, "heading" before a line that
    begins with a backslash, "full" where the arrays are; or what is wrong with the line at `place`, and the bytes at
    fault: "number", "fields", "unseen", "twice" or "nul".
    """

    def read_words(self, float[::1] logp not None, float[::1] backoff not None, uint64_t[::1] begin not None,
                   float[::1] begin_backoff not None, uint64_t[::1] tally not None, const uint8_t[::1] block not None,
                   uint64_t[::1] place not None):
        """Read 1-grams: logp, backoff (N,) at the ids of their words. "<s>" has no id; begin (1,) becomes its line and
        begin_backoff (1,) its backoff."""
        extent("backoff", backoff.shape[0], logp.shape[0])
        extent("begin", begin.shape[0], 1)
        extent("begin_backoff", begin_backoff.shape[0], 1)
        cdef flm_arpa_block b = self._block(block, place, tally)
        cdef flm_arpa_tally t = flm_arpa_tally(lines=tally[0], positive=tally[1])
        cdef size_t line = begin[0]
        cdef int status
        while True:
            with nogil:
                status = flm_arpa_words(&self.words, &logp[0], &backoff[0], <size_t> logp.shape[0], &line,
                                        &begin_backoff[0], &t, &b)
            if not self._enlarge(status):
                break
        begin[0], tally[0], tally[1] = line, t.lines, t.positive
        return self._stopped(status, &b, place)

    def read_grams(self, int32_t[:, ::1] ids not None, float[::1] logp not None, float[::1] backoff not None,
                   int32_t[::1] line not None, uint8_t[::1] kind not None, uint64_t[::1] tally not None,
                   const uint8_t[::1] block not None, uint64_t[::1] place not None, int32_t line_end, int32_t unknown):
        """Read n-grams: ids (N,k), logp, backoff, line, kind (N,); return (status, field, how many).

        "<s>" is read as line_end; kind: 1 where it stands first, 2 where it stands elsewhere, 4 where line_end stands
        before the last place, added. unknown: the id of "<unk>", -1 where there is none.
        """
        cdef size_t N = <size_t> ids.shape[0], k = <size_t> ids.shape[1], n = 0
        if not 1 < k <= FLM_ARPA_WORDS:
            raise ValueError(f"ids has {k} columns; 2 to {FLM_ARPA_WORDS} were expected")
        for name, size in (("logp", logp.shape[0]), ("backoff", backoff.shape[0]), ("line", line.shape[0]),
                           ("kind", kind.shape[0])):
            extent(name, size, N)
        cdef flm_arpa_block b = self._block(block, place, tally)
        cdef flm_arpa_tally t = flm_arpa_tally(lines=tally[0], positive=tally[1])
        cdef int status
        with nogil:
            status = flm_arpa_grams(&ids[0, 0], &logp[0], &backoff[0], &line[0], &kind[0], N, &n, &t, &b, &self.words,
                                    line_end, unknown, k)
        tally[0], tally[1] = t.lines, t.positive
        return (*self._stopped(status, &b, place), n)

    cdef flm_arpa_block _block(self, const uint8_t[::1] block, uint64_t[::1] place, uint64_t[::1] tally) except *:
        extent("place", place.shape[0], 2)
        extent("tally", tally.shape[0], 2)
        if place[0] > <size_t> block.shape[0]:
            raise ValueError(f"place[0] = {place[0]} is past the {block.shape[0]} bytes of the block")
        return flm_arpa_block(text=&block[0], n=<size_t> block.shape[0], at=place[0], line=place[1], field=0, length=0)

    cdef tuple _stopped(self, int status, flm_arpa_block *b, uint64_t[::1] place):
        place[0], place[1] = b.at, b.line
        return ARPA_STATUS[status], b.text[b.field:b.field + b.length] if b.length else b""


cdef flm_arpa_trie trie(const int32_t[::1] word, const int32_t[::1] child, size_t contexts) except *:
    """Return the tables of a trie that is being built, of which the first nodes have children."""
    if contexts + 1 > <size_t> child.shape[0]:
        raise ValueError(f"child has {child.shape[0]} elements, expected at least {contexts + 1}")
    return flm_arpa_trie(word=&word[0], link=NULL, child=&child[0], logp=NULL, backoff=NULL, contexts=contexts)


def find_ngrams(int32_t[::1] node not None, const int32_t[::1] word not None, const int32_t[::1] child not None,
                const int32_t[:, ::1] ids not None, size_t k, size_t contexts, size_t vocab_size):
    """Set node (N,) to the n-grams of the first k columns of ids (N,K), -1 where one is not there.

    word (nodes,), child: a trie, of which the first `contexts` nodes have their children.
    """
    cdef size_t N = <size_t> ids.shape[0], width = <size_t> ids.shape[1]
    extent("node", node.shape[0], N)
    if not 1 <= k <= width:
        raise ValueError(f"k = {k}, expected 1 to {width}")
    if N == 0:
        return
    cdef flm_arpa_trie g = trie(word, child, contexts)
    cdef size_t bad = kernels.first_bad_id(&ids[0, 0], 0, N * width, vocab_size)
    if bad < N * width:
        raise IndexError(f"ids[{bad // width}] has {ids[bad // width, bad % width]}, which is outside the vocabulary of "
                         f"{vocab_size}")
    with nogil:
        flm_arpa_find(&node[0], &g, &ids[0, 0], width, k, N)


def arrange_ngrams(int32_t[::1] order not None, int32_t[::1] child not None, const int32_t[::1] parent not None,
                   const int32_t[::1] word not None, size_t above, size_t first):
    """Set order (n,) to the n-grams parent, word (n,) sorted by both, and child[above:first + 1] to where they begin.

    Their parents are the nodes from `above` on, they themselves the nodes from `first` on. Returns n, or the second of
    two n-grams that are the same.
    """
    cdef size_t n = <size_t> parent.shape[0], i
    extent("order", order.shape[0], n)
    extent("word", word.shape[0], n)
    if above > first or first >= <size_t> child.shape[0]:
        raise ValueError(f"nodes {above} to {first} are not among the {child.shape[0]} elements of child")
    for i in range(n):
        if parent[i] < 0 or <size_t> parent[i] < above or <size_t> parent[i] >= first:
            raise IndexError(f"parent[{i}] = {parent[i]} is outside [{above}, {first})")
    with nogil:
        i = flm_arpa_arrange(&order[0], &child[0], &parent[0], &word[0], above, first, n)
    return i


def link_ngrams(int32_t[::1] link not None, const int32_t[::1] word not None, const int32_t[::1] child not None,
                size_t above, size_t first):
    """Set link (nodes,) of the children of the nodes [above, first) and return how many n-grams without their oldest
    word are not there; those links are -1."""
    cdef size_t missing
    extent("link", link.shape[0], word.shape[0])
    cdef flm_arpa_trie g = trie(word, child, first)
    g.link = &link[0]
    with nogil:
        missing = flm_arpa_links(&link[0], &g, above, first)
    return missing


def write_arpa(uint8_t[::1] out not None, size_t node, size_t last, const int32_t[::1] word not None,
               const int32_t[::1] child not None, const float[::1] logp not None, const float[::1] backoff not None,
               const uint8_t[::1] name not None, const size_t[::1] offset not None, int32_t begin, int32_t written_as,
               size_t k):
    """Write the lines of the nodes [node, last), all of k words, to out; return (bytes written, first node not written).

    word, child, logp, backoff: tables that `NGrams` takes. Word v is name[offset[v]:offset[v + 1]]; a first word
    `begin` is written as word `written_as`.
    """
    cdef size_t written
    cdef flm_arpa_trie g = trie(word, child, child.shape[0] - 1)
    extent("logp", logp.shape[0], word.shape[0])
    extent("backoff", backoff.shape[0], child.shape[0] - 1)
    if last > <size_t> word.shape[0] or not 1 <= k <= FLM_ARPA_WORDS:
        raise ValueError(f"nodes up to {last} of {k} words were asked for; there are {word.shape[0]}, of up to "
                         f"{FLM_ARPA_WORDS}")
    if not 0 <= written_as < offset.shape[0] - 1:
        raise ValueError(f"written_as = {written_as} is none of the {offset.shape[0] - 1} names")
    g.logp, g.backoff = &logp[0], &backoff[0]
    with nogil:
        written = flm_arpa_write(&out[0], <size_t> out.shape[0], &node, last, &g, &name[0], &offset[0], begin,
                                 written_as, k)
    return written, node
