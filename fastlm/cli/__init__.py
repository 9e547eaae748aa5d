"""The command line, with one sub-command for each verb. Figures and texts go to standard output, messages to standard
error."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import fastlm
from fastlm.cli.arguments import parser
from fastlm.cli.inputs import names_of, reading_of, source_of, text_argument
from fastlm.cli.pairs import judged, pairs_of, table
from fastlm.cli.score import score_lines
from fastlm.coding.compress import compress_file, decompress_file
from fastlm.files import atomic
from fastlm.files.overwrite import check_outputs, rescue, without_outputs
from fastlm.training.budget import Clock, process_seconds
from fastlm.training.interrupt import Interrupt
from fastlm.training.progress import ProgressLine, flush_errors, open_missing_streams, tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code.

    arguments: None for those of the process. The code is 0 for success; 2 for input that cannot be used, or a model
    that could not be saved under its name; 130 after Ctrl-C; and after `train` was stopped by SIGTERM or SIGHUP 143 or
    129, whether there was a model to save or not.
    """
    if arguments is None:
        open_missing_streams()
    options = parser().parse_args(arguments)
    # A process of its own has already spent time on starting Python and importing fastlm.
    options.clock = Clock(process_seconds() if arguments is None else 0.0)
    try:
        return VERBS[options.verb](options)
    except KeyboardInterrupt:
        tell("fastlm: interrupted before there was anything to keep")
        return 130
    except (OSError, ValueError, TypeError, IndexError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and options.verb not in ("train", "quantize", "prune"):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())   # as `head` does when it has enough lines
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
            lm = _train_model(options, interrupt)
            trained = True
            code = _save(lm, options)
        except (KeyboardInterrupt, SystemExit):
            if interrupt.number is None:
                raise
            tell("fastlm: interrupted again, before the model was saved" if trained or interrupt.kept
                 else "fastlm: interrupted before there was anything to keep")
            code = 0
    return code or (128 + interrupt.number if interrupt.number is not None else 0)


def _train_model(options: argparse.Namespace, interrupt: Interrupt) -> fastlm.LanguageModel:
    outputs = {"output": options.output, "checkpoint": options.checkpoint}
    names, left_out = without_outputs(names_of(options.files), outputs.values())
    source = source_of(names)
    check_outputs(outputs, source, options.valid)
    atomic.check_writable(options.output)
    if left_out and not options.quiet:
        tell(f"{', '.join(left_out)} will be written and is left out of the text")
    line = None if options.quiet else ProgressLine(sys.stderr)
    plan = fastlm.load(options.plan).plan if options.plan else None
    if options.plan and plan is None:
        raise ValueError(f"{options.plan} records no plan")
    lm = fastlm.train(
        source, options.unit, options.valid, options.model, options.budget, options.seed, options.threads,
        epochs=options.epochs, plan=plan, documents=options.documents, min_count=options.min_count,
        max_size=options.vocab_size, max_bytes=options.max_size, order=options.order, softmax=options.softmax,
        precision=options.precision,
        progress=line or False, checkpoint=options.checkpoint, clock=options.clock, interrupt=interrupt,
        text_key=options.text_key, format=options.format, encoding=options.encoding, errors=options.errors,
        normalize=options.normalize)
    if line is not None:
        line.close()
    return lm


def _save(lm: fastlm.LanguageModel, options: argparse.Namespace) -> int:
    """Save the model, under another name where that fails; return the exit code."""
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
    if options.pairs:
        pairs = list(pairs_of(source_of(names_of(options.files)), reading_of(options)))
        if not pairs:
            raise ValueError("there is no pair in the files; lines of JSON with minimal pairs were expected")
        print(table(judged(lm, pairs, options.threads), options.json))
        return 0
    score = lm.evaluate(source_of(names_of(options.files)), options.documents, options.threads, options.adapt,
                        reading=reading_of(options).but(normalize=lm.vocabulary.normalize))
    if options.json:
        print(json.dumps(score.to_dict()))
    else:
        print(f"perplexity, closed vocabulary  {score.perplexity:.3f}\n"
              f"nats per token                 {score.nats_per_token:.4f}\n"
              f"tokens                         {score.tokens}\n"
              f"unknown                        {score.unknown}\n"
              f"bits per byte                  {score.bits_per_byte:.4f}\n"
              f"perplexity per word            {score.perplexity_per_word:.3f}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    prompt = text_argument(options.prompt, lm.vocabulary.unit, options)
    pieces = lm.generate(prompt, options.max_tokens, options.temperature, options.top_k, options.top_p, options.seed,
                         options.adapt, options.min_p, options.repetition_penalty, options.stop or (), None,
                         options.documents)
    write(prompt)
    for piece in pieces:
        write(piece)
    write("\n")
    return 0


def _next(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    context = text_argument(options.context, lm.vocabulary.unit, options)
    found = lm.next_words(context, options.prefix, options.k) if options.words \
        else lm.next_tokens(context, options.k, options.prefix)
    for token, probability in found:
        write(f"{probability:.6f}\t{json.dumps(token, ensure_ascii=False) if token.isspace() else token}\n")
    return 0


def _complete(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    context = text_argument(options.context, lm.vocabulary.unit, options)
    for text, probability in lm.complete(context, options.n, options.words):
        write(f"{probability:.6f}\t{context}{text}\n")
    return 0


def _explain(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    text = text_argument(options.text, lm.vocabulary.unit, options)
    if options.other:
        found: Any = lm.compare(text, fastlm.load(options.other), (options.model, options.other))
    else:
        found = lm.explain(text)
    if options.html:
        found.to_html(options.html)
    else:
        write(f"{found}\n")
    return 0


def _score(options: argparse.Namespace) -> int:
    score_lines(options, write)
    return 0


def _quantize(options: argparse.Namespace) -> int:
    check_outputs({"output": options.output}, options.model)
    atomic.check_writable(options.output)
    fastlm.load(options.model).quantized().save(options.output)
    return 0


def _prune(options: argparse.Namespace) -> int:
    check_outputs({"output": options.output}, options.model, options.valid)
    atomic.check_writable(options.output)
    lm = fastlm.load(options.model)
    lm.pruned(options.max_size, None if options.valid is None else Path(options.valid)).save(options.output)
    return 0


def _mix(options: argparse.Namespace) -> int:
    check_outputs({"output": options.output}, [*options.models], options.valid)
    atomic.check_writable(options.output)
    weights = None if options.weights is None else [float(weight) for weight in options.weights.split(",")]
    held_out = None if options.valid is None else Path(options.valid)
    lm = fastlm.mix([fastlm.load(name) for name in options.models], held_out, weights)
    lm.save(options.output)
    tell(f"{lm.card['mixed']}; saved to {options.output}")
    return 0


def _compress(options: argparse.Namespace) -> int:
    def work(lm: fastlm.LanguageModel, file: BinaryIO, output: BinaryIO) -> None:
        compress_file(lm, file, output, options.documents, options.adapt)
    return _recode(options, work)


def _decompress(options: argparse.Namespace) -> int:
    return _recode(options, decompress_file)


def _recode(options: argparse.Namespace, work: Callable[[fastlm.LanguageModel, BinaryIO, BinaryIO], None]) -> int:
    """Write a new file from another one."""
    if os.path.exists(options.output):
        raise FileExistsError(f"{options.output} exists already; a new name was expected")
    atomic.check_writable(options.output)
    lm = fastlm.load(options.model)
    with sys.stdin.buffer if options.file == "-" else open(options.file, "rb") as file:
        atomic.replace(options.output, lambda output: work(lm, file, output))
    return 0


def _convert(options: argparse.Namespace) -> int:
    lm = fastlm.arpa.convert(options.model, options.output, fastlm.load)
    tell(f"{lm.history.ended}\n{lm!r} written to {options.output}")
    return 0


def _info(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    if options.html:
        lm.card_page(options.html, os.path.basename(options.model))
        return 0
    print(repr(lm))
    for name, value in lm.card.items():
        print(f"{name:<12}{value}")
    print(f"{'sha256':<12}{lm.digest()}")
    if lm.plan is not None:
        plan = lm.plan
        print(f"{'plan':<12}{plan.steps} steps, weights of step {plan.kept} kept; {plan.batching} of "
              f"{plan.batch_size} x {plan.sequence_length} tokens in {plan.shards} shards; {plan.optimizer}; "
              f"seed {plan.seed}")
    print(lm.history)
    return 0


def _plot(options: argparse.Namespace) -> int:
    atomic.check_writable(options.output)
    axes: Any = None
    for name in options.models:
        axes = fastlm.load(name).history.plot(axes, os.path.basename(name))
    kind = os.path.splitext(options.output)[1].lstrip(".") or "png"
    atomic.replace(options.output, lambda file: axes.figure.savefig(file, format=kind, dpi=150))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from fastlm.demo import demo
    demo(sys.stdout, ProgressLine(sys.stderr))
    return 0


def write(text: str) -> None:
    """Write text to standard output at once. Bytes of the input that were not UTF-8 come out as they went in."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


VERBS = {"train": _train, "eval": _eval, "generate": _generate, "next": _next, "complete": _complete,
         "explain": _explain, "score": _score, "quantize": _quantize, "prune": _prune, "mix": _mix,
         "compress": _compress, "decompress": _decompress, "convert": _convert, "info": _info, "plot": _plot,
         "demo": _demo}
