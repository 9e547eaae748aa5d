"""The architectures: each a short file of primitives behind one contract, ``PrefixModel``."""

from fastlm.models.base import Batch, PrefixModel, State
from fastlm.models.cache import CacheModel
from fastlm.models.decayed_bag import DecayedBag
from fastlm.models.feed_forward import FeedForward
from fastlm.models.gru import GRU
from fastlm.models.lstm import LSTM
from fastlm.models.mixture.loss import CrossFittedLoss, SampledCrossFittedLoss
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.ngram.factored import Factored
from fastlm.models.ngram.kneser_ney import KneserNey
from fastlm.models.positional_onehot import PositionalOneHot
from fastlm.models.sru import SRU
from fastlm.models.transformer import Transformer
from fastlm.models.widened import Widened

__all__ = ["GRU", "LSTM", "SRU", "Batch", "CacheModel", "CrossFittedLoss", "DecayedBag", "Factored", "FeedForward",
           "KneserNey", "Mixture", "PositionalOneHot", "PrefixModel", "SampledCrossFittedLoss", "State", "Transformer",
           "Widened"]
