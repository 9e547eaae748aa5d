"""Run the benchmarks: python -m benchmarks [NAME ...] [--list] [--full] [--data FOLDER] [--budget S] [--only TEXT]"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

import fastlm  # noqa: F401  (first, so that a checkout that is not compiled finds the installed one)
from benchmarks.harness import Disagreement, Options, Skipped, environment

# The benchmarks by subject, each subject a folder: name = file name, and what is measured. They run in this order.
SUBJECTS = {
    "kernels": {
        "kernels": "softmax and losses, activations, dropout, LSTM gates, optimisers, sums, sampling",
        "rows": "gather, scatter, all prefixes of a positional one-hot document, decayed sums",
        "products": "the matrix products of an LSTM layer (16 to 64 rows), and those of many rows",
    },
    "models": {
        "step": "one token of one document through an LSTM-256; the best 5 of 10,000 words; generation",
        "prefix_state": "all prefixes of a text by one pass, by steps, and each anew; draws docs/prefix_state.png",
        "training": "tokens/s of whole training steps, and their share of the sgemm peak",
        "attention": "whole training steps of a GPT of width 256",
        "scaling": "a training step in 1, 2, 4 and 8 shards on one thread and on two; more cores projected",
    },
    "ngrams": {
        "ngram": "the n-gram model: time to build, to score; perplexity, memory, disk",
        "large": "100 MB of generated text counted, and a text of your own in a budget: time, memory, what was read",
        "sizes": "how small a model may be: bytes of the file against perplexity, n-grams pruned",
        "short": "100,000 short lines scored, beside KenLM's module; next words at a keyboard, a page, loading",
        "arpa": "an ARPA file of millions of n-grams loaded and saved: processor time, memory, beside KenLM",
    },
    "quality": {
        "quality": "nats and perplexity of an LSTM after a time budget, by the command line",
        "outputs": "perplexity against seconds of the output layers at 10,000 and 50,000 words; time of a prediction",
        "budgets": "what `fastlm train` reaches in 2 s to 30 min, static and adapting, beside its goals",
        "alphabets": "Chinese and Japanese read as characters: the default beside n-grams, in bits per byte",
        "corpora": "ten raw texts of packages, made where FASTLM_CORPORA says: their sizes and digests",
        "units": "bits per byte of these texts by unit after 10, 60 and 300 s, beside n-grams and compressors",
        "coder": "the arithmetic coder's length beside the score's bits, for every unit; xz",
        "punctual": "twenty runs of `fastlm train --budget 2s`, alone and beside a busy process: the slowest run",
        "ladder": "each part of that model by itself, and the mixture without it",
        "quantized": "perplexity and size of models with weights in one byte",
        "calibrate": "the numbers by which `train` decides, where they can be measured; the sources of the others",
    },
    "package": {
        "startup": "time of `import fastlm`, installed size",
        "load": "time and private memory of loading a model, in fresh processes, and what these share",
        "cutting": "text cut into the pieces of a tokenizer.json, beside the package `tokenizers`",
    },
}
MODULES = {name: f"benchmarks.{subject}.{name}" for subject, names in SUBJECTS.items() for name in names}


def listing() -> str:
    """Return the names of the benchmarks by subject, one a line, each with what it measures."""
    return "\n".join(line for subject, names in SUBJECTS.items()
                     for line in (subject, *(f"    {name:13} {what}" for name, what in names.items())))


def main() -> int:
    """Run the benchmarks named, or all; return 1 where a rival's result disagreed with ours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure fastlm beside its rivals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run (default all); see --list")
    parser.add_argument("--list", action="store_true", help="print the names by subject, and run nothing")
    parser.add_argument("--full", action="store_true",
                        help="the long runs: quality at 60 s and 300 s, every budget by three seeds, every prefix anew")
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="the folder of the corpora (default $FASTLM_DATA, else ../shared/data)")
    parser.add_argument("--budget", type=float, metavar="SECONDS",
                        help="seconds of each training run of the quality benchmarks")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="of training, budgets and units, only the cases whose name contains TEXT")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MODULES:
            parser.error(f"benchmark {name!r} is not known; one of {', '.join(MODULES)} was expected")
    if arguments.list:
        print(listing())
        return 0
    data = arguments.data or Path(os.environ.get("FASTLM_DATA") or Options.data)
    options = Options(arguments.full, data, arguments.budget, arguments.only)
    print(environment(), end="\n\n")
    return max([run(name, options) for name in arguments.names or MODULES], default=0)


def run(name: str, options: Options) -> int:
    """Run one benchmark and print its tables; return 1 where a rival's result disagreed with ours, else 0."""
    module = importlib.import_module(MODULES[name])
    print(f"## {name}\n\n{(module.__doc__ or '').strip()}\n", flush=True)
    begin, failed = time.perf_counter(), 0
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
