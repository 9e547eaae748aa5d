"""The command line: one sub-command a verb. Texts come from files or standard input, figures go to standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastlm
from fastlm.auto.build import MODELS, SOFTMAXES
from fastlm.files import atomic
from fastlm.files.overwrite import check_outputs, rescue, without_outputs
from fastlm.training.budget import Clock
from fastlm.training.interrupt import Interrupt
from fastlm.training.progress import ProgressLine, flush_errors, open_missing_streams, tell

_STOPPING = ("The first Ctrl-C, SIGTERM or SIGHUP ends the training after its step, and the best model so far is "
             "saved: exit code 130, 143 or 129. A second one is not waited for. Where the model cannot be saved under "
             "its name, it is saved beside it, in the current folder or in that for temporary files under another "
             "name, one sentence says where, and the exit code is 2.")


def parser() -> argparse.ArgumentParser:
    """The arguments of every sub-command."""
    top = argparse.ArgumentParser(prog="fastlm", description="Train a language model of your own text on a CPU.")
    top.add_argument("--version", action="version", version=f"fastlm {fastlm.__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="verb")

    train = verbs.add_parser("train", help="train a model of text files", description="Train a model of text files.",
                             epilog=_STOPPING)
    train.add_argument("files", nargs="+", metavar="FILE", help="text files or folders; - is standard input")
    train.add_argument("-o", "--output", required=True, metavar="MODEL", help="where to write the model: a new name or "
                       "that of an older model, which is replaced; any other file is refused")
    train.add_argument("--valid", metavar="FILE", help="held-out text (default: a twentieth or less, from ten places)")
    train.add_argument("--unit", choices=("word", "char", "byte"), default="word")
    train.add_argument("--model", choices=MODELS, default="auto")
    train.add_argument("--softmax", choices=SOFTMAXES, default="auto", help="how a network predicts many words")
    train.add_argument("--order", type=int, metavar="N", help="tokens of the longest n-grams of auto, mixture and "
                       "kneser-ney (default 5 of words, 8 of characters and bytes; 12 of those of large alphabets "
                       "where it is better)")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--budget", default="60s", help="time for everything: 90s, 10m, 1h (default 60s)")
    length.add_argument("--epochs", type=float, help="passes over the text, instead of a budget")
    length.add_argument("--plan", metavar="MODEL", help="repeat the recorded plan of another model exactly")
    train.add_argument("--documents", choices=("file", "line", "blank-line"), default="file", help="what a document is")
    train.add_argument("--vocab-size", type=int, metavar="N", help="largest vocabulary")
    train.add_argument("--min-count", type=int, metavar="N", help="rarer words are read as <unk>")
    train.add_argument("--threads", type=int, metavar="N", help="default: all this process may use")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--checkpoint", metavar="FILE", help="write one now and then; go on from it where it exists")
    train.add_argument("--quiet", action="store_true", help="print nothing")

    evaluate = verbs.add_parser("eval", help="perplexity of a text")
    evaluate.add_argument("model", metavar="MODEL")
    evaluate.add_argument("file", metavar="FILE", help="- is standard input")
    evaluate.add_argument("--documents", choices=("file", "line", "blank-line"), default="file")
    evaluate.add_argument("--threads", type=int, metavar="N")
    evaluate.add_argument("--adapt", action="store_true", help="let the model learn from each document as it reads it")
    evaluate.add_argument("--json", action="store_true", help="one JSON object")

    generate = verbs.add_parser("generate", help="continue a prompt")
    generate.add_argument("model", metavar="MODEL")
    generate.add_argument("prompt", nargs="?", default="", metavar="PROMPT")
    generate.add_argument("--max-tokens", type=int, default=200, metavar="N")
    generate.add_argument("--temperature", type=float, default=0.8)
    generate.add_argument("--top-k", type=int, default=40, metavar="K", help="0 is no limit")
    generate.add_argument("--top-p", type=float, default=1.0, metavar="P")
    generate.add_argument("--seed", type=int)
    generate.add_argument("--adapt", action="store_true", help="let the model learn from what it reads and writes")

    following = verbs.add_parser("next", help="the likeliest next tokens after a context")
    following.add_argument("model", metavar="MODEL")
    following.add_argument("context", metavar="CONTEXT")
    following.add_argument("-k", type=int, default=5)

    score = verbs.add_parser("score", help="nats of every line: a line in, a figure out")
    score.add_argument("model", metavar="MODEL")
    score.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: standard input")

    quantize = verbs.add_parser("quantize", help="a model for prediction in a quarter of the memory, and faster")
    quantize.add_argument("model", metavar="MODEL")
    quantize.add_argument("-o", "--output", required=True, metavar="MODEL", help="where to write it")

    info = verbs.add_parser("info", help="what a model is and how it was trained")
    info.add_argument("model", metavar="MODEL")
    verbs.add_parser("demo", help="train on English that Python carries and show what comes out, in half a minute")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0; 2 for bad input, or a model that could not be saved where it
    was to be; 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP, whether there was a model to save or not."""
    if arguments is None:
        open_missing_streams()
    options = parser().parse_args(arguments)
    # of a command of its own, what it took to start is a part of the time
    options.clock = Clock(time.process_time() if arguments is None else 0.0)
    try:
        return VERBS[options.verb](options)
    except KeyboardInterrupt:
        tell("fastlm: interrupted before there was anything to keep")
        return 130
    except (OSError, ValueError, TypeError, IndexError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and options.verb not in ("train", "quantize"):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())   # the reader has had enough
            return 0
        tell(f"fastlm: {error}")
        return 2
    finally:
        if arguments is None:
            flush_errors()


def _train(options: argparse.Namespace) -> int:
    with Interrupt() as interrupt:
        trained = False
        try:
            lm = _trained(options, interrupt)
            trained = True
            code = _save(lm, options)
        except (KeyboardInterrupt, SystemExit):
            if interrupt.number is None:
                raise
            tell("fastlm: interrupted again, before the model was saved" if trained or interrupt.kept
                 else "fastlm: interrupted before there was anything to keep")
            code = 0
    return code or (128 + interrupt.number if interrupt.number is not None else 0)


def _trained(options: argparse.Namespace, interrupt: Interrupt) -> fastlm.LanguageModel:
    outputs = {"output": options.output, "checkpoint": options.checkpoint}
    names, left = without_outputs(options.files, outputs.values())
    source: Any = sys.stdin.buffer if names == ["-"] else [Path(name) for name in names]
    check_outputs(outputs, source, options.valid)
    atomic.check_writable(options.output)
    if left and not options.quiet:
        tell(f"{', '.join(left)} will be written and is left out of the text")
    line = None if options.quiet else ProgressLine(sys.stderr)
    plan = fastlm.load(options.plan).plan if options.plan else None
    if options.plan and plan is None:
        raise ValueError(f"{options.plan} records no plan")
    lm = fastlm.train(
        source, options.unit, options.valid, options.model, options.budget, options.seed, options.threads,
        epochs=options.epochs, plan=plan, documents=options.documents, min_count=options.min_count,
        max_size=options.vocab_size, order=options.order, softmax=options.softmax, progress=line or False,
        checkpoint=options.checkpoint, clock=options.clock, interrupt=interrupt)
    if line is not None:
        line.close()
    return lm


def _save(lm: fastlm.LanguageModel, options: argparse.Namespace) -> int:
    """Save the model, if it must be in another place; return the exit code."""
    try:
        lm.save(options.output)
    except OSError as error:
        tell(f"fastlm: {error}; {rescue(lm.save, options.output)}")
        return 2
    if not options.quiet:
        tell(f"{lm.history.ended}\n{lm!r} saved to {options.output} after {options.clock.seconds():.1f} s")
    return 0


def _eval(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    score = lm.evaluate(_source(options.file), options.documents, options.threads, options.adapt)
    if options.json:
        figures = {"perplexity": score.perplexity, "nats_per_token": score.nats_per_token,
                   "bits_per_byte": score.bits_per_byte, "tokens": score.tokens, "unknown": score.unknown}
        print(json.dumps(figures))
    else:
        print(f"perplexity      {score.perplexity:.3f}\nnats a token    {score.nats_per_token:.4f}\n"
              f"bits a byte     {score.bits_per_byte:.4f}\ntokens          {score.tokens}\n"
              f"unknown         {score.unknown}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    pieces = lm.generate(options.prompt, options.max_tokens, options.temperature, options.top_k, options.top_p,
                         options.seed, options.adapt)
    write(options.prompt)
    for piece in pieces:
        write(piece)
    write("\n")
    return 0


def _next(options: argparse.Namespace) -> int:
    for token, probability in fastlm.load(options.model).next_tokens(options.context, options.k):
        write(f"{probability:.6f}\t{json.dumps(token, ensure_ascii=False) if token.isspace() else token}\n")
    return 0


def _score(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    with sys.stdin.buffer if options.file == "-" else open(options.file, "rb") as file:
        for number, raw in enumerate(file, 1):
            text = raw if raw.endswith(b"\n") else raw + b"\n"
            if text.isspace() and not text.strip(b"\r\n"):
                tell(f"fastlm: line {number} is empty; text was expected, so its figure is nan")
                write("nan\n")
                continue
            try:
                line = text if lm.vocabulary.unit == "byte" else text.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"line {number}: byte 0x{text[error.start]:02x} at offset {error.start} is not "
                                 "UTF-8") from None
            write(f"{lm.score(line, threads=1).nats:.6f}\n")
    return 0


def _quantize(options: argparse.Namespace) -> int:
    check_outputs({"output": options.output}, options.model)
    atomic.check_writable(options.output)
    fastlm.load(options.model).quantized().save(options.output)
    return 0


def _info(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    print(repr(lm))
    for name, value in lm.card.items():
        print(f"{name:<12}{value}")
    print(f"{'sha256':<12}{lm.digest()}")
    if lm.plan is not None:
        plan = lm.plan
        print(f"{'plan':<12}{plan.steps} steps, weights of step {plan.kept} kept; {plan.batching} of {plan.lanes} x "
              f"{plan.chunk} tokens in {plan.shards} shards; {plan.optimizer}; seed {plan.seed}")
    print(lm.history)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from fastlm.demo import demo
    demo(sys.stdout, ProgressLine(sys.stderr))
    return 0


def _source(name: str) -> Any:
    return sys.stdin.buffer if name == "-" else name


def write(text: str) -> None:
    """Text to standard output at once; bytes that were not UTF-8 come out as they went in."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


VERBS = {"train": _train, "eval": _eval, "generate": _generate, "next": _next, "score": _score, "quantize": _quantize,
         "info": _info, "demo": _demo}
