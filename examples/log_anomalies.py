"""Find the lines of a log that are unlike the others.

    python examples/log_anomalies.py                  # on a log that it makes
    python examples/log_anomalies.py NORMAL NEW       # learns from one file and looks at another
"""

import sys
from pathlib import Path

import numpy as np

import fastlm


def made(lines: int, rng: np.random.Generator) -> list[str]:
    """Return lines of a web server that works."""
    paths = ["/", "/login", "/search?q=shoes", "/cart", "/img/logo.png"]
    return [f"10.0.{rng.integers(4)}.{rng.integers(99)} GET {rng.choice(paths)} {rng.choice([200, 200, 200, 304])} "
            f"{rng.integers(100, 999)} ms" for _ in range(lines)]


def main() -> None:
    """Train on normal lines, and print the lines of another log that cost most bits."""
    if len(sys.argv) == 3:
        normal, new = (Path(name).read_text(encoding="utf-8", errors="replace").splitlines() for name in sys.argv[1:])
    else:
        rng = np.random.default_rng(0)
        normal, new = made(3000, rng), made(500, rng)
        new[100] = "10.0.1.7 GET /cart?id=1%27%20OR%201=1 500 12 ms"
        new[300] = "kernel: Out of memory: Killed process 4711 (httpd)"
    lm = fastlm.train(normal, unit="char", budget="15s", documents="line")
    usual = lm.score_batch(normal[::5]).bits_per_byte
    line = float(np.quantile(usual, 0.999))
    bits = lm.score_batch(new).bits_per_byte
    print(f"{len(new)} lines; unusual are those of more than {line:.2f} bits per byte, as one in a thousand is")
    for n in np.argsort(-bits)[: max(2, int((bits > line).sum()))]:
        strange = max(lm.token_scores(new[n]).words("before"), key=lambda word: word.bits)
        print(f"line {n + 1:4}  {bits[n]:5.2f} bits per byte, {strange.text!r} most of all: {new[n]}")


if __name__ == "__main__":
    main()
