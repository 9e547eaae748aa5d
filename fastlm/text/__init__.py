"""Text to token ids and back: vocabularies, corpora, one-hot inputs; (prefix, target) pairs are in text.pairs."""

from fastlm.text import onehot
from fastlm.text.corpus import Corpus
from fastlm.text.reader import read_documents
from fastlm.text.vocabulary import Vocabulary

__all__ = ["Corpus", "Vocabulary", "onehot", "read_documents"]
