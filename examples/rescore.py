"""Choose among the hypotheses of a recogniser of speech or letters by how likely they are in a language.

    python examples/rescore.py                        # text that Python carries, with mistakes made in it
"""

import numpy as np

import fastlm

WEIGHT = 1.0           # of the language model beside the recogniser


def misread(text: str, rng: np.random.Generator) -> tuple[str, float]:
    """Return a text as a bad recogniser reads it, and the log of how likely it finds that."""
    swaps, letters = {"c": "e", "e": "c", "i": "l", "l": "i", "n": "u", "u": "n", "h": "b", "b": "h"}, list(text)
    places = [n for n, letter in enumerate(letters) if letter in swaps]
    for n in rng.choice(places, min(2, len(places)), replace=False):
        letters[n] = swaps[letters[n]]
    return "".join(letters), float(rng.normal(-1.0, 1.0))


def main() -> None:
    """Train, make five hypotheses of each of some sentences, and count how often the right one is chosen."""
    import pydoc_data.topics

    topics = [" ".join(text.split()) for text in pydoc_data.topics.topics.values()]
    sentences = [text for topic in topics for text in topic.split(". ") if 30 < len(text) < 90 and "|" not in text]
    held_out = sentences[::40]
    lm = fastlm.train([text for n, text in enumerate(sentences) if n % 40], unit="char", budget="20s", documents="line")
    rng, alone, together = np.random.default_rng(0), 0, 0
    for sentence in held_out:
        nbest = [(sentence, float(rng.normal(-1.0, 1.0))), *(misread(sentence, rng) for _ in range(4))]
        heard = max(nbest, key=lambda item: item[1])[0]
        language = -lm.score_batch([text for text, _ in nbest]).total_nats
        best = nbest[int(np.argmax([sound + WEIGHT * p for (_, sound), p in zip(nbest, language, strict=True)]))][0]
        alone, together = alone + (heard == sentence), together + (best == sentence)
    print(f"{len(held_out)} sentences of five hypotheses: right by the recogniser alone {alone}, with the language "
          f"model {together}")
    print(lm.rank(["the value of the attribute", "thc valuc of thc attribntc"])[0][0])


if __name__ == "__main__":
    main()
