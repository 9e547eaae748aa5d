"""Output layers behind one contract, ``OutputLayer``: how the last rows of a network become probabilities of tokens."""

from fastlm.outputs.full import Full
from fastlm.outputs.layer import LOSSES, OutputLayer

__all__ = ["LOSSES", "Full", "OutputLayer"]
