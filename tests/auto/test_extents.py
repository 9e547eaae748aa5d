"""How much of a large source is read and counted."""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np

import fastlm
from fastlm import Corpus
from fastlm.auto.extents import extent_of, said, tokens_to_count
from fastlm.auto.policy import Policy
from fastlm.auto.request import Text
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey
from fastlm.text.sources.containers import Items, recognised
from fastlm.text.sources.extent import Extent
from fastlm.training.budget import Clock
from tests.auto.test_blend import Ticking, asked
from tests.auto.test_timetable import Turned


def extent(source: object, budget: float | None = 100.0, **changes) -> tuple[object, Extent]:
    return extent_of(recognised(source), asked(**changes), Timetable(budget, Turned(5.0)))


def test_a_quarter_of_the_budget_is_for_reading() -> None:
    assert extent(["a b"])[1]._left() == 20.0
    for changes in ({"budget": None}, {"model": "kneser-ney"}, {"checkpoint": "file"}):
        assert extent(["a b"], **changes)[1]._left() == inf


def test_no_more_is_read_than_could_be_counted() -> None:
    """2.5 million tokens for each of 100 seconds and each thread, at most 400 million; all where nothing hurries."""
    assert extent(["a b"], threads=1)[1].most_tokens == 2.5e8
    assert extent(["a b"], threads=2)[1].most_tokens == extent(["a b"], None)[1].most_tokens == 4e8


def test_the_size_of_files_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a b")
    (tmp_path / "b").write_text("c")
    for source in (tmp_path, [tmp_path], str(tmp_path), (path for path in [tmp_path / "a", tmp_path / "b"])):
        items, found = extent(source)
        assert found.total == 4 and isinstance(items, Items)
    (tmp_path / "b").unlink()
    items, found = extent(Items(iter([tmp_path / "a", "text of its own"]), False))
    assert found.total is None and list(items.items) == [tmp_path / "a", "text of its own"]


def test_texts_are_not_read_to_find_their_number() -> None:
    def endless():
        while True:
            yield "a b"
    assert extent(endless())[1].total is None


def test_how_much_was_read_in_words() -> None:
    found = Extent()
    assert said(found) == ""
    found.whole, found.read = False, 412_000_000
    assert said(found) == "read 412 MB, not all of the text"
    found.total = 1_040_000_000
    assert said(found) == "read 412 MB of 1.0 GB"


def test_a_text_that_is_too_large_is_read_in_part(tmp_path: Path) -> None:
    """Of 13 MB, 4.8 million tokens, half, of which four MiB are the beginning."""
    path = tmp_path / "text"
    path.write_text("".join(f"the {n // 15_000} sat\n" for n in range(1_200_000)))
    lm = fastlm.train(path, "word", model="kneser-ney", order=2, policy=Policy(most_tokens=2_400_000))
    assert 2_200_000 < lm.card["tokens"] < 2_600_000 and lm.card["read"].endswith(" of 13 MB")
    assert lm.history.ended.endswith("; read " + lm.card["read"])
    assert "read" not in fastlm.train(["the cat sat\n"] * 9, "word", model="kneser-ney").card
    assert len(lm.vocabulary) > 72 + 4   # nearly all of 80 numbers are there: the text comes from all over


def test_the_time_is_enough_for_so_many_tokens() -> None:
    """A second passes while a sample of 100 tokens is counted: half of the time left is enough for 50 a second."""
    corpus = Corpus.from_ids([np.zeros(1000, np.int32)])
    text, policy = Text(corpus, None, None, 1000, 0, 0.1), Policy(
        counting_sample=100, counting_large=5, counting_share=0.5, counting_margin=1.0)

    def count(budget: float | None, clock: Clock | None = None, policy: Policy = policy, **changes) -> int:
        return tokens_to_count(KneserNey(3), text, asked(policy, **changes), Timetable(budget, clock or Ticking()))
    assert count(None) == 1000 == count(1e3)
    assert 350 <= count(11.0) <= 500 and count(0.1) == 100
    assert tokens_to_count(KneserNey(3), text, asked(Policy()), Timetable(1.0, Ticking())) == 1000
    merged = replace(policy, counting_bytes=8e4, merging_share=0.25, merging_margin=1.0)
    assert count(11.0, policy=merged) >= 350           # 80 bytes for each of 1,000 tokens: it is counted at once
    assert 175 <= count(11.0, policy=replace(merged, counting_bytes=7.9e4)) <= 250
