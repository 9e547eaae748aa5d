"""fastlm: language models trained on CPU cores, from documents to next-token predictions."""

from fastlm import _checkout

__version__ = "0.1.0"

_checkout.redirect(__path__)

from fastlm import arpa, autodiff, models, recurrence  # noqa: E402
from fastlm.batch import Batch, State  # noqa: E402
from fastlm.language_model import LanguageModel, load  # noqa: E402
from fastlm.models import PrefixModel  # noqa: E402
from fastlm.prefix_state import PrefixState  # noqa: E402
from fastlm.recipe import train  # noqa: E402
from fastlm.scoring import Score  # noqa: E402
from fastlm.text import onehot  # noqa: E402
from fastlm.text.corpus import Corpus  # noqa: E402
from fastlm.text.pairs import pairs  # noqa: E402
from fastlm.text.vocabulary import Vocabulary  # noqa: E402
from fastlm.training import History, Plan, Trainer, optim  # noqa: E402

__all__ = ["Batch", "Corpus", "History", "LanguageModel", "Plan", "PrefixModel", "PrefixState", "Score", "State",
           "Trainer", "Vocabulary", "arpa", "autodiff", "load", "models", "onehot", "optim", "pairs", "recurrence",
           "train"]
