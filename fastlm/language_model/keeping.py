"""Language models made smaller, and kept in files."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from typing import Any, BinaryIO, Self

import numpy as np

from fastlm.files import modelfile
from fastlm.language_model.parts import Parts
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.mixture.pruned import fit_weights_again, ngram_models, pruned
from fastlm.models.ngram.pruning import size_of
from fastlm.models.precision import in_halves
from fastlm.models.rebuild import check_rebuilt
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import parse_bytes
from fastlm.workers import one_thread_products

Array = np.ndarray


class Keeping(Parts):
    """Rounds, prunes and saves a model."""

    def digest(self) -> str:
        """Return the SHA-256 of the vocabulary, the architecture and the weights, in hexadecimal digits.

        Models that are the same byte for byte have the same digest. How they were trained is not a part of it.

        Returns
        -------
        str
        """
        import hashlib  # here, since it costs `import fastlm` 4 ms

        digest = hashlib.sha256(json.dumps(self.model.config(), sort_keys=True).encode())
        for name, array in sorted(self._tensors().items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def _tensors(self) -> dict[str, Array]:
        tensors = {f"vocabulary/{name}": array for name, array in self.vocabulary.tensors().items()}
        return tensors | {f"model/{name}": array for name, array in self.model.tensors().items()}

    def quantized(self) -> Self:
        """Return a smaller and faster copy for prediction, with weight matrices in int8: a quarter of the memory.

        N-grams in it stay as they are. `Trainer` refuses it.

        Returns
        -------
        LanguageModel

        Raises
        ------
        ValueError
            Where a network has no weight matrices, or they are in int8 already.

        Example
        -------
        >>> lm.quantized().save("small.fastlm")                  # doctest: +SKIP
        """
        out = type(self)(self.vocabulary, self.model.quantized(), self.history, self.plan, dict(self.card),
                            self.learnt_spelling)
        out.adaptive = self.adaptive and self.adaptive.around(out.model)
        return out

    def pruned(self, max_bytes: int | str, valid: Any = None, documents: str | None = None, threads: int | None = None,
               **reading: Any) -> Self:
        """Return a smaller copy whose file has at most so many bytes: the n-grams that matter least are removed.

        Entropy pruning (Stolcke 1998): an n-gram matters by how much the model's cross-entropy rises without it.

        Parameters
        ----------
        max_bytes : int, or "800kB", "20MB", "1.5GB"
            Bytes of the file that `save` writes, at most.
        valid : as in `evaluate`, default None
            Held-out text, on which the weights of a mixture are fitted again. None: they stay as they are, which costs
            up to a per cent.
        documents : "file", "line" or "blank-line", default None
            What a document of `valid` is; None for what it was in training.
        threads : int, default None
            How many threads work; None for as many as this process may use.
        reading
            As in `evaluate`.

        Returns
        -------
        LanguageModel

        Raises
        ------
        ValueError
            Where the model has no n-grams, or what else it has takes more bytes.

        Example
        -------
        >>> lm.pruned(20_000_000, valid="held_out.txt").save("small.fastlm")    # doctest: +SKIP
        """
        most = parse_bytes(max_bytes)
        tables = size_of([part.tables for part in ngram_models(self.model)])
        size = len(self.to_bytes())
        left = most - (size - tables)
        if left < 1:
            raise ValueError(f"max_bytes = {most:,}; all but the n-grams takes {size - tables:,}")
        model = pruned(self.model, left, threads) if tables > left else self.model
        out = type(self)(self.vocabulary, model, self.history, self.plan, dict(self.card), self.learnt_spelling)
        out.adaptive = self.adaptive and self.adaptive.around(out.model)
        if valid is not None and isinstance(model, Mixture) and model is not self.model:
            corpus = Corpus.read(valid, self.vocabulary, documents or self.documents, **reading)
            with one_thread_products():
                fit_weights_again(model, *read_and_predict(replace(corpus, boundary=self.boundary)))
        return out

    def save(self, target: str | os.PathLike[str] | BinaryIO) -> None:
        """Write vocabulary, model, history, plan and card to one file in the safetensors layout.

        An older file is replaced, and stays until the new one is whole. Float32 weights whose values are those of
        float16, as `fastlm.train` leaves them, take two bytes each in the file.

        Parameters
        ----------
        target : path, or file object
            The name of the file; or a file object that takes bytes, such as ``io.BytesIO()``.

        Raises
        ------
        OSError
            Where the file cannot be written; an older file is then as it was.
        ValueError
            For a model that could not be loaded again, because its options do not build it or its class has no name.

        Example
        -------
        >>> lm.save("my.fastlm")                                 # doctest: +SKIP
        """
        tensors, config = self._tensors(), json.dumps(self.model.config())
        check_rebuilt(config, self.model, len(self.vocabulary))
        metadata = {"kind": "model", "unit": self.vocabulary.unit, "config": config,
                    "card": json.dumps(self.card), "history": self.history.to_json()}
        if self.vocabulary.normalize is not None:
            metadata["normalize"] = self.vocabulary.normalize
        if self.plan is not None:
            metadata["plan"] = self.plan.to_json()
            tensors["plan/rates"] = self.plan.rates
        if self.adaptive is not None:
            metadata["adaptive"] = json.dumps(self.adaptive.choices_in_file())
            tensors["adaptive/weights"] = self.adaptive.weights
        if self.learnt_spelling is not None:
            tensors |= self.learnt_spelling.tensors()
        modelfile.save(target, in_halves(self.model, tensors), metadata)

    def to_bytes(self) -> bytes:
        """Return the bytes of the file that `save` writes; ``fastlm.load`` takes them.

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            As `save` does.

        Example
        -------
        >>> fastlm.load(lm.to_bytes()).digest() == lm.digest()   # doctest: +SKIP
        True
        """
        file = io.BytesIO()
        self.save(file)
        return file.getvalue()
