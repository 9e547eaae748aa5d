# Part of _core.pyx: choosing the next id, n-grams of ids into rows, and words into ids.


def sample(const float[::1] x not None, double temperature, size_t top_k, double top_p, double u,
           double[::1] scratch_p not None, int32_t[::1] scratch_order not None):
    """Draw an id from softmax(x (V,) / temperature) cut to the top_k likeliest (0: all), then to mass top_p (1: all).

    u in [0, 1) is the draw; temperature 0 takes the largest. scratch_p (V,) float64, scratch_order (V,) int32.
    """
    cdef Py_ssize_t V = x.shape[0]
    cdef int32_t drawn
    if V == 0:
        raise ValueError("x has 0 elements, expected at least 1")
    extent("scratch_p", scratch_p.shape[0], V)
    extent("scratch_order", scratch_order.shape[0], V)
    if not 0.0 <= temperature <= 1e300:
        raise ValueError(f"temperature = {temperature:g} is not a finite number from 0 on")
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p = {top_p:g} is outside (0, 1]")
    if not 0.0 <= u < 1.0:
        raise ValueError(f"u = {u:g} is outside [0, 1)")
    with nogil:
        drawn = flm_sample(&scratch_p[0], &scratch_order[0], &x[0], temperature, top_k, top_p, u, <size_t> V)
    if drawn < 0:
        raise ValueError("x has a NaN or no finite largest element")
    return drawn


def top_k(const float[::1] x not None, size_t k):
    """Return the ids of the k largest of x (V,), largest first, ties to the lower id: int32 (min(k, V),)."""
    cdef int32_t[::1] order = numpy.empty(x.shape[0], dtype=numpy.int32)
    with nogil:
        flm_top_k(&order[0], &x[0], k, <size_t> x.shape[0])
    return order.base[:k].copy()


def hashed_rows(int64_t[:, ::1] row not None, const int64_t[:, ::1] last not None, const int64_t[::1] order not None,
                size_t buckets):
    """Set row (N,K) to k * buckets + a hash of the last order[k] ids, -1 where a document is shorter; last (N,L) as
    last_ids gives it; order (K,) rising from 1 to L."""
    cdef Py_ssize_t N = last.shape[0], L = last.shape[1], K = order.shape[0], k
    cdef int64_t least = 1
    shape("row", row.shape[0], row.shape[1], N, K)
    for k in range(K):
        if order[k] < least or order[k] > L:
            raise ValueError(f"order[{k}] = {order[k]}, expected {least} to {L}")
        least = order[k] + 1
    if buckets == 0:
        raise ValueError("buckets = 0, expected at least 1")
    with nogil:
        kernels.hashed_rows(&row[0, 0], &last[0, 0], &order[0], <size_t> N, <size_t> L, <size_t> K, buckets)


# Words -----------------------------------------------------------------------------------------------------------

cdef enum walk:
    FIND, LEARN, LEARN_SEGMENTS


cdef class WordTable:
    """Words numbered in a hash table (csrc/words.c): `learn` adds the unseen ones, `find` leaves the table as it is.

    blob (uint8) and offsets (int64, V+1): word i is blob[offsets[i]:offsets[i+1]], empty where id i has no word.
    Where the words given have vertical tabs or form feeds in them, these part no words. Raises ValueError where two ids
    have the same word.
    """

    cdef flm_words words
    cdef object _blob, _offset, _slot

    def __cinit__(self, blob, offsets):
        cdef size_t duplicate
        blob, offsets = numpy.array(blob, numpy.uint8), numpy.array(offsets, numpy.int64)
        if not len(offsets) or offsets[0] != 0 or offsets[len(offsets) - 1] != len(blob) or (offsets[1:] < offsets[:len(offsets) - 1]).any():
            raise ValueError(f"offsets do not rise from 0 to the {len(blob)} bytes of the blob")
        self.words.size = len(offsets) - 1
        self.words.tabs_inside = bool(((blob == c'\v') | (blob == c'\f')).any())
        self._store(blob, offsets.astype(numpy.uintp), flm_words_slots(self.words.size))
        with nogil:
            duplicate = flm_words_index(&self.words)
        if duplicate != self.words.size:
            word = blob[offsets[duplicate]:offsets[duplicate + 1]].tobytes().decode("utf-8", "replace")
            raise ValueError(f"the token {word!r} has two ids, the second {duplicate}")

    cdef _store(self, blob, offset, slots):
        """Hand the arrays to C, a fresh slot array where `slots` is not 0; an empty array still needs an address."""
        cdef uint8_t[::1] blob_view
        cdef size_t[::1] offset_view = offset
        cdef uint64_t[::1] slot_view
        if len(blob) == 0:
            blob = numpy.zeros(1, numpy.uint8)
        blob_view = blob
        if slots:
            self._slot = numpy.empty(slots, numpy.uint64)
            slot_view = self._slot
            self.words.slot = &slot_view[0]
            self.words.slots = slots
        self._blob, self._offset = blob, offset
        self.words.blob, self.words.bytes = &blob_view[0], len(blob)
        self.words.offset, self.words.capacity = &offset_view[0], len(offset) - 1

    def __len__(self):
        return self.words.size

    def learn(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None, int newline):
        """Write the ids of the words of text[position:], unseen ones becoming new words; newline: that of "\\n", or -1.

        Returns (position, written): position is len(text) unless ids was too short to hold them all.
        """
        return self._walk(LEARN, text, position, ids, newline)

    def learn_segments(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None):
        """Write ids as `learn` does of the segments of a text, which are all of it; csrc/pieces.h says what they are."""
        return self._walk(LEARN_SEGMENTS, text, position, ids, -1)

    def find(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None, int newline):
        """Write ids as `learn` does, without new words: an unseen word has the id -1. Threads may share a table."""
        return self._walk(FIND, text, position, ids, newline)

    cdef _walk(self, walk kind, const uint8_t[::1] text, size_t position, int32_t[::1] ids, int newline):
        cdef size_t written = 0, n = <size_t> text.shape[0], room = <size_t> ids.shape[0]
        cdef const uint8_t *first = &text[0] if n else NULL
        cdef int32_t *id = &ids[0] if room else NULL
        cdef int status
        if position > n:
            raise ValueError(f"position = {position} is past the {n} bytes of the text")
        while True:
            with nogil:
                if kind == LEARN_SEGMENTS:
                    status = flm_words_learn_segments(&self.words, id, &written, room, first, &position, n)
                elif kind == LEARN:
                    status = flm_words_learn(&self.words, id, &written, room, first, &position, n, newline)
                else:
                    status = flm_words_find(&self.words, id, &written, room, first, &position, n, newline)
            if not self._enlarge(status):
                return position, written

    cdef bint _enlarge(self, int status) except -1:
        """Enlarge what a status says is full; return whether that was a part of the table."""
        if status == FLM_WORDS_WORDS_FULL:
            self._store(self._blob, longer(self._offset), 0)
        elif status == FLM_WORDS_BLOB_FULL:
            self._store(longer(self._blob), self._offset, 0)
        elif status == FLM_WORDS_SLOTS_FULL:
            self._store(self._blob, self._offset, 2 * self.words.slots)
            with nogil:
                flm_words_index(&self.words)
        else:
            return False
        return True

    def add(self, const uint8_t[::1] word not None):
        """Return the id of one word of any bytes, a new id for an unseen word."""
        cdef int32_t id
        cdef int status
        if word.shape[0] == 0:
            raise ValueError("the word is empty")
        while True:
            status = flm_words_add(&self.words, &id, &word[0], <size_t> word.shape[0])
            if not self._enlarge(status):
                return id

    @property
    def nbytes(self):
        """How many bytes of memory the table takes."""
        return self._blob.nbytes + self._offset.nbytes + self._slot.nbytes

    def arrays(self):
        """Return copies of (blob uint8, offsets int64 (V+1)), as the constructor takes them."""
        cdef size_t size = self.words.size
        offsets = self._offset[:size + 1].astype(numpy.int64)
        return self._blob[:offsets[size]].copy(), offsets


cdef longer(array):
    grown = numpy.empty(2 * len(array) + 62, array.dtype)
    if array.dtype == numpy.uintp and len(grown) > 2**31:
        raise OverflowError(f"there are {len(array) - 1} different words; a table holds fewer than {2**31}")
    grown[:len(array)] = array
    return grown
