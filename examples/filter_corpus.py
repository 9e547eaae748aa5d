"""Keep the documents of a corpus that read like a small one of good quality, as CCNet does with perplexities.

    python examples/filter_corpus.py                  # on text that Python carries
    python examples/filter_corpus.py GOOD CORPUS      # your own files, a document a line
"""

import sys
from pathlib import Path

import numpy as np

import fastlm


def carried() -> tuple[list[str], list[str]]:
    """Return good documents, and a corpus of them and of noise, from Python's own documentation."""
    import pydoc_data.topics

    paragraphs = [" ".join(part.split()) for text in pydoc_data.topics.topics.values() for part in text.split("\n\n")]
    good = [text for text in paragraphs if len(text) > 80 and "|" not in text]
    rng = np.random.default_rng(0)
    noise = ["".join(rng.permutation(list(text))) for text in good[::20]]
    return good[::2], [*good[1::2], *noise]


def main() -> None:
    """Train on the good documents, score the corpus, and show where the lines between its thirds are."""
    if len(sys.argv) == 3:
        good, corpus = (Path(name).read_text(encoding="utf-8").splitlines() for name in sys.argv[1:])
    else:
        good, corpus = carried()
    lm = fastlm.train(good, budget="20s", documents="line")
    bits = lm.score_batch(corpus).bits_per_byte
    head, tail = np.quantile(bits, [1 / 3, 2 / 3])
    print(f"{len(corpus):,} documents; the head has at most {head:.2f} bits per byte, the tail at least {tail:.2f}")
    for name, chosen in (("best", np.argsort(bits)[:2]), ("worst", np.argsort(-bits)[:2])):
        for n in chosen:
            print(f"{name:6} {bits[n]:5.2f}  {corpus[n][:90]}")


if __name__ == "__main__":
    main()
