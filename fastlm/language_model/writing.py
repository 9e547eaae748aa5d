"""Continuations of prompts, drawn token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from fastlm.generation.held import Held
from fastlm.generation.sampling import Sampler, Sampling, sample_ids, sample_together
from fastlm.generation.texts import texts_of, until
from fastlm.language_model.adapting import Adapting
from fastlm.prefix_state import PrefixState

# Tokens after which a token counts as a repetition in `generate`; enough for phrases and not for usual words.
REPEATED = {"word": 2, "piece": 3, "char": 10, "byte": 10}


class Writing(Adapting):
    """Goes on with prompts."""

    def generate(self, prompt: str = "", max_tokens: int = 100, temperature: float = 0.8, top_k: int = 40,
                 top_p: float = 1.0, seed: int | None = None, adapt: bool = False, min_p: float = 0.0,
                 repetition_penalty: float = 1.0, stop: str | Sequence[str] = (), allowed: Any = None,
                 documents: int | None = None) -> Iterator[str]:
        """Draw a continuation of a prompt token by token.

        ``<unk>`` is never drawn. Bytes and pieces are joined to whole characters; a character that `max_tokens` would
        cut in two is left out. After the end of a document the next one begins, with nothing remembered.

        Parameters
        ----------
        prompt : str, default ""
            The beginning of a document. Where the unit is "piece", it may stop within a word, which is then gone on
            with.
        max_tokens : int, default 100
            How many tokens are drawn at most.
        temperature : float, default 0.8
            Logits are divided by it: below 1 likely tokens are drawn more often, above 1 less often. 0 always takes the
            most likely token.
        top_k : int, default 40
            Only the `top_k` most likely tokens are drawn; 0 for no limit.
        top_p : float, default 1.0
            Of these, only the most likely ones are drawn that together have this probability, in (0, 1].
        seed : int, default None
            The same seed gives the same text; None for another text each time.
        adapt : bool, default False
            Whether the model learns from what it reads and writes.
        min_p : float, default 0.0
            Only tokens are drawn that have at least this share of the probability of the most likely one.
        repetition_penalty : float, default 1.0
            The probability of a token is divided by it for each time that it has followed the same last tokens before:
            2 words, 3 pieces, 10 characters or bytes. Above 1 phrases do not repeat themselves.
        stop : str, or several, default ()
            The text ends before the first of these strings.
        allowed : bool array (V,), tokens, or a function, default None
            Which tokens may be drawn: an array says it of every id, a collection of strings names them, and a function
            takes the list of the ids drawn so far and returns such an array. None for all.
        documents : int, default None
            After the end of how many documents the text ends, which is not written. None: 1 where the model was trained
            on lines or paragraphs, else no number; 0 for no number.

        Returns
        -------
        iterator of str
            Pieces of the text as they are drawn; joined, they follow the prompt.

        Raises
        ------
        ValueError
            At once, for a number outside its range or a prompt that cannot be encoded.

        Example
        -------
        >>> print("".join(lm.generate("I am", max_tokens=50, seed=1)))          # doctest: +SKIP
        """
        if adapt:
            return self.adapting().generate(prompt, max_tokens, temperature, top_k, top_p, seed, False, min_p,
                                            repetition_penalty, stop, allowed, documents)
        sampling = self._sampling(max_tokens, temperature, top_k, top_p, min_p, repetition_penalty)
        state, sampler, held, again = self._sampler(prompt, sampling, np.random.default_rng(seed), allowed)
        ids = chain(again, sample_ids(self.model, state.state, state.logits, sampler, self._end(), self.boundary))
        return self._text_of(ids, prompt, max_tokens, held, stop, documents)

    def generate_batch(self, prompts: Iterable[str], max_tokens: int = 100, temperature: float = 0.8, top_k: int = 40,
                       top_p: float = 1.0, seed: int | None = None, adapt: bool = False, min_p: float = 0.0,
                       repetition_penalty: float = 1.0, stop: str | Sequence[str] = (), allowed: Any = None,
                       documents: int | None = None) -> list[str]:
        """Draw continuations of several prompts side by side, in less time than one after another.

        Parameters
        ----------
        prompts : iterable of str
            Beginnings of documents; the same one several times for several continuations of it.
        max_tokens, temperature, top_k, top_p
            As in `generate`, of each.
        seed : int, default None
            The same seed gives the same texts, other ones for each prompt; None for other texts each time.
        adapt, min_p, repetition_penalty, stop, allowed, documents
            As in `generate`, of each.

        Returns
        -------
        list of str
            What follows each prompt.

        Raises
        ------
        ValueError
            As `generate` does.

        Example
        -------
        >>> lm.generate_batch(["I am"] * 3, max_tokens=20, seed=1)              # doctest: +SKIP
        """
        if adapt:
            return self.adapting().generate_batch(prompts, max_tokens, temperature, top_k, top_p, seed, False, min_p,
                                                  repetition_penalty, stop, allowed, documents)
        listed = list(prompts)
        sampling = self._sampling(max_tokens, temperature, top_k, top_p, min_p, repetition_penalty)
        begun = [self._sampler(prompt, sampling, rng, allowed)
                 for prompt, rng in zip(listed, np.random.default_rng(seed).spawn(len(listed)), strict=True)]
        if not begun:
            return []
        most = self._most_documents(documents)

        def ended(s: int, id: int) -> bool:
            return most is not None and id == self._end() and begun[s][1].drawn.count(id) >= most
        sample_together(self.model, [state.state for state, *_ in begun],
                        np.stack([state.logits for state, *_ in begun]), [sampler for _, sampler, *_ in begun],
                        max_tokens, ended, self._end(), self.boundary)
        return ["".join(self._text_of(chain(again, sampler.drawn), prompt, max_tokens, held, stop, documents))
                for prompt, (_, sampler, held, again) in zip(listed, begun, strict=True)]

    def _sampling(self, max_tokens: int, temperature: float, top_k: int, top_p: float, min_p: float,
                  repetition_penalty: float) -> Sampling:
        if max_tokens < 0:
            raise ValueError(f"max_tokens = {max_tokens}; at least 0 was expected")
        return Sampling(temperature, top_k, top_p, min_p, repetition_penalty, REPEATED.get(self.vocabulary.unit, 3))

    def _sampler(self, prompt: str, sampling: Sampling, rng: np.random.Generator,
                 allowed: Any) -> tuple[PrefixState, Sampler, int, tuple[int, ...]]:
        """Return the state from which a prompt is gone on with, what draws its continuation, how many bytes of the
        prompt are drawn anew, since it may stop within a word, and the ids that write these."""
        vocabulary, state, size = self.vocabulary, self.start(), 0
        read, again = vocabulary.read(prompt), tuple[int, ...]()
        held = Held(vocabulary, read) if vocabulary.unit == "piece" and len(read) else None
        if held is not None:
            read, size = held.ids, len(held.rest)
        if len(read):
            state.advance_ids(read)
        if held is not None:
            way = held.draw(state, self._names, sampling.temperature, rng.random())
            state, again = way.after(), way.ids
        missing = [i for i, token in enumerate(vocabulary.tokens) if token is None]
        banned = np.array([*missing, *([] if vocabulary.unknown is None else [vocabulary.unknown])], np.int64)
        sampler = Sampler(sampling, rng, len(vocabulary), banned, self._mask(allowed), [*read.tolist(), *again])
        return state, sampler, size, again

    def _mask(self, allowed: Any) -> Any:
        if allowed is None or callable(allowed) or isinstance(allowed, np.ndarray):
            return allowed
        mask = np.zeros(len(self.vocabulary), bool)
        mask[[self.vocabulary.id(token) for token in allowed]] = True
        return mask

    def _text_of(self, ids: Iterator[int], prompt: str, max_tokens: int, held: int, stop: str | Sequence[str],
                 documents: int | None) -> Iterator[str]:
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(string, str) and string for string in stops):
            raise ValueError(f"stop = {stop!r}; strings of at least one character were expected")
        pieces = texts_of(self.vocabulary, ids, max_tokens, prompt, held, self._end(), self._most_documents(documents))
        return until(pieces, stops)

    def _most_documents(self, documents: int | None) -> int | None:
        """Return after how many documents a text ends, None for no number."""
        if documents is not None and documents < 0:
            raise ValueError(f"documents = {documents}; at least 0 was expected, which is no limit")
        return (None if self.documents == "file" else 1) if documents is None else documents or None
