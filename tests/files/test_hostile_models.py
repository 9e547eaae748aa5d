"""Model files that were made to do harm: refused in little memory and bounded work, without ending the process.

Their digests are right and their tensors sound: only what the configuration asks for, or how tables hang together, is
not. Memory is what NumPy and Python allocate, written to or not.
"""

import copy
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm import models
from fastlm.files import modelfile
from fastlm.files.modelfile import ModelFileError
from fastlm.models import initial
from fastlm.models.base import PrefixModel
from tests.cases import ALL_MODELS, model_of

V = 7
WORDS = ["the", "cat", "sat", "on", "\n", "mat", "<unk>"]
ALLOWED = 80 << 20      # bytes that a file of some kilobytes may take, NumPy's temporary arrays among them


def saved(model: PrefixModel, path: Path) -> Path:
    fastlm.LanguageModel(fastlm.Vocabulary(WORDS), model).save(path)
    return path


def forged(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], Any]) -> int:
    """Changes the configuration and the tensors of a file, or gives it another configuration; returns its size."""
    tensors, metadata = modelfile.load(path)
    config = json.loads(metadata["config"])
    other = change(config, tensors)
    metadata["config"] = json.dumps(config if other is None else other)
    modelfile.save(path, tensors, metadata)
    return path.stat().st_size


def refusal(path: Path, allowed: int = ALLOWED) -> str:
    """What `load` says, without the path; the memory it took is checked. "" where it loads."""
    tracemalloc.start()
    try:
        fastlm.load(path)
        message = ""
    except ModelFileError as error:
        message = str(error).removeprefix(f"{path} is damaged: ")
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < allowed + 3 * path.stat().st_size, f"{peak:,} bytes"
    assert "\n" not in message and len(message) < 600
    return message


def numbers_of(config: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the whole numbers of a configuration stand, those of its parts and lists included."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, dict | list):
            yield from numbers_of(value, (*at, key))
        elif isinstance(value, int) and not isinstance(value, bool) and key != "vocab_size":
            yield (*at, key)


def put(config: Any, at: tuple[Any, ...], value: Any) -> None:
    for key in at[:-1]:
        config = config[key]
    config[at[-1]] = value


# No number, alone or with others, makes a small file take much memory


@pytest.mark.parametrize("name", [name for name in ALL_MODELS if name != "a user's own"])
def test_no_number_takes_much_memory(name: str, tmp_path) -> None:
    path = saved(model_of(name, V), tmp_path / "it.fastlm")
    whole = path.read_bytes()
    tensors, metadata = modelfile.load(path)
    config = json.loads(metadata["config"])
    places = list(numbers_of(config))
    assert places
    for value in (0, 10**6, 2**63):
        for chosen in [[place] for place in places] + [places]:
            other = copy.deepcopy(config)
            for place in chosen:
                put(other, place, value)
            modelfile.save(path, tensors, metadata | {"config": json.dumps(other)})
            refusal(path)
    path.write_bytes(whole)
    assert refusal(path) == ""


def lengthened(option: list[Any], filler: Any, count: int) -> list[Any]:
    return [*option, *([filler] * count)]


BOMBS = {
    "hidden and width": (
        lambda: models.LSTM(V, hidden=3), lambda c, t: c.update(hidden=8000, width=8000),
        "an array of shape (8000, 32000) would take 1,024,000,000 bytes; at most "),
    "hidden beside a width of one": (
        lambda: models.LSTM(V, hidden=3, width=1), lambda c, t: c.update(hidden=10**9),
        "an array of shape (1, 4000000000) would take 16,000,000,000 bytes; at most "),
    "layers": (
        lambda: models.GRU(V, hidden=1), lambda c, t: c.update(layers=10**9),
        "parameter "),
    "max_length": (
        lambda: models.PositionalOneHot(V, max_length=2), lambda c, t: c.update(max_length=10**8),
        "an array of shape (700000000, 7) would take 19,600,000,000 bytes; at most "),
    "rates": (
        lambda: models.DecayedBag(V, width=2, hidden=2),
        lambda c, t: c.update(width=100_000, rates=[0.5] * 20_000, hidden=1),
        "an array of shape (2000000000, 1) would take 8,000,000,000 bytes; at most "),
    "context of no width": (
        lambda: models.FeedForward(V, context=2, width=2, hidden=2), lambda c, t: c.update(context=10**9, width=0),
        "width = 0; a whole number of at least 1 was expected"),
    "heads": (
        lambda: models.Transformer(V, width=4, heads=2), lambda c, t: c.update(width=10**9, heads=10**9),
        "an array of shape (7, 1000000000) would take 28,000,000,000 bytes; at most "),
    "what looks back": (
        lambda: models.LSTM(V, hidden=3, lookback={"width": 2}), lambda c, t: c["lookback"].update(width=10**8),
        "an array of shape (3, 300000000) would take 3,600,000,000 bytes; at most "),
    "orders": (
        lambda: models.LSTM(V, hidden=3, ngrams={"orders": [1, 2], "buckets": 3, "width": 1}),
        lambda c, t: c["ngrams"].update(orders=[1, 2 * 10**8]),
        "orders = [1, 200000000]; n-grams of at most 1024 tokens were expected"),
    "buckets": (
        lambda: models.LSTM(V, hidden=3, ngrams={"orders": [1, 2], "buckets": 3, "width": 1}),
        lambda c, t: c["ngrams"].update(buckets=10**6, width=100),
        "an array of shape (2000000, 100) would take 800,000,000 bytes; at most "),
    "clusters": (
        lambda: models.LSTM(V, hidden=3, output={"name": "adaptive", "cutoffs": [2, 4]}),
        lambda c, t: c["output"].update(cutoffs=[2**40, 2**50]), "cutoffs = [1099511627776, 1125899906842624]; "),
    "parts": (
        lambda: models.Mixture(V, [models.KneserNey(V, order=2)]),
        lambda c, t: c.update(parts=[{"name": "KneserNey", "vocab_size": V}] * 20_000),
        "one more KneserNey would take "),
    "parts of another vocabulary": (
        lambda: models.Mixture(V, [models.KneserNey(V, order=2)]),
        lambda c, t: c.update(parts=[{"name": "KneserNey", "vocab_size": 10**9}]),
        "the tables of 1000000000 single tokens would take 12,000,000,000 bytes; at most "),
    "factors of another vocabulary": (
        lambda: models.Mixture(V, [models.KneserNey(V, order=2)]),
        lambda c, t: c.update(parts=[{"name": "Factored", "vocab_size": 10**9, "factors": [1]}]),
        "the tables of 1000000000 single tokens would take 8,000,000,000 bytes; at most "),
    "caches": (
        lambda: models.CacheModel(V, models.KneserNey(V, order=2)),
        lambda c, t: {"name": "Mixture", "vocab_size": V, "parts": [c | {"window": 1 << 20}] * 500},
        "a cache of 1048576 tokens would take 16,777,216 bytes; at most "),
    "what corrects n-grams": (
        lambda: models.Mixture(V, [models.KneserNey(V, order=2), models.LSTM(V, hidden=3)], residual=True),
        lambda c, t: c["parts"][1].update(hidden=10**5, width=1),
        "an array of shape (100000, 400000) would take 160,000,000,000 bytes; at most "),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_what_would_take_gigabytes_is_refused(name: str, tmp_path) -> None:
    make, change, message = BOMBS[name]
    path = saved(make(), tmp_path / "it.fastlm")
    assert refusal(path) == ""
    assert forged(path, change) < 1_200_000
    assert refusal(path).startswith(message)


def test_what_corrects_n_grams_is_limited_by_itself() -> None:
    """Where the output layer is far smaller than a matrix of the row's width and the vocabulary."""
    size = 20_000
    parts = [{"name": "KneserNey", "vocab_size": size, "order": 1},
             {"name": "LSTM", "vocab_size": size, "hidden": 1000, "width": 1,
              "output": {"name": "adaptive", "cutoffs": [2], "widths": [1]}}]
    with initial.limited({}), pytest.raises(ValueError) as caught:
        models.Mixture(size, parts, residual=True)
    assert str(caught.value).startswith("an array of shape (1000, 20000) would take 80,000,000 bytes; at most ")


def nested(levels: int) -> dict[str, Any]:
    config: dict[str, Any] = {"name": "KneserNey", "vocab_size": V, "order": 2}
    for _ in range(levels):
        config = {"name": "Mixture", "vocab_size": V, "parts": [config]}
    return config


@pytest.mark.parametrize("config, message", [
    (nested(300), "its configuration is nested 601 deep; 32 at most was expected"),
    ("x" * 10_000_000, f"its configuration is {'x' * 400}"),
    ({"name": "x" * 10_000_000, "vocab_size": V}, f"model '{'x' * 400}"),
    ({"name": ["LSTM"], "vocab_size": V}, "unhashable type: 'list'"),
    ({"name": "Mixture", "vocab_size": V, "parts": ["x"]}, ""),
    ({"name": "Adaptive", "vocab_size": V, "model": 3}, ""),
])
def test_configurations_of_another_form(config, message: str, tmp_path) -> None:
    path = saved(models.LSTM(V, hidden=3), tmp_path / "it.fastlm")
    forged(path, lambda c, t: config)
    found = refusal(path)
    assert found and found.startswith(message)


def test_brackets_without_end(tmp_path) -> None:
    path = saved(models.LSTM(V, hidden=3), tmp_path / "it.fastlm")
    tensors, metadata = modelfile.load(path)
    modelfile.save(path, tensors, metadata | {"config": "[" * 200_000})
    assert "recursion" in refusal(path)
    modelfile.save(path, tensors, metadata | {"card": "[1]"})
    assert refusal(path) == "its card is [1]; a dictionary was expected"


class Refuses(PrefixModel):
    """A user's own class, whose constructor raises what the option names."""

    def __init__(self, vocab_size: int, error: str = "") -> None:
        super().__init__(vocab_size, error=error)
        if error:
            raise {"memory": MemoryError, "index": IndexError, "zero": ZeroDivisionError, "none": AttributeError,
                   "deep": RecursionError, "type": TypeError}[error]("so it is said")


@pytest.mark.parametrize("error", ["memory", "index", "zero", "none", "deep", "type"])
def test_whatever_a_users_own_class_raises_is_a_sentence(error: str, tmp_path) -> None:
    path = saved(Refuses(V), tmp_path / "it.fastlm")
    forged(path, lambda c, t: c.update(error=error))
    assert refusal(path).endswith("so it is said")
    forged(path, lambda c, t: c.update(error="unknown"))
    assert refusal(path) == "'unknown'"


def test_a_cache_beside_the_model(tmp_path) -> None:
    path = tmp_path / "it.fastlm"
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), models.KneserNey(V, order=2))
    lm.adaptive = models.CacheModel(V, lm.model)
    lm.save(path)
    tensors, metadata = modelfile.load(path)
    for choices in ({"highest": 10**9}, {"lowest": -10**9}, {"window": 10**12}, {"memory": 0.0}, {"memory": "x"}):
        changed = json.loads(metadata["adaptive"]) | choices
        modelfile.save(path, tensors, metadata | {"adaptive": json.dumps(changed)})
        assert refusal(path)


def test_offsets_of_tokens_that_wrap_around(tmp_path) -> None:
    """Differences of 64-bit numbers as far apart as these look positive."""
    path = saved(models.LSTM(V, hidden=3), tmp_path / "it.fastlm")
    tensors, metadata = modelfile.load(path)
    offsets = tensors["vocabulary/offsets"].copy()
    offsets[1:4] = [2**63 - 1, -2**63, -1]
    modelfile.save(path, tensors | {"vocabulary/offsets": offsets}, metadata)
    assert refusal(path).startswith("offsets do not rise from 0 to the ")


# A sound file is mapped; what the model reserves before, and never touches, is the size of its weights in float32


@pytest.mark.parametrize("make", [
    lambda: models.LSTM(V, hidden=700), lambda: models.Transformer(V, width=400, heads=4),
    lambda: models.SRU(V, hidden=500), lambda: models.PositionalOneHot(V, max_length=60_000),
    lambda: models.FeedForward(V, context=2, width=30, hidden=40,
                               ngrams={"orders": [1, 2], "buckets": 1 << 16, "width": 16}),
], ids=["LSTM", "Transformer", "SRU", "PositionalOneHot", "FeedForward"])
def test_loading_takes_twice_the_file_at_most(make, tmp_path) -> None:
    path = saved(make(), tmp_path / "it.fastlm")
    size = path.stat().st_size
    assert size > 4_000_000      # zeros take two bytes each
    tracemalloc.start()
    try:
        lm = fastlm.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2.2 * size
    finally:
        tracemalloc.stop()
    assert lm.model.tensors().keys() == make().tensors().keys()


# Tables of n-grams that hang together in a way no text gives


def run(program: str, *arguments: object) -> str:
    """What a program prints that has a minute and a thousand megabytes beside what it begins with."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
    return done.stdout.strip()


TABLES = """
import sys
import numpy as np
from fastlm.batch import Batch
from fastlm.models import Factored

def tables(V, link, key, word=(), logp=()):
    n = len(link)
    return {"word": np.append(np.arange(V), word).astype(np.int32),
            "logp": np.append(np.full(V, -np.log(V)), logp).astype(np.float32), "link": np.asarray(link, np.int32),
            "child": np.append(V + np.arange(n) * bool(len(word)), V + len(word)).astype(np.int32),
            "backoff": np.zeros(n, np.float32), "key": np.asarray(key, np.int64)}

def restore(factors, V, *given, **more):
    model = Factored(V, factors)
    try:
        model.restore(tables(V, *given, **more))
    except ValueError as error:
        print(error)
    return model
n = int(sys.argv[1])
"""


def test_a_chain_of_links_is_no_recursion() -> None:
    """Each context linked to the one before: as deep as there are contexts."""
    program = TABLES + """
model = restore([1], 3, np.arange(-1, n - 1), 2 * np.arange(n) + 1)
model.ngrams.log_probabilities(np.empty((1, 3), np.float32), np.array([-1], np.int32))
"""
    assert run(program, 400_000) == "its links are not those of n-grams, at 1"


@pytest.mark.parametrize("link, fault", [
    ([-1, -1, 0, 1, 0], None), ([-1, -1, 0, 1, 2], None), ([-1, 0, 1, 2], 3), ([-1, 0, -1], 2), ([-1, 0, 1, 0], 3),
    ([0], 0), ([-1, 1], 1), ([-2], 0), ([-1, -1, 0, 1, 5], 4),
])
def test_contexts_stand_level_by_level(link: list[int], fault: int | None) -> None:
    """Of three factors: three levels, each linked to the one before."""
    model, n = models.Factored(3, [1, 2, 3]), len(link)
    tables = {"word": np.arange(3, dtype=np.int32), "logp": np.full(3, -np.log(3), np.float32),
              "link": np.array(link, np.int32), "child": np.full(n + 1, 3, np.int32),
              "backoff": np.zeros(n, np.float32), "key": np.arange(n)}
    if fault is None:
        model.restore(tables)
        assert model.ngrams.contexts == n
    else:
        with pytest.raises(ValueError, match=f"^its links are not those of n-grams, at {fault}$"):
            model.restore(tables)


def test_the_longest_chain_is_followed_to_its_end() -> None:
    """127 levels of one context each, which add a hundredth of a nat and know one word of 200 more than the last."""
    size, levels = 200, 127
    words = np.arange(1, levels + 1, dtype=np.int32)
    logp, backoff, total = [], [], 1.0
    left = np.full(size, 1 / size)
    for word in words:                    # the word gets a half of what is left to it and others, who share the rest
        p = left[word] * 0.5
        factor = (1 - p) / (1 - left[word])
        left = left * factor
        left[word] = p
        logp.append(np.log(p))
        backoff.append(np.log(factor))
        total = left.sum()
    assert total == pytest.approx(1)
    model = models.Factored(size, list(range(1, levels + 1)))
    model.restore({"word": np.append(np.arange(size, dtype=np.int32), words),
                   "logp": np.append(np.full(size, -np.log(size)), logp).astype(np.float32),
                   "link": np.arange(-1, levels - 1, dtype=np.int32),
                   "child": np.arange(size, size + levels + 1, dtype=np.int32),
                   "backoff": np.array(backoff, np.float32), "key": np.arange(levels)})
    out = np.empty((1, size), np.float32)
    model.ngrams.log_probabilities(out, np.array([levels - 1], np.int32))
    np.testing.assert_allclose(np.exp(out[0]), left, rtol=2e-5)


def test_keys_that_do_not_rise_are_refused() -> None:
    found = run(TABLES + "restore([1], 3, np.full(n, -1), np.arange(n)[::-1].copy())", 1 << 19)
    assert found == "its keys are not those of n-grams: those of 1 factors do not rise"


def test_keys_one_after_another_do_not_make_looking_up_long() -> None:
    """Half of all places in one stretch, which a key that is not there would be looked for in to its end."""
    program = TABLES + """
model = restore([1], 50_000, np.full(n, -1), np.arange(n))
ids = np.random.default_rng(0).integers(0, 50_000, 1_000_000)
rows = model.forward(Batch.of([ids]))[0].value
print(len(rows), (rows == -1).mean() > 0.9)
"""
    assert run(program, 1 << 21) == "1000000 True"


@pytest.mark.parametrize("others", [0, 1, 511, 5000])
def test_of_keys_that_differ_in_their_last_bits_the_last_is_found(others: int) -> None:
    """The key of the context "1", where others have all the bits that are kept in common with it."""
    model = models.Factored(3, [1])
    start = np.array([1, 0], np.uint8)
    key = fastlm._core.Factors(np.array([1], np.int32), None, 3).level(
        np.array([1, 0], np.int32), start, np.array([1], np.int32), None, 0, 1)[5]
    count = others + 1
    tables = {"word": np.arange(3, dtype=np.int32), "logp": np.full(3, -np.log(3), np.float32),
              "link": np.full(count, -1, np.int32), "child": np.full(count + 1, 3, np.int32),
              "backoff": np.zeros(count, np.float32), "key": key - np.arange(others, -1, -1)}
    model.restore(tables)
    assert model.forward(fastlm.Batch.of([[1]]))[0].value.tolist() == [others]
    assert model.forward(fastlm.Batch.of([[2]]))[0].value.tolist() == [-1]


def test_long_chains_of_short_tables_are_checked_in_bounded_work() -> None:
    """127 levels, every n-gram of the last of them looked for on all: 300,000 n-grams."""
    program = TABLES + """
levels = 127
link = np.append(np.arange(-1, levels - 2), np.full(n, levels - 2))
word = np.append(np.zeros(levels - 1), np.ones(n))
restore(list(range(1, levels + 1)), 3, link, np.arange(levels - 1 + n),
        word=word, logp=np.full(levels - 1 + n, -np.log(3)))
print("checked")
"""
    assert run(program, 300_000) == "checked"


def test_orders_that_are_too_long_for_the_binding() -> None:
    tables = models.KneserNey(3, order=2).tables
    for order in (0, 128, 10**6):
        with pytest.raises(ValueError, match=f"^order = {order}; 1 to 127 words were expected$"):
            fastlm._core.NGrams(tables, 3, order)


# What the limit counts


def test_a_limit_counts_and_ends() -> None:
    weights = {"a": np.zeros((10, 100), np.float32), "b": np.zeros(24, np.int8)}
    allowed = 4 * 1024 + 2 * 4096 + (32 << 20)
    with initial.limited(weights):
        initial.reserve(allowed - 100, "the first")
        initial.reserve(60, "the second")
        with pytest.raises(ValueError) as caught:
            initial.reserve(41, "the third")
        assert str(caught.value) == "the third would take 41 bytes; at most 40 are left for a file of 1,024 weights"
        initial.reserve(40, "the third")
        with pytest.raises(ValueError, match=r"^an array of shape \(0, 11\) would take 44 bytes; at most 0 are left"):
            initial.zeros((0, 11))
    initial.reserve(1 << 60, "anything")
    assert initial.zeros((3, 2)).tolist() == [[0, 0]] * 3


def test_nothing_is_drawn_for_a_file() -> None:
    rng = np.random.default_rng(5)
    with initial.limited({"a": np.zeros(100)}):
        for draw in (initial.uniform, initial.normal):
            drawn = draw(rng, (5, 3), 0.5)
            assert drawn.shape == (5, 3) and drawn.dtype == np.float32 and not drawn.any()
    assert rng.random() == np.random.default_rng(5).random()
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    assert initial.uniform(rng, (5, 3), 0.5).tolist() == again.uniform(-0.5, 0.5, (5, 3)).astype(np.float32).tolist()
    assert initial.normal(rng, (5, 3), 0.5).tolist() == again.normal(0, 0.5, (5, 3)).astype(np.float32).tolist()


def test_a_parameter_of_zeros_has_memory_of_its_own() -> None:
    model = PrefixModel(5)
    first, second = (model.parameter(name, initial.zeros((3, 2))).value for name in "ab")
    first += 1
    assert second.tolist() == [[0, 0]] * 3 and second.ctypes.data % 64 == 0 and model.parameters["a"].decay
    ones = model.parameter("c", np.broadcast_to(np.float32(1), (2, 2))).value
    assert ones.tolist() == [[1, 1], [1, 1]]
