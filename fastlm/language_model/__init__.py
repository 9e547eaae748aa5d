"""LanguageModel, a vocabulary and a prefix model together: a file for each of the things that it does."""

from fastlm.language_model.model import LanguageModel

__all__ = ["LanguageModel"]
