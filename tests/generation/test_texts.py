"""What is drawn, as text: where it stops, and what ends it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.generation.held import Names, ways
from fastlm.generation.texts import until


def cut(pieces: list[str], *stops: str) -> list[str]:
    return list(until(iter(pieces), stops))


def test_a_text_stops_before_a_string_by_hand() -> None:
    assert cut(["ab", "cd"], "bc") == ["a"]
    assert cut(["ab", "cd"]) == ["ab", "cd"] and cut([]) == cut([], "x") == []
    assert "".join(cut(["a", "b", "a", "b", "c", "d"], "abc")) == "ab"
    assert "".join(cut(["ab"], "abc")) == "ab"                       # what was kept back comes in the end
    assert cut(["stop"], "stop") == [] and cut(["x\ny"], "\n", "y") == ["x"]
    assert "".join(cut(["aaa", "ab"], "aab")) == "aa"


@pytest.mark.parametrize("seed", range(20))
def test_any_pieces_give_the_text_before_the_first_stop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("ab\n"), 60))
    stops = ["".join(rng.choice(list("ab\n"), int(rng.integers(1, 5)))) for _ in range(2)]
    edges = [0, *sorted(rng.integers(0, 61, 12).tolist()), 60]
    pieces = [text[first:last] for first, last in pairwise(edges)]
    at = min((text.find(stop) for stop in stops if stop in text), default=len(text))
    assert "".join(cut(pieces, *stops)) == text[:at]


NAMES = "Berton\nFrodale\nJowick\nBeton\n" * 60


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_a_text_ends_with_its_line_where_lines_are_documents(unit: Any) -> None:
    lm = fastlm.train([NAMES], unit, documents="line", model="kneser-ney")
    for seed in range(5):
        one = "".join(lm.generate(max_tokens=200, temperature=1.0, top_k=0, seed=seed))
        assert one and "\n" not in one
        many = "".join(lm.generate(max_tokens=200, temperature=1.0, top_k=0, seed=seed, documents=0))
        assert many.startswith(one + "\n") and many.count("\n") > 5
        three = "".join(lm.generate(max_tokens=200, temperature=1.0, top_k=0, seed=seed, documents=3))
        assert many.startswith(three + "\n") and three.count("\n") == 2


@pytest.mark.parametrize("unit", ["char", "byte", "piece"])
def test_paragraphs_end_too(unit: Any) -> None:
    lm = fastlm.train(["a b\nc d\n\ne f\ng h\n\n" * 60], unit, documents="blank-line", model="kneser-ney")
    drawn = {"".join(lm.generate(max_tokens=99, temperature=0.3, seed=seed)) for seed in range(30)}
    assert drawn <= {"a b\nc d", "e f\ng h"}


def test_files_do_not_end_a_text() -> None:
    lm = fastlm.train(["a b c\n", "a b\n"] * 30, "char", model="kneser-ney")
    assert "".join(lm.generate(max_tokens=200, seed=1)).count("\n") > 5


@pytest.mark.parametrize("unit", ["word", "char", "piece"])
def test_it_stops_at_a_string(unit: Any) -> None:
    lm = fastlm.train(["the cat sat on the mat . the dog sat on the log .\n" * 40], unit, model="kneser-ney")
    whole = "".join(lm.generate("the", max_tokens=60, seed=3))
    assert "".join(lm.generate("the", max_tokens=60, seed=3, stop=" sat")) == whole[:whole.index(" sat")]
    assert "".join(lm.generate("the", max_tokens=60, seed=3, stop=["zebra"])) == whole
    for stop in ("", ["a", ""], [3]):
        with pytest.raises(ValueError, match="strings of at least one character were expected"):
            lm.generate("the", stop=stop)  # type: ignore[arg-type]


def test_only_allowed_tokens_are_drawn() -> None:
    lm = fastlm.train(["the cat sat on the mat\n" * 40], model="kneser-ney")
    drawn = "".join(lm.generate("the", max_tokens=40, seed=1, allowed={"cat", "mat"})).split()
    assert set(drawn) <= {"cat", "mat"} and len(drawn) == 40
    with pytest.raises(ValueError, match="'zebra' is not among the"):
        lm.generate("the", allowed=["zebra"])


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("documents", ["file", "line"])
def test_a_batch_of_prompts(unit: Any, documents: Any) -> None:
    lm = fastlm.train([NAMES, "Ba be bi\n" * 30], unit, documents=documents, model="lstm", epochs=1, seed=2)
    prompts = ["Ber", "", "J", "Berton\nF"]
    options: dict[str, Any] = {"max_tokens": 12, "temperature": 0}
    assert lm.generate_batch(prompts, **options) == ["".join(lm.generate(prompt, **options)) for prompt in prompts]
    drawn = lm.generate_batch(["B"] * 4, 12, seed=5)
    assert drawn == lm.generate_batch(["B"] * 4, 12, seed=5) and len(set(drawn)) > 1
    assert lm.generate_batch([]) == [] and lm.generate_batch(["B"], max_tokens=0) == [""]
    assert isinstance(lm.generate_batch(["B"], 5, adapt=True, seed=1)[0], str)


def test_repetitions_of_a_trained_model() -> None:
    lm = fastlm.train(["round and round it goes, and round it comes. " * 30], "char", model="kneser-ney")
    loop = "".join(lm.generate("round", max_tokens=300, temperature=0))
    other = "".join(lm.generate("round", max_tokens=300, temperature=0, repetition_penalty=4.0))
    assert loop.count(loop[-25:]) > 5 > other.count(other[-25:])


def test_a_prompt_that_is_whole_is_not_cut_at_the_likeliest_beginning() -> None:
    """After "the" " dog" is as likely as " dogs", but not with "s" behind it."""
    lm = fastlm.train(["the cat sleeps\nthe cats sleep\nthe dog runs\nthe dogs run\n" * 40], "piece",
                      documents="line", model="kneser-ney")
    assert {" dog", " dogs"} <= set(lm.vocabulary.tokens)
    assert "".join(lm.generate("the dogs", 9, temperature=0)) == " run"
    assert lm.generate_batch(["the dogs", "the cat", "the ca"], 9, temperature=0) == [" run", " sleeps", "t sleeps"]
    drawn = {"".join(lm.generate("the do", 1, seed=seed)) for seed in range(20)}
    assert drawn == {"g", "gs"}


def test_ways_to_write_a_text_by_hand() -> None:
    lm = fastlm.train(["ab abc b c\n" * 30], "piece", model="kneser-ney")
    names, state = Names(lm.vocabulary), lm.start()
    found = {way.text: way for way in ways(state, names, b"ab")}
    for way in found.values():
        ids = np.array(way.ids, np.int32)
        given = np.concatenate([np.array([lm.boundary], np.int32), ids[:-1]])
        assert way.nats == pytest.approx(lm.model.score(given, ids).sum(), rel=1e-4)
        assert way.text.startswith(b"ab") and b"".join(names.all[id] for id in way.ids) == way.text
        assert way.after() == lm_after(lm, ids)
    assert [way.ids for way in ways(state, names, b"")] == [()]


def lm_after(lm: fastlm.LanguageModel, ids: np.ndarray) -> Any:
    state = lm.start()
    for id in ids.tolist():
        state.advance(id)
    return state
