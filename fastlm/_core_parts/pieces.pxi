# Part of _core.pyx: pieces of words, learnt and applied (csrc/pieces.c).

SEGMENT_BYTES = FLM_SEGMENT   # of the longest segment, which pieces never cross
cdef size_t CACHED_SEGMENTS = 1 << 15   # a power of two; 48 bytes each, so that the cache stays in the processor's


def learn_pieces(const uint8_t[::1] text not None, const int64_t[::1] offset not None, const int64_t[::1] times not None,
                 int64_t least, size_t size):
    """Return (merges int32 (M,3), begin int32 (V-256,), length int32 (V-256,)): pairs of pieces to merge, the first one
    first, as left, right, result; and where in text the bytes of the pieces from 256 on stand.

    text: segments one after another, number s from offset[s] to offset[s+1], occurring times[s] times. V is `size`, or
    less where no pair occurs `least` times.
    """
    cdef size_t S = <size_t> text.shape[0], segments = <size_t> times.shape[0], pieces, most = 2 * size, merges
    cdef size_t slots = power_of_two(2 * S + 2), piece_slots = power_of_two(2 * size)
    cdef flm_pair_counts p
    extent("offset", offset.shape[0], segments + 1)
    if offset[0] != 0 or <size_t> offset[segments] != S or (numpy.diff(offset) < 0).any():
        raise ValueError(f"offset does not rise from 0 to the {S} bytes of the text")
    if S >= 2**31 or size < 256 or least < 1:
        raise ValueError(f"{S} bytes, {size} pieces, at least {least} occurrences; fewer than {2**31} bytes, at least 256 "
                         "pieces and 1 occurrence were expected")
    cdef int32_t[:, ::1] work = numpy.empty((10, S + 1), numpy.int32)
    cdef uint64_t[::1] key = numpy.empty(S + 1, numpy.uint64)
    cdef int64_t[::1] count = numpy.empty(S + 1, numpy.int64)
    cdef uint32_t[::1] slot = numpy.empty(slots, numpy.uint32), piece_slot = numpy.empty(piece_slots, numpy.uint32)
    cdef int32_t[:, ::1] merge = numpy.empty((most, 3), numpy.int32)
    cdef int32_t[::1] begin = numpy.empty(size, numpy.int32), length = numpy.empty(size, numpy.int32)
    cdef const uint8_t *first = &text[0] if S else NULL
    cdef const int64_t *of_segment = &times[0] if segments else NULL
    p.symbol, p.next, p.previous, p.segment, p.after = &work[0, 0], &work[1, 0], &work[2, 0], &work[3, 0], &work[4, 0]
    p.before, p.first, p.last, p.place, p.heap = &work[5, 0], &work[6, 0], &work[7, 0], &work[8, 0], &work[9, 0]
    p.key, p.count, p.slot, p.slots = &key[0], &count[0], &slot[0], slots
    with nogil:
        merges = flm_pieces_learn(&merge[0, 0], &begin[0], &length[0], &pieces, &p, &piece_slot[0], piece_slots, first,
                                  &offset[0], of_segment, least, most, size, segments)
    return merge.base[:merges].copy(), begin.base[256:pieces].copy(), length.base[256:pieces].copy()


cdef class Pieces:
    """Pieces of words by which text is cut: merges (M,3) int32, the first one first, each (left, right, result); byte
    (256,) int32: the piece of every byte; size: the number of pieces; gpt2: whether text is cut into segments as GPT-2
    does, which may be of any length. Raises IndexError for pieces outside the size.
    """

    cdef flm_pieces pieces
    cdef object _merge, _byte, _slot

    def __cinit__(self, merge, byte, size_t size, bint gpt2=False):
        cdef int32_t[:, ::1] merge_view
        cdef int32_t[::1] byte_view
        cdef uint32_t[::1] slot_view
        merge, byte = numpy.ascontiguousarray(merge, numpy.int32).reshape(-1, 3), numpy.array(byte, numpy.int32)
        extent("byte", len(byte), 256)
        for name, ids in (("merge", merge), ("byte", byte)):
            if ids.size and not (0 <= ids.min() and ids.max() < <int64_t> size):
                raise IndexError(f"{name} has pieces from {ids.min()} to {ids.max()}; 0 to {size - 1} were expected")
        self.pieces.merges, self.pieces.gpt2 = len(merge), gpt2
        self.pieces.slots = power_of_two(2 * len(merge) + 2)
        merge = merge if len(merge) else numpy.zeros((1, 3), numpy.int32)
        self._merge, self._byte, self._slot = merge, byte, numpy.empty(self.pieces.slots, numpy.uint32)
        merge_view, byte_view, slot_view = self._merge, self._byte, self._slot
        self.pieces.merge, self.pieces.byte, self.pieces.slot = &merge_view[0, 0], &byte_view[0], &slot_view[0]
        with nogil:
            flm_pieces_index(&slot_view[0], &self.pieces)

    def cache(self):
        """Return an empty cache for `encode`, one for each thread."""
        return numpy.zeros(CACHED_SEGMENTS * sizeof(flm_segment_cached) // 8, numpy.uint64)

    def encode(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None,
               uint64_t[::1] cache not None):
        """Write the pieces of text[position:] and return (position, written, wanted): position is len(text), wanted 0,
        unless ids has no room for SEGMENT_BYTES more or for a longer segment; then wanted is how much room it needs."""
        cdef size_t written = 0, n = <size_t> text.shape[0], room = <size_t> ids.shape[0], wanted
        cdef const uint8_t *first = &text[0] if n else NULL
        cdef flm_long_segment scratch
        cdef int32_t[:, ::1] places
        cdef uint64_t[::1] heap
        if position > n:
            raise ValueError(f"position = {position} is past the {n} bytes of the text")
        extent("cache", cache.shape[0], CACHED_SEGMENTS * sizeof(flm_segment_cached) // 8)
        if room < SEGMENT_BYTES:
            return position, 0, SEGMENT_BYTES
        scratch.room = 0
        while True:
            with nogil:
                wanted = flm_pieces_encode(&ids[0], &written, room, <flm_segment_cached *> &cache[0], CACHED_SEGMENTS,
                                           &scratch, &self.pieces, first, &position, n)
            if not wanted or room - written < wanted or scratch.room >= wanted:
                return position, written, wanted
            if wanted >= 2**31:
                raise ValueError(f"a segment of the text has {wanted} bytes; fewer than {2**31} were expected")
            places = numpy.empty((3, wanted), numpy.int32)
            heap = numpy.empty(3 * wanted, numpy.uint64)
            scratch.room, scratch.heap = wanted, &heap[0]
            scratch.piece, scratch.next, scratch.previous = &places[0, 0], &places[1, 0], &places[2, 0]

    def encode_segments(self, const uint8_t[::1] text not None, const int64_t[::1] offset not None,
                        int32_t[::1] ids not None, int64_t[::1] begin not None):
        """Set ids[begin[s]:begin[s+1]] to the pieces of segment s, text[offset[s]:offset[s+1]]; begin (S+1,).

        ids: as long as the text at least. Raises ValueError for a segment of more than SEGMENT_BYTES.
        """
        cdef Py_ssize_t segments = offset.shape[0] - 1, s
        cdef const uint8_t *first = &text[0] if text.shape[0] else NULL
        extent("begin", begin.shape[0], segments + 1)
        if ids.shape[0] < text.shape[0] or ids.shape[0] == 0:
            raise ValueError(f"ids has room for {ids.shape[0]}, expected at least 1 and the {text.shape[0]} bytes of the text")
        for s in range(segments):
            if not 0 <= offset[s] <= offset[s + 1] <= text.shape[0] or offset[s + 1] - offset[s] > SEGMENT_BYTES:
                raise ValueError(f"segment {s} is text[{offset[s]}:{offset[s + 1]}], expected at most {SEGMENT_BYTES} of "
                                 f"its {text.shape[0]} bytes")
        with nogil:
            flm_pieces_encode_segments(&ids[0], &begin[0], &self.pieces, first, &offset[0], <size_t> segments)


cdef size_t power_of_two(size_t least):
    """Return the least power of two from `least` on."""
    cdef size_t power = 2
    while power < least:
        power *= 2
    return power
