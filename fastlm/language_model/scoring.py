"""How well a language model predicts texts and corpora."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlm.coding.meter import TextMeter
from fastlm.coding.symbols import symbols_of
from fastlm.language_model.adapting import Adapting
from fastlm.scoring.context import score_after
from fastlm.scoring.documents import score_blocks
from fastlm.scoring.score import Score, Scores, by_document, tables, total
from fastlm.scoring.tokens import TokenScores, token_scores
from fastlm.workers import Workers, one_thread_products

if TYPE_CHECKING:
    from fastlm.text.blocks import Block

Array = np.ndarray


class Scoring(Adapting):
    """Scores texts, their tokens and words, and whole corpora."""

    def score(self, text: str | bytes, threads: int | None = None, adapt: bool = False,
              context: str | bytes = "", end: bool = True) -> Score:
        """Return how well the model predicts one text, by itself or after a context.

        Parameters
        ----------
        text : str, or bytes where the unit is "byte" or "piece"
            One document; of a model that was trained on lines, every line is one. What ends a document in training,
            such as the end of a line of words, is read after it and counts too.
        threads : int, default None
            How many threads work; None for as many as this process may use. The figures are the same with any number.
        adapt : bool, default False
            Whether the model learns from the text as it reads it, and from the context.
        context : str or bytes, default ""
            What stands before the text, in the same document: the figures are those of log p(text | context), the
            tokens, bytes and words those of the text. Words of the two are apart, other units follow one another just
            as they are written: "I am" is followed by " here". Where a model was trained on lines, the last line of it
            counts.
        end : bool, default True
            Whether what ends a document counts, too; if not, the text is the beginning of one document that goes on.

        Returns
        -------
        Score
            The negative log-likelihood in nats, perplexity and more, with the loss of every token.

        Raises
        ------
        TypeError
            For something other than a text. `evaluate` takes files and other sources.
        ValueError
            For an empty text, or one that cannot be encoded.

        Example
        -------
        >>> print(lm.score("you", context="where are"))          # doctest: +SKIP
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"a {type(text).__name__} was given; score reads one text, evaluate any source")
        if not text:
            raise ValueError("the text is empty; at least one token was expected")
        if context or not end:
            return total(self._scored_after(_string(context), _string(text), threads, adapt, end), self._escape_nats,
                         True)
        from fastlm.text.sources.containers import texts

        return total(self._scored(texts([text]), None, threads, adapt), self._escape_nats, per_token=True)

    def score_batch(self, texts: Iterable[str | bytes], threads: int | None = None, adapt: bool = False) -> Scores:
        """Return how well the model predicts each of many texts: for each what `score` returns, much sooner.

        Parameters
        ----------
        texts : iterable of str, or of bytes where the unit is "byte" or "piece"
            Texts; an empty one has no tokens and nats of 0.
        threads, adapt
            As in `score`.

        Returns
        -------
        Scores
            A sequence of `Score`, in the order of the texts and without the losses of tokens. Each figure is an array
            of all texts, for example ``scores.perplexity``; `to_dict` and `to_pandas` give a table.

        Raises
        ------
        TypeError
            For something other than texts.
        ValueError
            For a text that cannot be encoded.

        Example
        -------
        >>> lm.score_batch(["I am", "am I"]).nats_per_token      # doctest: +SKIP
        """
        from fastlm.text.sources.containers import texts as texts_of

        if isinstance(texts, str | bytes):
            raise TypeError(f"a {type(texts).__name__} was given; score_batch reads many texts, score one")
        listed = list(texts)
        for number, text in enumerate(listed):
            if not isinstance(text, str | bytes):
                raise TypeError(f"texts[{number}] is a {type(text).__name__}; a text was expected")
        counts = [_documents_in(text, self.documents) for text in listed]
        single = [text for text, count in zip(listed, counts, strict=True) if count == 1]
        scored = self._scored(texts_of(single), None, threads, adapt) if single else iter(())
        found = np.concatenate([np.zeros((8, 0)), *tables(scored, self._escape_nats)], axis=1)
        if len(single) == len(listed):
            return Scores(found)
        others = iter(Scores(found))
        return Scores.of(next(others) if count == 1 else self.score(text, threads, adapt) if count
                         else Score(0.0, 0, 0, 0) for text, count in zip(listed, counts, strict=True))

    def rank(self, candidates: Iterable[str], context: str = "", threads: int | None = None) -> list[tuple[str, Score]]:
        """Return candidates with their scores, the likeliest first: hypotheses of a recogniser, or a minimal pair.

        Parameters
        ----------
        candidates : iterable of str
            Texts, of which equal ones keep their order.
        context : str, default ""
            What stands before each of them, as in `score`.
        threads : int, default None
            As in `score`.

        Returns
        -------
        list of (str, Score)
            In the order of their ``total_nats``: those of exactly these bytes, so that a candidate with an unknown word
            pays for its spelling.

        Raises
        ------
        TypeError, ValueError
            As `score` does.

        Example
        -------
        >>> lm.rank(["the cats sleep", "the cats sleeps"])[0][0] # doctest: +SKIP
        """
        listed = list(candidates)
        scores: Iterable[Score] = (self.score(text, threads, context=context) for text in listed) if context \
            else self.score_batch(listed, threads)
        return sorted(zip(listed, scores, strict=True), key=lambda found: found[1].total_nats)

    def token_scores(self, text: str | bytes, adapt: bool = False) -> TokenScores:
        """Return what the model thinks of every token of a text: its surprisal, its rank and more.

        Parameters
        ----------
        text : str, or bytes where the unit is "byte" or "piece"
            As in `score`, whose losses these are.
        adapt : bool, default False
            Whether the model learns from the text as it reads it.

        Returns
        -------
        TokenScores
            A sequence of `TokenScore`, which tells where each token stands, its surprisal in nats and bits, how many
            tokens were as likely, the entropy, the length of the n-gram that matched, and whether it is unknown. Its
            method ``words()`` gives the surprisal of every word; ``to_pandas()`` and ``to_dict()`` a table.

        Raises
        ------
        ValueError
            For an empty text, or one that cannot be encoded.

        Example
        -------
        >>> for word in lm.token_scores("the dog sat.").words(): # doctest: +SKIP
        ...     print(word.text, word.bits)
        """
        return self._token_scores(text, adapt)

    def _token_scores(self, text: str | bytes, adapt: bool, k: int = 0) -> TokenScores:
        from fastlm.text.blocks import read_blocks
        from fastlm.text.sources.containers import texts

        if not text:
            raise ValueError("the text is empty; at least one token was expected")
        vocabulary, model = self.vocabulary, self.adapting().model if adapt else self.model
        block = next(read_blocks(texts([text]), vocabulary, self.documents, tokens=sys.maxsize), None)
        if block is None:
            raise ValueError("there is no document in the text; something between blank lines was expected")
        with one_thread_products():
            return token_scores(model, vocabulary, vocabulary.as_read(text), block,
                                lambda tokens: self.spelling.nats_of(symbols_of(tokens)), k)

    def evaluate(self, source: Any, documents: str | None = None, threads: int | None = None, adapt: bool = False,
                 per_token: bool = False, **reading: Any) -> Score:
        """Return how well the model predicts a corpus. Each document is read from an empty prefix.

        Memory does not grow with the text: it is read and scored a little at a time.

        Parameters
        ----------
        source : path, folder, open file, table, Corpus, or iterable, as in `fastlm.train`
            The text. A string by itself is a path; `score` takes a text.
        documents : "file", "line" or "blank-line", default None
            What a document is: a file, a line, or the text between blank lines; None for what it was in training.
        threads : int, default None
            How many threads work; None for as many as this process may use. The figures are the same with any number.
        adapt : bool, default False
            Whether the model learns from each document as it reads it, beginning anew with the next.
        per_token : bool, default False
            Whether to keep the loss of every token, 8 bytes each.
        reading
            text_key, format, encoding and errors, as in `fastlm.train`. Text is normalised as the model's was.

        Returns
        -------
        Score
            The negative log-likelihood in nats, perplexity and more.

        Raises
        ------
        OSError
            For a file that cannot be read.
        TypeError
            For something that is not a source of text.
        ValueError
            For an empty source, and for text that is not UTF-8 or contains a NUL character.

        Example
        -------
        >>> print(lm.evaluate("test.txt").perplexity)            # doctest: +SKIP
        """
        return total(self._scored(source, documents, threads, adapt, **reading), self._escape_nats, per_token)

    def score_each(self, source: Any, documents: str | None = None, threads: int | None = None,
                   adapt: bool = False, **reading: Any) -> Iterator[Score]:
        """Return how well the model predicts each document of a corpus, one after another.

        Many short documents are scored together, much faster than by `score` one by one, and memory does not grow with
        their number.

        Parameters
        ----------
        source, documents, threads, adapt, reading
            As in `evaluate`.

        Returns
        -------
        iterator of Score
            Of every document in turn, without the losses of its tokens. Empty documents have no tokens and nats of 0.

        Raises
        ------
        OSError, TypeError, ValueError
            As in `evaluate`, when a document is reached that cannot be read.

        Example
        -------
        >>> best = min(lm.score_each(["I am", "am I"]), key=lambda score: score.nats_per_token)     # doctest: +SKIP
        """
        return by_document(self._scored(source, documents, threads, adapt, **reading), self._escape_nats)

    def perplexity(self, source: Any, documents: str | None = None, threads: int | None = None,
                   adapt: bool = False, **reading: Any) -> float:
        """Return the perplexity of a corpus: exp of the mean -log p over all of its tokens, ends of lines included.

        It is that of the closed vocabulary: unknown words are scored as ``<unk>``, and perplexities of models with
        different vocabularies do not compare. `evaluate` has figures that do: bits_per_byte and perplexity_per_word.

        Parameters
        ----------
        source, documents, threads, adapt, reading
            As in `evaluate`.

        Returns
        -------
        float

        Raises
        ------
        OSError, TypeError, ValueError
            As in `evaluate`.

        Example
        -------
        >>> lm.perplexity("test.txt")                            # doctest: +SKIP
        """
        return self.evaluate(source, documents, threads, adapt, **reading).perplexity

    def _scored(self, source: Any, documents: str | None, threads: int | None,
                adapt: bool, **reading: Any) -> Iterator[tuple[Block, Array]]:
        """Yield the blocks of a source with the losses of their tokens, see `scoring.score_blocks`."""
        from fastlm.text.blocks import read_blocks  # here, since a model that predicts reads no source

        model, meter = self.adapting().model if adapt else self.model, TextMeter(self.vocabulary, self.spelling)
        with one_thread_products(), Workers(threads) as workers:
            blocks = read_blocks(source, self.vocabulary, documents or self.documents, meter, **reading)
            yield from score_blocks(model, blocks, self.boundary, workers)

    def _scored_after(self, context: str, text: str, threads: int | None, adapt: bool,
                      end: bool) -> Iterator[tuple[Block, Array]]:
        """Yield the blocks of a text that follows a context with the losses of their tokens."""
        model = self.adapting().model if adapt else self.model
        with one_thread_products(), Workers(threads) as workers:
            yield from score_after(model, self.vocabulary, context, text, self.documents,
                                   lambda: TextMeter(self.vocabulary, self.spelling), workers, end)

    def _escape_nats(self, block: Block, nats: Array) -> Array:
        """Return what each token of a block costs more where an unknown one has its escape probability."""
        return self.spelling.escape_nats(block.ids == self.vocabulary.unknown, nats)


def _string(text: str | bytes) -> str:
    """Return a text as a string, whose bytes that are no UTF-8 are U+DC80 to U+DCFF."""
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")


def _documents_in(text: str | bytes, documents: str) -> int:
    """Return how many documents a text has where these are files, lines or what stands between blank lines: 0, 1, or 2
    where there may be several."""
    if not text or (documents == "blank-line" and not text.strip()):
        return 0
    newline: Any = "\n" if isinstance(text, str) else b"\n"
    return 2 if documents != "file" and newline in text[:-1] else 1
