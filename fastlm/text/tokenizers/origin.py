"""Where the ids of a vocabulary come from whose tokenizer a user brought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fastlm.text.tokens import TOKENIZER

if TYPE_CHECKING:
    from fastlm.text.tokenizers.tokenizer import Tokenizer

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Origin:
    """The tokenizer that a vocabulary was made by.

    own_ids: int32 (V,), the id that the tokenizer itself has for every token, -1 for one that it lacks, as it lacks the
    end of documents. tokenizer: what cuts text, None where pieces do. unknown: the id, in the vocabulary, of what the
    tokenizer cannot write; None for none. cutting: of pieces, the rule by which text is cut into segments.
    """

    own_ids: Array
    tokenizer: Tokenizer | None = None
    unknown: int | None = None
    cutting: str = "fastlm"

    def __post_init__(self) -> None:
        if self.own_ids.dtype != np.int32 or self.own_ids.ndim != 1:
            raise ValueError(f"own_ids is {self.own_ids.dtype} {self.own_ids.shape}; one dimension of int32 was "
                             "expected")
        own = np.sort(self.own_ids[self.own_ids != -1])
        if len(own) and (own[0] < 0 or (own[1:] == own[:-1]).any()):
            raise ValueError("own_ids has an id twice, or one below -1")
        if self.unknown is not None and not 0 <= self.unknown < len(self.own_ids):
            raise ValueError(f"unknown = {self.unknown} is outside the {len(self.own_ids)} ids")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and bool(
            (self.tokenizer, self.unknown, self.cutting) == (other.tokenizer, other.unknown, other.cutting)
            and np.array_equal(self.own_ids, other.own_ids))

    __hash__ = None  # type: ignore[assignment]

    def tensors(self) -> dict[str, Array]:
        """Return the arrays that a model file keeps, by name."""
        out = {"own_ids": self.own_ids, "cutting": np.frombuffer(self.cutting.encode(), np.uint8)}
        if self.unknown is not None:
            out["unknown"] = np.array([self.unknown])
        if self.tokenizer is not None:
            out |= {"tokenizer_kind": np.frombuffer(self.tokenizer.kind.encode(), np.uint8),
                    "tokenizer": np.frombuffer(self.tokenizer.kept, np.uint8)}
        return out

    @classmethod
    def restore(cls, tensors: Mapping[str, Array]) -> Self | None:
        """Return the origin that has these `tensors`, None without any. Raises ValueError for arrays of none."""
        if "own_ids" not in tensors:
            return None
        unknown, tokenizer = tensors.get("unknown"), None
        if unknown is not None and (unknown.dtype != np.int64 or unknown.shape != (1,)):
            raise ValueError(f"unknown is {unknown.dtype} {unknown.shape}; one int64 was expected")
        if "tokenizer" in tensors:
            kept = tensors["tokenizer"]
            if kept.dtype != np.uint8:
                raise ValueError(f"the tokenizer is {kept.dtype}; uint8 was expected")
            from fastlm.text.tokenizers.tokenizer import Tokenizer  # here, since few models have one

            tokenizer = Tokenizer(_name(tensors["tokenizer_kind"]), kept.tobytes())
        return cls(tensors["own_ids"], tokenizer, None if unknown is None else int(unknown[0]),
                   _name(tensors["cutting"]))

    def given(self, tokenizer: Tokenizer, tokens: list[str | None]) -> Origin:
        """Return the same with another tokenizer, once it is checked to have the same tokens at the ids that it names.

        tokens (V,): of the vocabulary. Raises ValueError, naming the first that differs.
        """
        known = tokenizer.package.tokens()
        for own, token in zip(self.own_ids.tolist(), tokens, strict=True):
            if 0 <= own < len(known) and known[own] and known[own] != token:
                raise ValueError(f"this tokenizer has {known[own]!r} for its id {own}; {token!r} was expected, as when "
                                 "the model was trained")
        return Origin(self.own_ids, tokenizer, self.unknown)


def _name(array: Array) -> str:
    """Return the short name that an array of a model file holds."""
    return array[:64].tobytes().decode("ascii", "replace")


def check_origin(origin: Origin | None, unit: str, size: int) -> Origin | None:
    """Return the origin of a vocabulary of `size` ids, once it is checked to fit. Raises ValueError where it does
    not."""
    if (origin is None or origin.tokenizer is None) is (unit == TOKENIZER):
        raise ValueError(f"a tokenizer is {'missing' if unit == TOKENIZER else 'given'} for unit={unit!r}")
    if origin is not None and len(origin.own_ids) != size:
        raise ValueError(f"the tokenizer has {len(origin.own_ids)} ids for {size} tokens; as many were expected")
    return origin
