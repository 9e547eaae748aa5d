"""Pieces of words (unit "piece"): learnt from a text by merging frequent pairs, and how text is cut into them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from fastlm import _core
from fastlm.text.scan import IdBuffer, Scanner
from fastlm.text.sources.reading import check_choice
from fastlm.text.stored import id_array, parts, released

Array = np.ndarray
CUTTINGS = ("fastlm", "gpt2")   # rules by which text is cut into segments: see csrc/pieces.h
_ROOM = 1 << 16   # ids that a scanner asks for at a time, many times the longest segment


@dataclass(frozen=True)
class PieceSettings:
    """The numbers by which pieces are learnt; `Policy` gives their reasons.

    ``bytes_for_each``: bytes of text for each piece; ``fewest``, ``most``: pieces, whatever the size of the text;
    ``least_pairs``: how often a pair must occur to be merged; ``learnt_bytes``: of different segments, the most
    frequent first, that are learnt from.
    """

    bytes_for_each: int = 500
    fewest: int = 512
    most: int = 16384
    least_pairs: int = 2
    learnt_bytes: int = 4_000_000

    def size(self, text_bytes: int) -> int:
        """Return how many pieces a text of so many bytes gets: a power of two.

        >>> [PieceSettings().size(size) for size in (1000, 1_000_000, 2_000_000, 10**9)]
        [512, 2048, 4096, 16384]
        """
        wanted = min(max(text_bytes / self.bytes_for_each, self.fewest), self.most)
        return int(2 ** round(np.log2(wanted)))


@dataclass(frozen=True, eq=False)
class LearntPieces:
    """What was learnt from a text: ``names``, the bytes of every piece; ``merges`` (M, 3) int32, the first one first,
    each as left, right and result; ``counts`` (V,) int64, occurrences in the text. Pieces are in the order of their
    counts, the most frequent first, ties in the order of their bytes."""

    names: list[bytes]
    merges: Array
    counts: Array


def learn(blob: Array, offsets: Array, times: Array, size: int, settings: PieceSettings) -> LearntPieces:
    """Learn pieces of a text from its different segments.

    blob (uint8), offsets (S+1,): the segments, as `WordTable.arrays` returns them; times (S,) int64: how often each
    occurs. size: how many pieces, 256 at least; fewer where too few pairs occur `settings.least_pairs` times. Byte-pair
    encoding (Sennrich et al. 2016), from single bytes on. Raises ValueError for a size below 256.
    """
    if size < 256:
        raise ValueError(f"{size} pieces were asked for; at least 256, one for each byte, were expected")
    chosen = np.argsort(-times, kind="stable")
    lengths = np.diff(offsets)
    chosen = np.sort(chosen[np.cumsum(lengths[chosen]) <= settings.learnt_bytes])
    kept = np.zeros(len(times), bool)
    kept[chosen] = True
    text = blob[np.repeat(kept, lengths)]
    merges, begin, length = _core.learn_pieces(text, np.concatenate([[0], np.cumsum(lengths[chosen])]),
                                               times[chosen].astype(np.int64), settings.least_pairs, size)
    _, first = np.unique(merges[:, :2], axis=0, return_index=True)   # of equal pairs only the first is ever merged
    merges, raw = merges[np.sort(first)], text.tobytes()
    names = [bytes([value]) for value in range(256)]
    names += [raw[a:a + n] for a, n in zip(begin.tolist(), length.tolist(), strict=True)]
    flat, ends = cut_segments(_core.Pieces(merges, np.arange(256), len(names)), blob, offsets)
    counts = np.zeros(len(names), np.int64)
    np.add.at(counts, flat, np.repeat(times, np.diff(ends)))
    by_bytes = np.array(sorted(range(len(names)), key=names.__getitem__))
    order = by_bytes[np.argsort(-counts[by_bytes], kind="stable")]
    new = np.empty(len(names), np.int32)
    new[order] = np.arange(len(names))
    return LearntPieces([names[n] for n in order], new[merges], counts[order])


def encoder(names: list[bytes], merges: Array, cutting: str = "fastlm") -> _core.Pieces:
    """Return the kernel that cuts text into pieces, by the bytes of every piece and the merges; cutting: into which
    segments before that, one of `CUTTINGS`.

    Raises ValueError where a byte has no piece, or a merge does not join the bytes of its two pieces.
    """
    ids = {name: id for id, name in enumerate(names) if name}
    missing = [value for value in range(256) if bytes([value]) not in ids]
    if missing:
        raise ValueError(f"the byte 0x{missing[0]:02X} is no piece; every byte was expected to be one")
    check_choice("cutting", cutting, CUTTINGS)
    out = _core.Pieces(merges, np.array([ids[bytes([value])] for value in range(256)]), len(names), cutting == "gpt2")
    for row, (left, right, result) in enumerate(merges.tolist()):
        if names[left] + names[right] != names[result]:
            raise ValueError(f"merges[{row}] makes {names[result]!r} of {names[left]!r} and {names[right]!r}; their "
                             "bytes joined were expected")
    return out


def cut_segments(pieces: _core.Pieces, blob: Array, offsets: Array) -> tuple[Array, Array]:
    """Return the pieces of segments as (ids (n,) int32, begin (S+1,) int64): those of segment s are
    begin[s]:begin[s+1].

    blob, offsets: the segments, as `WordTable.arrays` returns them.
    """
    flat, begin = np.empty(len(blob) + _core.SEGMENT_BYTES, np.int32), np.zeros(len(offsets), np.int64)
    pieces.encode_segments(blob, offsets, flat, begin)
    return flat[: begin[-1]].copy(), begin


def expand_segments(flat: Array, begin: Array, segments: Array, offsets: Array) -> tuple[Array, Array]:
    """Return a text of segments as ids of pieces (N,) int32, and the offsets (D+1,) int64 of its documents in these.

    flat, begin: the pieces of every segment, of `cut_segments`. segments (n,) int32: the text; offsets (D+1,): where
    its documents begin in it.
    """
    length = np.diff(begin).astype(np.int32)
    ids = id_array(sum(int(length[of_part].sum(dtype=np.int64)) for _, of_part in parts(segments, _ROOM)))
    written, out = 0, np.zeros(len(offsets), np.int64)
    for first, of_part in parts(segments, _ROOM):
        ends = np.concatenate([[0], np.cumsum(length[of_part], dtype=np.int64)])
        a, b = np.searchsorted(offsets, [first + 1, first + len(of_part) + 1])
        out[a:b] = written + ends[offsets[a:b] - first]
        places = np.repeat(begin[of_part] - ends[:-1], length[of_part]) + np.arange(ends[-1])
        np.take(flat, places, out=ids[written: written + int(ends[-1])])
        written += int(ends[-1])
        released(ids)
    return ids, out


def piece_scanner(pieces: _core.Pieces) -> Scanner:
    """Return a scanner of pieces; threads may share it."""
    local = threading.local()

    def scan(text: bytes, buffer: IdBuffer) -> None:
        if not hasattr(local, "cache"):
            local.cache = pieces.cache()
        position, wanted = 0, _core.SEGMENT_BYTES
        while position < len(text):
            position, written, wanted = pieces.encode(text, position, buffer.room(wanted), local.cache)
            buffer.size += written

    return scan


def segment_scanner(table: _core.WordTable) -> Scanner:
    """Return a scanner that numbers the segments of a text in the order of their first use, adding them to the
    table."""
    def scan(text: bytes, buffer: IdBuffer) -> None:
        position = 0
        while position < len(text):
            position, written = table.learn_segments(text, position, buffer.room())
            buffer.size += written

    return scan
