"""fastlm: language models trained on CPU cores, from documents to next-token predictions.

Names are imported when they are first used: `import fastlm` by itself takes about a millisecond.
"""

from typing import TYPE_CHECKING

from fastlm import _checkout

_checkout.redirect(__path__)

if TYPE_CHECKING:   # what type checkers read; the other branch says the same at run time
    from fastlm import arpa, autodiff, models
    from fastlm._version import __version__ as __version__
    from fastlm.auto.classifier import Classifier
    from fastlm.auto.train import train
    from fastlm.autodiff import attention
    from fastlm.autodiff import sequence as recurrence
    from fastlm.batch import Batch, State
    from fastlm.coding.compress import compress, decompress
    from fastlm.language_model import LanguageModel
    from fastlm.language_model.mixing import mix
    from fastlm.loading import load
    from fastlm.models import PrefixModel
    from fastlm.prefix_state import PrefixState
    from fastlm.scoring.score import Score
    from fastlm.text import onehot
    from fastlm.text.corpus import Corpus
    from fastlm.text.pairs import pairs
    from fastlm.text.vocabulary import Vocabulary
    from fastlm.training import History, Plan, Trainer, optim
else:
    from fastlm import _lazy

    __getattr__, __dir__ = _lazy.names(
        globals(),
        {"arpa": "fastlm.arpa", "attention": "fastlm.autodiff.attention", "autodiff": "fastlm.autodiff",
         "models": "fastlm.models", "onehot": "fastlm.text.onehot", "optim": "fastlm.training.optim",
         "recurrence": "fastlm.autodiff.sequence"},
        {"__version__": "fastlm._version", "Batch": "fastlm.batch", "Classifier": "fastlm.auto.classifier",
         "Corpus": "fastlm.text.corpus",
         "History": "fastlm.training.history", "LanguageModel": "fastlm.language_model",
         "Plan": "fastlm.training.history", "PrefixModel": "fastlm.models", "PrefixState": "fastlm.prefix_state",
         "Score": "fastlm.scoring.score", "State": "fastlm.batch", "Trainer": "fastlm.training.trainer",
         "Vocabulary": "fastlm.text.vocabulary", "compress": "fastlm.coding.compress",
         "decompress": "fastlm.coding.compress", "load": "fastlm.loading", "mix": "fastlm.language_model.mixing",
         "pairs": "fastlm.text.pairs", "train": "fastlm.auto.train"})

__all__ = ["Batch", "Classifier", "Corpus", "History", "LanguageModel", "Plan", "PrefixModel", "PrefixState", "Score",
           "State", "Trainer", "Vocabulary", "arpa", "attention", "autodiff", "compress", "decompress", "load", "mix",
           "models", "onehot", "optim", "pairs", "recurrence", "train"]
