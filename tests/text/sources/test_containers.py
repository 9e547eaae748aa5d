"""Paths, texts, tokens and ids in any container, and tables in memory."""

import array
import glob
import io
import itertools
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.text.sources.containers import recognised
from fastlm.text.sources.containers import texts as documents
from tests.text.sources.helpers import named, refused, texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("a.txt", "the cat"), ("b.txt", "the dog"), ("sub/c.txt", "the end")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "iterator": iter,
    "deque": deque,
    "dict.values": lambda paths: dict(enumerate(paths)).values(),
    "dict.keys": lambda paths: dict.fromkeys(paths).keys(),
    "map": lambda paths: map(type(paths[0]), paths),
    "filter": lambda paths: filter(None, paths),
    "generator": lambda paths: (path for path in paths),
    "array": np.array,
    "object array": lambda p: np.array(p, object),
    "chain": lambda paths: itertools.chain(paths[:1], paths[1:]),
}


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("container", CONTAINERS)
def test_paths_in_any_container_are_read(container: str, kind: Any, folder: Path) -> None:
    paths = [kind(folder / "a.txt"), kind(folder / "b.txt")]
    assert sorted(texts(CONTAINERS[container](paths))) == ["the cat", "the dog"]


def test_what_gives_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    three = ["the cat", "the dog", "the end"]
    assert sorted(texts(os.scandir(folder))) == three
    assert sorted(texts(Path(".").rglob("*.txt"))) == sorted(texts(glob.iglob("**/*.txt", recursive=True))) == three
    assert texts(folder.iterdir().__iter__()) and texts(os.listdir(folder) and ["a.txt"]) == three[:1]
    assert texts(p for p in (Path("a.txt"), "b.txt")) == three[:2]
    with open("a.txt") as one, open("b.txt", "rb") as other:
        assert texts([one, other, io.StringIO("more")]) == [*three[:2], "more"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", "ab"),
        ("**/*.txt", "abc"),
        ("**", "abc"),
        ("*", "abc"),
        ("sub/*", "c"),
        ("[ab].txt", "ab"),
        ("?.txt", "ab"),
        ("s*", "c"),
        ("./**/c.txt", "c"),
    ],
)
def test_patterns_are_expanded(pattern: str, found: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    expected = [{"a": "the cat", "b": "the dog", "c": "the end"}[name] for name in found]
    for source in (pattern, Path(pattern), [Path(pattern)], str(folder / pattern)):
        assert texts(source) == expected, source
    if pattern.endswith(".txt"):
        assert texts([pattern]) == expected and texts(iter([pattern])) == expected
    refused(FileNotFoundError, "'/**' does not exist, and looks like the name of a file", ["/**"])
    assert texts(["/**", "* a comment"]) == ["/**", "* a comment"]
    assert texts(["a.txt", "sub/*.txt"]) == ["the cat", "the end"]


def test_files_whose_names_look_like_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].txt", "a1.txt", "what?"):
        Path(name).write_text(name)
    assert texts("a[1].txt") == ["a[1].txt"] and texts(["what?"]) == ["what?"]
    refused(FileNotFoundError, "'b*.txt' matches no file", "b*.txt")
    refused(FileNotFoundError, "'b*.txt' does not exist, and looks like the name of a file", ["b*.txt"])
    assert texts(["a * b", "[1]", "why? 1/2"]) == ["a * b", "[1]", "why? 1/2"]


def test_names_of_files_are_never_learnt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "paths.csv").write_text("n,path\n1,a.txt\n2,b.txt\n")
    rest = "holds names of files, 'a.txt' first; texts were expected, or a list of the names"
    refused(TypeError, f"the dict: the column 'train' {rest}", {"train": ["a.txt", "b.txt"]})
    refused(TypeError, f"the rows: the column 'path' {rest}", [{"path": "a.txt"}, {"path": "b.txt"}])
    refused(ValueError, f"paths.csv: the column 'path' {rest}", "paths.csv")
    message = "documents[0] is a list of names of files, 'a.txt' first; one list of them was expected, or words"
    refused(ValueError, message, [["a.txt", "b.txt"], ["sub/c.txt"]])
    refused(ValueError, message, iter([("a.txt",)]))
    assert texts([["a.txt", "is"], ["here"]]) == ["a.txt is", "here"]


def test_texts_in_any_container_are_texts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    pandas = pytest.importorskip("pandas")
    refused(TypeError, 'documents[0] is a int; expected str for unit="word"', pandas.Series([1, 2]))
    for container in CONTAINERS.values():
        assert sorted(texts(container(["the cat", "sat"]))) == ["sat", "the cat"]
    assert texts(documents(["a.txt", "sub"])) == ["a.txt", "sub"]
    refused(FileNotFoundError, "'z.txt' does not exist, and looks like the name of a file", iter(["z.txt"]))
    refused(
        ValueError,
        "documents[70], 'x', names no file, as the first ones do; expected all paths or all documents",
        iter(["a.txt"] * 70 + ["x"]),
    )
    assert texts(iter([])) == texts(set()) == []


def test_what_is_no_document() -> None:
    refused(TypeError, 'documents[1] is None; expected str for unit="word"', ["a", None])
    refused(TypeError, 'documents[1] is nan; expected str for unit="word"', iter(["a", float("nan")]))
    refused(TypeError, 'documents[0] is a int; expected str for unit="word"', [7, 8])
    refused(TypeError, "documents[0] holds a list; words or ids were expected in a list of lists", [[["a"]]])
    refused(TypeError, "documents[0] holds None; words or ids were expected in a list of lists", [[None]])
    refused(
        TypeError,
        "the source is a dict of 'a'; expected a path, an open file, a list of documents, or columns of "
        "the same length",
        {"a": "x"},
    )
    refused(TypeError, "row 1 is a str; a mapping of columns was expected, as the first row is", [{"text": "a b"}, "c"])


def test_lists_of_words() -> None:
    assert texts([["the", "cat"], (), ["dog"]]) == ["the cat", "", "dog"]
    assert texts(iter([("the", "cat")])) == texts(np.array([["the", "cat"]])) == ["the cat"]
    refused(
        ValueError,
        "documents[1]: token 0 is 'New York'; a word without whitespace was expected",
        [["the"], ["New York"]],
    )
    refused(ValueError, "documents[0]: token 1 is ''; a word without whitespace was expected", [["the", ""]])
    refused(TypeError, "documents[0]: token 1 is None; a word was expected", [["the", None]])
    refused(
        TypeError,
        'documents[0] is a list of tokens, which unit="word" reads; a text was expected for unit="char"',
        [["the", "cat"]],
        unit="char",
    )


@pytest.mark.parametrize(
    "source",
    [
        [[2, 0], [], [2]],
        ([2, 0], [], [2]),
        iter([[2, 0], [], [2]]),
        [np.array([2, 0]), np.zeros(0, int), np.array([2])],
        [array.array("H", [2, 0]), (), range(2, 3)],
    ],
)
def test_lists_of_ids(source: Any) -> None:
    vocabulary, corpus = fastlm.Corpus.build(source)
    assert vocabulary.tokens == ["0", "1", "2", "\n"] and vocabulary.counts.tolist() == [1, 0, 2, 2]
    assert [ids.tolist() for ids in corpus.documents()] == [[2, 0, 3], [], [2, 3]] and corpus.boundary == 3
    assert [ids.tolist() for ids in fastlm.Corpus.read([[1], [0, 0]], vocabulary).documents()] == [[1, 3], [0, 0, 3]]


def test_arrays_of_ids_and_corpora() -> None:
    assert fastlm.Corpus.build(np.array([[1, 0], [1, 1]]))[1].ids.tolist() == [1, 0, 2, 1, 1, 2]
    vocabulary, corpus = fastlm.Corpus.build(np.array([1, 0, 1], np.uint16))
    assert corpus.ids.tolist() == [1, 0, 1, 2]
    assert fastlm.Corpus.build(corpus) == (vocabulary, corpus)
    assert fastlm.Vocabulary.build([[1, 0, 1]]).tokens == vocabulary.tokens
    with pytest.raises(IndexError, match="^id 7 is outside the vocabulary of 3$"):
        fastlm.Corpus.read([[7]], vocabulary)
    with pytest.raises(ValueError, match="^the largest of 2 ids is 2,000,000,001; ids from 0 to about the number"):
        fastlm.Corpus.build([[2_000_000_000]])
    with pytest.raises(ValueError, match='were given for ids, which are all kept, as words; unit="word", 1 and None'):
        fastlm.Corpus.build([[1]], "char")
    with pytest.raises(TypeError, match="^the documents are lists of ids; texts were expected$"):
        texts([[1]])


def test_models_of_words_and_ids() -> None:
    words = fastlm.train([["the", "cat"], ["the", "dog"]] * 20, model="kneser-ney")
    assert words.next_tokens("", 1)[0][0] == "the" and words.next_tokens("the cat", 1)[0][0] == "\n"
    assert words.perplexity([["the", "cat"]]) == words.perplexity(documents(["the cat"]))
    for source in ([[1, 2, 3], [1, 2, 4]] * 20, np.array([[1, 2, 3]] * 20), fastlm.Corpus.from_ids([[1, 2, 3]] * 30)):
        lm = fastlm.train(source, model="kneser-ney")
        assert lm.vocabulary.id("2") == 2 and lm.next_tokens("1", 1)[0][0] == "2"
        assert lm.card["reading"].startswith("the documents are ids, which are named by their numbers: ")
        assert lm.perplexity([[1, 2, 3]]) < 2


def test_a_source_is_recognised_once() -> None:
    source = recognised(iter(["the cat"] * 100))
    assert recognised(source) is source and len(texts(source)) == 100


ROWS = [{"id": n, "text": f"the cat {n}"} for n in range(3)]
TEXTS = [row["text"] for row in ROWS]


def test_rows_and_columns() -> None:
    for source in (ROWS, iter(ROWS), (row for row in ROWS), {"id": [0, 1, 2], "text": TEXTS}):
        assert texts(source) == TEXTS
    assert named(ROWS)[1] == ("the rows, row 1", "the cat 1")


def frames() -> Any:
    """Every kind of table in memory that is installed, as functions of its columns."""
    found = {}
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    arrow, datasets = pytest.importorskip("pyarrow"), pytest.importorskip("datasets")
    found["pandas"], found["polars"] = pandas.DataFrame, polars.DataFrame
    found["polars lazy"] = lambda columns: polars.DataFrame(columns).lazy()
    found["arrow"], found["arrow batch"] = arrow.table, arrow.RecordBatch.from_pydict
    found["arrow reader"] = lambda columns: arrow.table(columns).to_reader()
    found["datasets"] = datasets.Dataset.from_dict
    found["datasets stream"] = lambda columns: datasets.Dataset.from_dict(columns).to_iterable_dataset()
    found["datasets generator"] = lambda columns: datasets.IterableDataset.from_generator(
        lambda: (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    )
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "pandas",
        "polars",
        "polars lazy",
        "arrow",
        "arrow batch",
        "arrow reader",
        "datasets",
        "datasets stream",
        "datasets generator",
    ],
)
def test_frames(kind: str) -> None:
    make = frames()[kind]
    name = type(make({"a": ["x y"]})).__name__.replace("LazyFrame", "DataFrame")
    assert texts(make({"id": [0, 1, 2], "text": TEXTS})) == TEXTS
    assert texts(make({"title": TEXTS[::-1], "text": TEXTS}), text_key="text") == TEXTS
    found = "several of its columns hold text, 'title', 'text', so text_key= (--text-key) was expected to name one"
    refused(TypeError, f"the {name} has the columns 'title', 'text'; {found}", make({"title": TEXTS, "text": TEXTS}))
    refused(
        TypeError,
        f"the {name} has the columns 'n'; none of its columns holds text, so text_key= (--text-key) was "
        "expected to name one",
        make({"n": [1]}),
    )
    with pytest.raises(TypeError, match=rf"^the {name}, row 1: the column 'text' is (None|nan); a text was expected; "):
        texts(make({"text": ["a b", None, "c d"]}))
    assert texts(make({"text": ["a b", None, "c d"]}), errors="ignore") == ["a b", "c d"]
    many = [f"text {n}" for n in range(3000)]
    assert texts(make({"text": many})) == many


def test_columns_of_frames() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    arrow, datasets = pytest.importorskip("pyarrow"), pytest.importorskip("datasets")
    for column in (
        pandas.Series(TEXTS),
        pandas.Series(TEXTS, dtype="category"),
        polars.Series(TEXTS),
        arrow.array(TEXTS),
        arrow.chunked_array([TEXTS[:1], TEXTS[1:]]),
        datasets.Dataset.from_list(ROWS)["text"],
        pandas.Index(TEXTS),
        pandas.DataFrame(ROWS)["text"].to_numpy(),
    ):
        assert texts(column) == TEXTS, type(column)
    refused(TypeError, 'documents[1] is nan; expected str for unit="word"', pandas.Series(["a", None]))
    refused(TypeError, 'documents[1] is None; expected str for unit="word"', polars.Series(["a", None]))
    refused(
        TypeError, 'documents[1] is <NA>; expected str for unit="word"', pandas.Series(["a", pandas.NA], dtype=object)
    )
    message = "the source is a DatasetDict of 'train'; expected a path, an open file, a list of documents, or columns"
    with pytest.raises(TypeError, match=f"^{message}"):
        texts(datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}))
