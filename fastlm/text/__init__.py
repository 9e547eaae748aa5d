"""Text to token ids and back: vocabularies, corpora, one-hot inputs; (prefix, target) pairs are in text.pairs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlm.text import onehot
    from fastlm.text.corpus import Corpus
    from fastlm.text.sources.containers import texts
    from fastlm.text.sources.documents import read_documents
    from fastlm.text.vocabulary import Vocabulary
else:   # so that a model, which needs a corpus, does not import one-hot inputs
    from fastlm import _lazy

    __getattr__, __dir__ = _lazy.names(globals(), {"onehot": "fastlm.text.onehot"}, {
        "Corpus": "fastlm.text.corpus", "Vocabulary": "fastlm.text.vocabulary",
        "read_documents": "fastlm.text.sources.documents", "texts": "fastlm.text.sources.containers"})

__all__ = ["Corpus", "Vocabulary", "onehot", "read_documents", "texts"]
