"""The demonstration: a model of the English text that every Python carries, trained and shown in half a minute."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
import time
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

import fastlm
from fastlm.batch import Batch
from fastlm.language_model import LanguageModel

_BUDGET = 17.0   # seconds of training, so that the whole demonstration ends within half a minute
_HELD_OUT = 12   # every twelfth document is held out
_CONTEXTS = ("the value of the", "If the", "This method is")
_MODULES = ("argparse", "ast", "asyncio", "collections", "ctypes", "datetime", "decimal", "difflib", "email.message",
            "fractions", "functools", "heapq", "inspect", "itertools", "logging", "multiprocessing", "optparse", "os",
            "pathlib", "pickle", "random", "re", "shutil", "socket", "statistics", "string", "subprocess", "tarfile",
            "textwrap", "threading", "tkinter", "turtle", "typing", "unittest", "unittest.mock", "urllib.request",
            "xml.dom.minidom", "zipfile")


def english() -> list[str]:
    """Return the topics of ``pydoc_data.topics``, and the docstrings of each standard module, as documents."""
    texts = []
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
        texts += [topics[name] for name in sorted(topics)]
    except ImportError:   # some distributions of Python leave this module out; the docstrings are enough
        pass
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        members = [member for _, member in sorted(inspect.getmembers(module)) if callable(member)]
        members += [method for member in members if inspect.isclass(member)
                    for _, method in sorted(vars(member).items())]
        docs = [inspect.getdoc(member) for member in [module, *members]]
        texts.append("\n".join(dict.fromkeys(doc for doc in docs if isinstance(doc, str))))
    return [tokenise(text) for text in texts if text.strip()]


def tokenise(text: str) -> str:
    """Return a text with a space between words and punctuation. Lines stay, except empty ones and those that underline
    a heading, which would be long passages of one sign.

    >>> tokenise("It's here: f(x).\\n================")
    "It's here : f ( x ) ."
    """
    return "\n".join(" ".join(re.findall(r"\w+(?:['’-]\w+)*|[^\w\s]", line)) for line in text.splitlines()
                     if line.strip() and not re.fullmatch(r"\s*([^\w\s])\1{3,}\s*", line))


def demo(out: TextIO, progress: Any, budget: float = _BUDGET) -> LanguageModel:
    """Train a model and print its perplexity, next words, a generated passage and a timing; return the model.

    progress: a `ProgressLine`; budget: seconds of training.
    """
    begin = time.perf_counter()
    texts = english()
    held_out, train = texts[::_HELD_OUT], [text for index, text in enumerate(texts) if index % _HELD_OUT]
    words = sum(len(text.split()) for text in train)
    print(f"Training a word model on {words:,} words of English from Python's own documentation, "
          f"{budget:.0f} seconds ...", file=out, flush=True)
    lm = fastlm.train(train, valid=held_out, budget=budget, min_count=2, progress=progress)
    progress.close()
    score = lm.evaluate(iter(held_out))
    unigram = unigram_perplexity(lm, held_out)
    print(f"\nHeld-out perplexity, {score.tokens:,} tokens ({score.unknown:,} unknown):\n"
          f"  this model     {score.perplexity:9.1f}\n  word counts    {unigram:9.1f}\n"
          f"  a uniform guess{len(lm.vocabulary):9.1f}\n\nThe most likely next words:", file=out)
    for context in _CONTEXTS:
        best = "   ".join(f"{token if token.strip() else 'end of line'} {p:.3f}"
                          for token, p in lm.next_tokens(context, k=5))
        print(f"  {context} ...   {best}", file=out)
    passage = "".join(lm.generate("The", max_tokens=60, temperature=0.7, seed=1))
    print("\nA generated passage:", file=out)
    print(textwrap.indent(textwrap.fill("The" + passage, 76), "  "), file=out)
    print("\n" + compare_times(lm, " ".join(held_out)), file=out)
    print("\nThe same in Python:\n\n  import fastlm\n  lm = fastlm.train(\"my.txt\", budget=\"60s\")\n"
          f"  lm.next_tokens(\"{_CONTEXTS[0]}\", k=5)\n\n{time.perf_counter() - begin:.0f} seconds in all.", file=out)
    return lm


def unigram_perplexity(lm: LanguageModel, texts: list[str]) -> float:
    """Return the held-out perplexity of the words' relative frequencies in the training text, with one added to every
    count."""
    counts = lm.vocabulary.counts + 1.0
    nll = -np.log(counts / counts.sum())
    ids = np.concatenate([lm.vocabulary.encode(text + "\n") for text in texts])
    return float(np.exp(nll[ids].mean()))


def compare_times(lm: LanguageModel, text: str, length: int = 1024) -> str:
    """Return a sentence with two times for the predictions after all prefixes of the first `length` tokens of a text:
    by one prefix state that is updated, and by reading every prefix from its beginning."""
    ids = lm.vocabulary.encode(text)[:length]
    once, again = (_seconds(way(lm, ids)) for way in (by_prefix_state, by_reading_anew))
    return (f"All {len(ids):,} prefixes of a text: {once:.1f} s by prefix state, {again:.1f} s by reading every prefix "
            f"anew: {again / once:.1f} times as long, and more for longer texts.")


def by_prefix_state(lm: LanguageModel, ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield log p (V,) of every next token after each prefix of some ids. The next one is written over it."""
    state = lm.start()
    for token in ids:
        yield state.step(int(token))


def by_reading_anew(lm: LanguageModel, ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the logits (V,) of the same, from every prefix as if none had been read; only its last row is predicted."""
    start = lm.start().state
    for end in range(1, len(ids) + 1):
        rows, _ = lm.model.forward(Batch.one(ids[:end]), start)
        out = np.empty((1, len(lm.vocabulary)), np.float32)
        lm.model.head.write(out, rows.value[-1:])
        yield out[0]


def _seconds(predictions: Iterator[np.ndarray]) -> float:
    begin = time.perf_counter()
    for _ in predictions:
        pass
    return time.perf_counter() - begin
