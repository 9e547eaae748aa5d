"""Write the surprisal of every word of some sentences as a table, for research on reading.

    python examples/surprisal.py                      # two sentences, a model of text that Python carries
    python examples/surprisal.py MODEL FILE > out.tsv # your own model, a sentence a line
"""

import sys
from pathlib import Path

import fastlm

SENTENCES = ["The function returns a list of the names of the modules.",
             "The function returns a zebra of the names of the modules."]


def main() -> None:
    """Print a header and a row for each word: sentence, word, its place, surprisal, tokens."""
    if len(sys.argv) == 3:
        lm = fastlm.load(sys.argv[1])
        sentences = [line for line in Path(sys.argv[2]).read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        import pydoc_data.topics

        lm = fastlm.train(list(pydoc_data.topics.topics.values()), budget="20s")
        sentences = SENTENCES
    print("sentence\tplace\tword\tbits\tbits_from_before\ttokens\tunknown")
    for number, sentence in enumerate(sentences, 1):
        tokens = lm.token_scores(sentence)
        # "after": the word and that it ends there; "before": its tokens with the blank that stands before it.
        for place, (word, other) in enumerate(zip(tokens.words(), tokens.words("before"), strict=True), 1):
            print(f"{number}\t{place}\t{word.text}\t{word.bits:.3f}\t{other.bits:.3f}\t{word.tokens}\t{word.unknown}")


if __name__ == "__main__":
    main()
