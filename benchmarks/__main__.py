"""python -m benchmarks [NAME ...] [--full] [--data FOLDER] [--budget SECONDS] [--only TEXT]"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

import fastlm  # noqa: F401  (first, so that a checkout that is not compiled finds the installed one)
from benchmarks.harness import Disagreement, Options, Skipped, environment

NAMES = ("kernels", "rows", "products", "step", "ngram", "large", "prefix_state", "training", "attention", "scaling",
         "outputs", "startup", "quantized", "quality", "budgets", "ladder", "calibrate")


def main() -> int:
    """Runs the benchmarks named, or all; 1 where a rival's result disagreed with ours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="fastlm beside its rivals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--full", action="store_true", help="quality at 60 s and 300 s; every prefix recomputed")
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="the corpora (default FASTLM_DATA or ../shared/data)")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="of each run of quality, budgets and ladder")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="training, budgets: only what contains TEXT in its name")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"benchmark {name!r} is not known; one of {', '.join(NAMES)} was expected")
    data = arguments.data or Path(os.environ.get("FASTLM_DATA") or Options.data)
    options = Options(arguments.full, data, arguments.budget, arguments.only)
    print(environment(), end="\n\n")
    failed = 0
    for name in arguments.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"## {name}\n\n{(module.__doc__ or '').strip()}\n", flush=True)
        begin = time.perf_counter()
        try:
            module.run(options)
        except Skipped as reason:
            print(f"skipped: {reason}\n")
        except Disagreement as error:
            print(f"NOT TIMED: {error}\n")
            failed = 1
        print(f"{name}: {time.perf_counter() - begin:.0f} s\n", file=sys.stderr)
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
