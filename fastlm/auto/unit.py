"""Which unit suits a text: the decision behind unit="auto"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from fastlm.auto.request import Request
from fastlm.text.corpus import Corpus
from fastlm.text.filling import Opened
from fastlm.text.letters import is_unspaced
from fastlm.text.sources.containers import IdLists, TokenLists
from fastlm.text.sources.documents import Part, read_parts
from fastlm.text.sources.normal_form import normalized

_LOOKED_AT = 1 << 20   # bytes of a text whose words and lines are looked at; an assumption
_SEPARATE_MARK = re.compile(r"(?:^|\s)[.,;:!?](?=\s|$)")
_ATTACHED_MARK = re.compile(r"\w[.,;:!?](?=\s|$)")


@dataclass(frozen=True)
class Look:
    """What is seen of a text: ``characters``, how many it has, or at least has; ``alphabet``, different ones;
    ``words``, between blanks; ``unspaced``: the share of characters of scripts without spaces; ``digits``: the share of
    digits; ``unknown``: the share of words that are ``<unk>``; ``separate``: marks that stand by themselves, for each
    one that ends a word; ``line``: characters of the median line; ``blanks``: blanks of the median line."""

    characters: int
    alphabet: int
    words: int
    unspaced: float
    digits: float
    unknown: float
    separate: float
    line: float
    blanks: float


def look_at(text: str, characters: int) -> Look:
    """Return what is seen of the beginning of a text of so many characters.

    >>> look_at("I am , a <unk> .\\nI am .\\n", 25).separate
    3.0
    """
    words = text.split()
    lines = [line for line in text.split("\n") if line] or [""]
    seen = {character: text.count(character) for character in set(text)}
    total = max(1, len(text))
    return Look(
        characters, len(seen), len(words),
        sum(count for character, count in seen.items() if is_unspaced(character)) / total,
        sum(count for character, count in seen.items() if character.isdigit()) / total,
        words.count("<unk>") / max(1, len(words)),
        len(_SEPARATE_MARK.findall(text)) / max(1, len(_ATTACHED_MARK.findall(text))),
        float(np.median([len(line) for line in lines])), float(np.median([line.count(" ") for line in lines])))


def unit_for(look: Look, budget: float | None, request: Request) -> tuple[str, str]:
    """Return the unit that suits a text, and the reason in words.

    budget: seconds; None for no limit. Evidence: docs/tried.md, "Which unit suits a text".
    """
    policy = request.policy
    spaced = look.unspaced < policy.unspaced_share
    if request.min_count is not None or (request.max_size is not None and request.max_size < policy.fewest_pieces):
        return "word", "a limit of the vocabulary was given that words have"
    if request.max_size is not None:
        return "piece", f"a vocabulary of {request.max_size:,} was asked for"
    if spaced and look.unknown >= policy.unknown_share:
        return "word", f"{look.unknown:.1%} of the words are <unk>"
    if spaced and look.separate >= policy.separate_marks:
        return "word", "marks stand apart from words"
    if spaced and look.words < policy.example_words:
        return "word", f"{look.words:,} words are an example"
    if look.line <= policy.item_line and look.blanks <= policy.item_blanks:
        return "char", "every line is a short item"
    hurried = budget is not None and budget < policy.sampled_corrected_from
    if look.digits >= policy.digits_share and hurried:
        return "char", f"{look.digits:.0%} of the characters are digits"
    enough = policy.pieces_from_hurried if hurried else policy.pieces_from
    # In a hurry networks correct n-grams of so many characters alone as a full softmax has.
    if look.alphabet > (policy.full_softmax_up_to if hurried else policy.small_alphabet):
        enough = policy.pieces_from_large_alphabet
    if look.characters >= enough:
        return "piece", f"{look.characters:,} characters or more, {look.alphabet:,} different"
    if budget is not None and look.characters * policy.character_seconds > budget:
        return "piece", f"{look.characters:,} characters are too many for the time"
    return "char", f"{look.characters:,} characters, {look.alphabet:,} different"


def settled(source: Any, request: Request) -> tuple[Any, Request, str]:
    """Return a source, which is opened, the request with the unit that suits its text, and a sentence that says so.

    Where a unit was asked for, all is returned as it was, with an empty sentence.
    """
    if not isinstance(request.unit, str) or request.unit != "auto":
        return source, request, ""
    if request.plan is not None and request.plan.unit:
        return source, replace(request, unit=request.plan.unit), ""
    if isinstance(source, Corpus | IdLists | TokenLists):
        return source, replace(request, unit="word"), ""
    opened = read_parts(source, request.documents, "char", reading=request.reading.but(normalize="none"))
    head, size = list[Part](), 0
    while size < request.policy.bytes_looked_at and (part := next(opened, None)) is not None:
        head.append(part)
        size += len(part.text)
    beginning = b"".join(part.text for part in head)
    characters = len(beginning) - int((np.frombuffer(beginning, np.uint8) & 0xC0 == 0x80).sum())
    look = look_at(beginning[:_LOOKED_AT].decode("utf-8", "ignore"), characters)
    unit, why = unit_for(look, request.budget, request)
    form = request.reading.form(unit)

    def parts() -> Iterator[Part]:
        for part in chain(head, opened):
            yield part._replace(text=normalized(part.text, form))
    return Opened(parts()), replace(request, unit=unit), f"unit {unit}: {why}"
