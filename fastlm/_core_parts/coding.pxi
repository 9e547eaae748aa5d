# Part of _core.pyx: the white space between words, and the arithmetic coder.


GAP_NONE = FLM_GAP_NONE         # in place of the gap before, where there is none


def gap_code(const uint8_t[::1] text not None):
    """Return the code of a gap (n,) of white space; see csrc/words.h."""
    cdef size_t n = <size_t> text.shape[0]
    return flm_gap_code(&text[0] if n else NULL, n)


def count_words(const uint8_t[::1] text not None, bint inside=False):
    """Return how many words and ends of lines begin in text (n,), and whether its last byte belongs to a word.

    inside: whether the byte before the text belongs to a word.
    """
    cdef uint8_t within = inside
    cdef size_t count, n = <size_t> text.shape[0]
    cdef const uint8_t *first = &text[0] if n else NULL
    with nogil:
        count = flm_count_words(&within, first, n)
    return count, bool(within)


cdef class GapReader:
    """Reads the gaps of documents that lie one after another in a text (csrc/spacing.c).

    ends (D,) uintp: where each document ends, ascending, the last at the end of the text; newline: whether "\\n" is a
    token; ended: whether the last document ends with the text; before: the reader, which has read everything, of the
    text that the first document began in, None where it begins here. The text must stay as it is.
    """

    cdef flm_gaps walk
    cdef const uint8_t[::1] text
    cdef const size_t[::1] ends
    cdef bint newline, ended

    def __cinit__(self, const uint8_t[::1] text not None, const size_t[::1] ends not None, bint newline,
                  bint ended=True, GapReader before=None):
        cdef Py_ssize_t d
        cdef size_t last = 0
        for d in range(ends.shape[0]):
            if ends[d] < last or ends[d] > <size_t> text.shape[0]:
                raise ValueError(f"ends[{d}] = {ends[d]}, expected {last} to {text.shape[0]}")
            last = ends[d]
        self.text, self.ends, self.newline, self.ended = text, ends, newline, ended
        for d in range(6):
            self.walk.before[d] = FLM_GAP_NONE
        if before is not None:
            self.walk = before.walk
            self.walk.at = self.walk.document = 0

    def read(self, uint64_t[::1] gap not None, uint64_t[::1] before not None, uint8_t[::1] kind not None,
             size_t[::1] start not None, size_t[::1] begin not None, size_t[::1] end not None):
        """Write the next gaps, at most as many as the arrays are long, and return how many; fewer at the end.

        For each its code, that of the gap before it of the same sort, its kind, and that it is text[start:begin] and
        its token text[begin:end].
        """
        cdef size_t N = <size_t> gap.shape[0], documents = <size_t> self.ends.shape[0]
        cdef const uint8_t *text = &self.text[0] if self.text.shape[0] else NULL
        extent("before", before.shape[0], gap.shape[0])
        extent("kind", kind.shape[0], gap.shape[0])
        extent("start", start.shape[0], gap.shape[0])
        extent("begin", begin.shape[0], gap.shape[0])
        extent("end", end.shape[0], gap.shape[0])
        if N == 0 or documents == 0:
            return 0
        with nogil:
            N = flm_gaps_read(&self.walk, &gap[0], &before[0], &kind[0], &start[0], &begin[0], &end[0], text,
                              &self.ends[0], self.newline, self.ended, documents, N)
        return N


cdef class RangeEncoder:
    """Writes symbols in about -log2 p bits each (csrc/coder.c): `encode` each, `take` what is written, `finish`."""

    cdef flm_coder coder
    cdef uint8_t[::1] room
    cdef size_t used

    def __cinit__(self):
        flm_coder_start(&self.coder)
        self.room = numpy.empty(256, numpy.uint8)

    cdef uint8_t *_free(self):
        """Return where the next bytes go; there is room for what one symbol may write."""
        cdef size_t least = self.used + self.coder.full + 16
        if least > <size_t> self.room.shape[0]:
            grown = numpy.empty(2 * least, numpy.uint8)
            grown[:self.used] = self.room.base[:self.used]
            self.room = grown
        return &self.room[self.used]

    def encode(self, const float[::1] p not None, size_t symbol):
        """Write a symbol, an index of p (V,), the probabilities of all."""
        cdef size_t V = <size_t> p.shape[0]
        if symbol >= V:
            raise IndexError(f"symbol = {symbol} is outside the {V} symbols")
        cdef uint8_t *out = self._free()
        with nogil:
            self.used += flm_encode(&self.coder, out, &p[0], symbol, V)

    def take(self):
        """Return the bytes written since the last call."""
        cdef bytes taken = self.room.base[:self.used].tobytes()
        self.used = 0
        return taken

    def finish(self):
        """Write what is kept back and return the last bytes; nothing may be encoded after it."""
        self.used += flm_encode_end(&self.coder, self._free())
        return self.take()


cdef class RangeDecoder:
    """Reads what `RangeEncoder` wrote, with the same probabilities. `feed` it while `left` is small."""

    cdef flm_coder coder
    cdef const uint8_t[::1] text

    def __cinit__(self, const uint8_t[::1] text not None):
        cdef size_t n = <size_t> text.shape[0]
        self.text = text
        flm_decode_start(&self.coder, &text[0] if n else NULL, n)

    @property
    def left(self):
        """How many bytes were fed and not read yet; below 0 where more was read than there is."""
        return <Py_ssize_t> self.text.shape[0] - <Py_ssize_t> self.coder.read

    def feed(self, bytes more not None):
        """Append bytes of the coded text; only while `left` is 0 or more."""
        if self.left < 0:
            raise ValueError("more bytes come after the end was read; they are expected before")
        self.text = bytes(self.text[self.coder.read:]) + more
        self.coder.read = 0

    def decode(self, const float[::1] p not None):
        """Return the next symbol, an index of p (V,). Raises ValueError where the text was not written by these p."""
        cdef size_t symbol, V = <size_t> p.shape[0], n = <size_t> self.text.shape[0]
        if V == 0:
            raise ValueError("p has 0 elements, expected at least 1")
        cdef const uint8_t *text = &self.text[0] if n else NULL
        with nogil:
            symbol = flm_decode(&self.coder, text, &p[0], n, V)
        if symbol == V:
            raise ValueError("the coded text does not fit the probabilities")
        return symbol
