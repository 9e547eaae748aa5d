"""Text to token ids and back: vocabularies, corpora, (prefix, target) pairs, one-hot inputs."""

from fastlm.text import onehot
from fastlm.text.corpus import Corpus
from fastlm.text.pairs import pairs
from fastlm.text.reader import read_documents
from fastlm.text.vocabulary import Vocabulary

__all__ = ["Corpus", "Vocabulary", "onehot", "pairs", "read_documents"]
