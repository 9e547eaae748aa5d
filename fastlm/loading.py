"""Loading a language model from its file: what is checked, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm.coding.spelling import Spelling
from fastlm.files import modelfile
from fastlm.language_model import LanguageModel
from fastlm.models.cache import CacheModel
from fastlm.models.initial import are_checked, in_file, limited
from fastlm.models.rebuild import DAMAGE, dictionary, rebuild, shortened
from fastlm.text.mapped import MappedVocabulary
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.history import History, Plan

Array = np.ndarray


def load(source: Any, verify: bool | None = None, tokenizer: Any = None) -> LanguageModel:
    """Return the language model in a file that `LanguageModel.save` wrote, or in ARPA text, as `arpa.load` does.

    The file is data: nothing in it is run. A model of your own class can be loaded after the class is imported. A file
    is mapped: processes that load it share its memory, of which the parts are read when they are used.

    Parameters
    ----------
    source : path, bytes, or file object
        The name of the file; or its bytes, or a file object that gives them, which take memory of their own.
    verify : bool, default None
        Whether every byte is checked: the digest, that numbers are finite, that tables hold n-grams. This takes about
        0.2 seconds for 100 MB of weights and 3 seconds for 100 MB of n-grams. None: unless this user has verified the
        file before and it is unchanged. True: in any case. False: not at all; a file that is damaged or hostile may
        then give wrong figures or end the process.
    tokenizer : tokenizer, default None
        That of the training, for a model whose file could not keep it because it is code of your own; without it such
        a model reads and predicts ids.

    Returns
    -------
    LanguageModel

    Raises
    ------
    OSError
        Where the file cannot be read.
    ModelFileError
        A ValueError, in one sentence, where the file is damaged, of another program, or of a newer version.
    TypeError, ValueError
        For another kind of source, and for a tokenizer that is none, or is not that of the model.

    Example
    -------
    >>> lm = fastlm.load("my.fastlm")                            # doctest: +SKIP
    """
    if not modelfile.begins_like_one(source):
        from fastlm import arpa  # here, since most files are no ARPA text

        if arpa.is_arpa(source):
            return arpa.load(source)
    file = modelfile.read(source)
    if file.metadata.get("kind") != "model":
        raise modelfile.ModelFileError(f"{file.name} holds a {file.metadata.get('kind', 'foreign file')}; a model was "
                                       "expected")
    checked = file.is_known() if verify is None else not verify
    if not checked:
        file.check()
    try:
        with in_file(checked):
            lm = _build(file.tensors, file.metadata)
    except DAMAGE as error:
        raise modelfile.ModelFileError(f"{file.name} is damaged: {shortened(error)}") from error
    if not checked:
        file.remember()
    if tokenizer is not None:
        from fastlm.text.tokenizers.exchange import with_tokenizer  # here, since few models have one

        lm.vocabulary = with_tokenizer(lm.vocabulary, tokenizer)
    return lm


def _build(tensors: dict[str, Array], metadata: dict[str, str]) -> LanguageModel:
    """Return the language model in the tensors and metadata of a file; raise one of `DAMAGE` where there is none."""
    unit, normalize = metadata["unit"], metadata.get("normalize")
    of_tokens = {name.removeprefix("vocabulary/"): array for name, array in tensors.items()
                 if name.startswith("vocabulary/")}
    if not are_checked():
        Vocabulary.restore(of_tokens, unit, normalize)      # which checks them; what it makes is made again when used
    vocabulary = MappedVocabulary(of_tokens, unit, normalize)
    weights = {name.removeprefix("model/"): array for name, array in tensors.items() if name.startswith("model/")}
    model = rebuild(metadata["config"], weights, len(vocabulary))
    model.restore(weights)
    plan = Plan.from_json(metadata["plan"], tensors["plan/rates"]) if "plan" in metadata else None
    lm = LanguageModel(vocabulary, model, History.from_json(metadata["history"]), plan,
                       dictionary(metadata["card"], "card"))
    if "adaptive" in metadata:
        options = CacheModel.options_from_file("Adaptive", dictionary(metadata["adaptive"], "cache"))
        with limited({"weights": tensors["adaptive/weights"]}):
            lm.adaptive = CacheModel(len(vocabulary), model, **options)
        lm.adaptive.use(tensors["adaptive/weights"])
    if "spelling/order" in tensors:
        lm.learnt_spelling = Spelling.from_tensors(tensors)
        if unit == "word" and lm.learnt_spelling.spacing is None:
            raise ValueError("it spells unknown words and has no spacing of words; both or neither were expected")
    return lm
