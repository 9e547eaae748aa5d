"""Pages, notebooks and terminals: what a language model thinks of a text, and what it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastlm.language_model.keeping import Keeping
from fastlm.language_model.scoring import Scoring
from fastlm.language_model.writing import Writing

if TYPE_CHECKING:
    from fastlm.explain.comparison import Comparison
    from fastlm.explain.explanation import Explanation

_LINES, _TOKENS = 5, 60     # that the card shows


class Showing(Scoring, Writing, Keeping):
    """Shows texts by a model, and the model itself."""

    def explain(self, text: str | bytes, k: int = 5, adapt: bool = False) -> Explanation:
        """Return a text coloured by how surprising each token is, to print, to see in a notebook, or as a page.

        Parameters
        ----------
        text : str, or bytes where the unit is "byte" or "piece"
            As in `score`.
        k : int, default 5
            How many alternatives are shown for each token; 0 for none.
        adapt : bool, default False
            Whether the model learns from the text as it reads it.

        Returns
        -------
        Explanation
            ``print`` colours it in a terminal, ``to_html("page.html")`` writes a page that needs nothing else, and
            ``to_dict()`` gives the figures.

        Raises
        ------
        ValueError
            For an empty text, or one that cannot be encoded, and k below 0.

        Example
        -------
        >>> print(lm.explain("the cat sat on the zebra"))       # doctest: +SKIP
        """
        from fastlm.explain.explanation import Explanation

        if k < 0:
            raise ValueError(f"k = {k}; at least 0 was expected")
        return Explanation(self._token_scores(text, adapt, k))

    def compare(self, text: str | bytes, other: Showing, names: tuple[str, str] = ("this model", "the other")
                ) -> Comparison:
        """Return the words of a text coloured by which of two models expected each more.

        Parameters
        ----------
        text : str, or bytes where the unit is "byte" or "piece"
            As in `score`.
        other : LanguageModel
            Of any unit: words are compared, with the blanks after them.
        names : tuple of two str, default ("this model", "the other")
            What the page calls the models.

        Returns
        -------
        Comparison
            To print, to see in a notebook, as a page by ``to_html()``, or as data by ``to_dict()``.

        Raises
        ------
        ValueError
            For an empty text, or one that cannot be encoded, and for models that normalise texts differently where
            that changes this one.

        Example
        -------
        >>> print(lm.compare("see you tomorrow", other))        # doctest: +SKIP
        """
        from fastlm.explain.comparison import Comparison

        return Comparison(self.token_scores(text), other.token_scores(text), names)

    def facts(self) -> dict[str, Any]:
        """Return what is known of the model: {name: value} of its kind, its size, its text and its training.

        Returns
        -------
        dict
        """
        found: dict[str, Any] = {"model": repr(self.model), "unit": self.vocabulary.unit,
                                 "vocabulary": len(self.vocabulary), "file_bytes": len(self.to_bytes())}
        return found | self.card | {"sha256": self.digest()}

    def card_page(self, path: str | os.PathLike[str] | None = None, title: str = "A language model",
                  seed: int = 0) -> str:
        """Return the model's card as a page: what it was trained on, what it weighs, how it does, five lines it writes.

        Parameters
        ----------
        path : path, default None
            The file to write the page to; an older one is replaced. None for no file.
        title : str, default "A language model"
            The title of the page.
        seed : int, default 0
            That of the lines.

        Returns
        -------
        str
            The page, which needs nothing else.

        Raises
        ------
        OSError
            Where the file cannot be written.

        Example
        -------
        >>> lm.card_page("card.html", "My mails")                # doctest: +SKIP
        """
        from fastlm.explain.card import card_page
        from fastlm.explain.page import write

        lines = [line.strip() for line in self.generate_batch([""] * _LINES, _TOKENS, seed=seed)]
        found = card_page(title, self.facts(), self.history.records, self.history.ended, lines)
        if path is not None:
            write(path, found)
        return found
