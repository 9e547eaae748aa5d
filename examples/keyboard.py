"""Suggest words while somebody types, as a keyboard does: the state is kept between keys.

    python examples/keyboard.py                       # learns from text that Python carries, and types by itself
    python examples/keyboard.py MY_MESSAGES.txt       # learns from yours, and reads what you type, a line at a time
"""

import sys
import time

import fastlm

TYPED = "the value of the attribute is returned if the object has been"


def suggestions(lm: fastlm.LanguageModel, typed: str) -> list[str]:
    """Return three words for what has been typed: those that begin so, or the next ones after a blank."""
    context, _, begun = typed.rpartition(" ")
    return [word for word, _ in lm.next_words(context, begun, 3)]


def main() -> None:
    """Train a model and show what it suggests after each key."""
    if len(sys.argv) > 1:
        lm = fastlm.train(sys.argv[1], budget="30s")
        for line in sys.stdin:
            print(suggestions(lm, line.rstrip("\n")))
        return
    import pydoc_data.topics

    lm = fastlm.train(list(pydoc_data.topics.topics.values()), budget="20s", unit="word")
    saved, slowest, n = 0, 0.0, 0
    words = TYPED.split(" ")
    for index, word in enumerate(words):
        for keys in range(len(word) + 1):
            typed, begin = " ".join([*words[:index], word[:keys]]), time.perf_counter()
            found = suggestions(lm, typed)
            slowest, n = max(slowest, time.perf_counter() - begin), n + 1
            if word in found:
                print(f"{typed + '|':64} {', '.join(found)}")
                saved += len(word) - keys
                break
    print(f"{saved} of {len(TYPED)} keys saved; the slowest of {n} suggestions took {1000 * slowest:.0f} ms")


if __name__ == "__main__":
    main()
