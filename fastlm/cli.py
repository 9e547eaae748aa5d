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
from fastlm.auto.build import MODELS, SOFTMAXES
from fastlm.coding.compress import compress_file, decompress_file
from fastlm.files import atomic
from fastlm.files.overwrite import check_outputs, rescue, without_outputs
from fastlm.text.tokens import UNITS
from fastlm.training.budget import Clock, process_seconds
from fastlm.training.interrupt import Interrupt
from fastlm.training.progress import ProgressLine, flush_errors, open_missing_streams, tell

_EXIT_CODES = ("0: success. 2: the input cannot be used, or the model could not be saved under its name; one sentence "
               "on standard error says why. 130: Ctrl-C.")
_SIGNALS = ("The first Ctrl-C, SIGTERM or SIGHUP ends the training after its step, and the best model so far is saved. "
            "The exit code is then 130, 143 or 129, whether there was a model to save or not. A second Ctrl-C or "
            "SIGTERM ends the program at once, and a model that is not saved yet is lost; a second SIGHUP is ignored.")
_REFUSED = ("-o and --checkpoint refuse, before the text is read, a file that is to be read as text, and any existing "
            "file that is not empty and not an older model or checkpoint. A model in a folder that is read as text is "
            "left out of the text where -o names it. If the model cannot be saved under its name in the end, for "
            "example because the disk is full, it is saved as NAME.rescued-NUMBER in the same folder, the current "
            "folder or the folder for temporary files; one sentence says where, and the exit code is 2.")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments of every sub-command."""
    top = argparse.ArgumentParser(prog="fastlm", description="Train a language model of your own text on a CPU.")
    top.add_argument("--version", action="version", version=f"fastlm {fastlm.__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="verb")
    _add_train(verbs)
    _add_reading_verbs(verbs)
    _add_file_verbs(verbs)
    return top


def _add_verb(verbs: Any, name: str, sentence: str, more: str = "", **sections: str) -> argparse.ArgumentParser:
    """Add a sub-command and return its parser.

    sentence: what it does, for the list of all sub-commands; in its own help `more` follows. sections: {title: text} of
    that help, after the options and before the exit codes.
    """
    added: argparse.ArgumentParser = verbs.add_parser(name, help=sentence[0].lower() + sentence[1:],
                                                      description=f"{sentence}. {more}")
    for title, text in {**sections, "exit codes": _EXIT_CODES}.items():
        added.add_argument_group(title, text)
    return added


def _add_train(verbs: Any) -> None:
    train = _add_verb(verbs, "train", "Train a model of text files", signals=_SIGNALS, files=_REFUSED)
    train.add_argument("files", nargs="+", metavar="FILE", help="text files or folders; - is standard input")
    train.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write the model to: a new name, "
                       "or an older model, which is replaced")
    train.add_argument("--valid", metavar="FILE", help="held-out text, by which the best weights are chosen (default: "
                       "a twentieth of the text or less, from several places; none for kneser-ney)")
    train.add_argument("--unit", choices=UNITS, default="word", help="what a token is: a word between whitespace, a "
                       "character, a byte, or a piece of a word, learnt from the text (default: word)")
    train.add_argument("--model", choices=MODELS, default="auto", help="what is trained; auto is n-grams and LSTMs as "
                       "large as the time allows, mixed (default: auto)")
    train.add_argument("--softmax", choices=SOFTMAXES, default="auto", help="how a network predicts words; auto is "
                       "sampled for vocabularies of more than 2,000 words, full for others (default: auto)")
    train.add_argument("--precision", type=int, choices=(16, 32), help="bits of a network's weight (default: 16)")
    train.add_argument("--order", type=int, metavar="N", help="tokens of the longest n-grams of auto, mixture and "
                       "kneser-ney (default: 5 for words, 8 for characters and bytes; auto and mixture: 12 for large "
                       "alphabets where it is better)")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--budget", default="60s", metavar="TIME", help="wall-clock time of the whole command, from "
                        "its start to the saved model: 90s, 10m, 1h; short runs may be late on a busy machine, and "
                        "kneser-ney takes the time that counting needs (default: 60s)")
    length.add_argument("--epochs", type=float, metavar="N", help="passes over the text, in place of a budget; every "
                        "run with the same seed gives the same bytes")
    length.add_argument("--plan", metavar="MODEL", help="repeat the training that this model file records, on "
                        "the same text, in place of a budget; gives the same bytes")
    train.add_argument("--documents", choices=("file", "line", "blank-line"), default="file", help="what a document "
                       "is: a file, a line, or the text between blank lines (default: file)")
    train.add_argument("--vocab-size", type=int, metavar="N", help="keep only the N most frequent tokens and read the "
                       "others as <unk> (default: no limit)")
    train.add_argument("--min-count", type=int, metavar="N", help="read tokens that occur fewer than N times as <unk> "
                       "(default: words that occur once, where they are at most a tenth of the text)")
    train.add_argument("--threads", type=int, metavar="N", help="number of threads; changes the speed alone (default: "
                       "as many as the process may use)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="decides the first weights and everything else "
                       "that is drawn (default: 0)")
    train.add_argument("--checkpoint", metavar="FILE", help="write the state of the training to this file every minute "
                       "and at the end; where the file exists, training goes on from it")
    train.add_argument("--quiet", action="store_true", help="print nothing but errors and warnings")


def _add_reading_verbs(verbs: Any) -> None:
    evaluate = _add_verb(verbs, "eval", "Print how well a model predicts a text", "Perplexity is exp of the mean loss "
                         "of a token, ends of lines included, by the closed vocabulary: unknown words are scored as "
                         "<unk>. Bits per byte and perplexity per word are of exactly these bytes, the spelling of "
                         "unknown words and the white space included: they compare models of any unit and vocabulary.")
    evaluate.add_argument("model", metavar="MODEL", help="model file")
    evaluate.add_argument("file", metavar="FILE", help="text file or folder; - is standard input")
    evaluate.add_argument("--documents", choices=("file", "line", "blank-line"), help="what a document is; each is "
                          "read from an empty prefix (default: what it was in training)")
    evaluate.add_argument("--threads", type=int, metavar="N", help="number of threads; changes the speed alone "
                          "(default: as many as the process may use)")
    evaluate.add_argument("--adapt", action="store_true", help="let the model learn from each document as it reads it")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object in place of a table")

    generate = _add_verb(verbs, "generate", "Continue a prompt")
    generate.add_argument("model", metavar="MODEL", help="model file")
    generate.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="beginning of the text (default: "
                          "none)")
    generate.add_argument("--max-tokens", type=int, default=200, metavar="N", help="number of tokens to draw (default: "
                          "200)")
    generate.add_argument("--temperature", type=float, default=0.8, metavar="T", help="above 1 the text is more "
                          "varied, below 1 less; 0 always takes the most likely token (default: 0.8)")
    generate.add_argument("--top-k", type=int, default=40, metavar="K", help="draw only from the K most likely tokens; "
                          "0 is no limit (default: 40)")
    generate.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw only from the most likely tokens "
                          "that together have this probability (default: 1.0, no limit)")
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text (default: another "
                          "text each time)")
    generate.add_argument("--adapt", action="store_true", help="let the model learn from what it reads and writes")

    following = _add_verb(verbs, "next", "Print the most likely next tokens after a context")
    following.add_argument("model", metavar="MODEL", help="model file")
    following.add_argument("context", metavar="CONTEXT", help="beginning of a text, in whole words for a word model")
    following.add_argument("-k", type=int, default=5, metavar="K", help="number of tokens (default: 5)")

    score = _add_verb(verbs, "score", "Print the negative log-likelihood of every line, in nats", "Each line is a "
                      "document of its own: for a line in, one figure out. An empty line gives nan. The figure is that "
                      "of exactly the bytes of the line: unknown words pay for their spelling, too.")
    score.add_argument("--closed", action="store_true", help="the tokens alone, unknown words scored as <unk>")
    score.add_argument("model", metavar="MODEL", help="model file")
    score.add_argument("file", nargs="?", default="-", metavar="FILE", help="text file (default: standard input)")


def _add_file_verbs(verbs: Any) -> None:
    quantize = _add_verb(verbs, "quantize", "Make a smaller and faster model for prediction", "The weights of networks "
                         "are rounded to int8, which takes a quarter of the memory. Such a model cannot be trained.")
    quantize.add_argument("model", metavar="MODEL", help="model file to read")
    quantize.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write: a new name, or an "
                          "older model, which is replaced; any other file is refused")
    compress = _add_verb(verbs, "compress", "Compress a file to the bits that a model needs for it", "The arithmetic "
                         "coder takes the bits per byte that eval prints, and one step of the model for each token. "
                         "The same model is needed to get the file back, on the same kind of machine.")
    compress.add_argument("model", metavar="MODEL", help="model file")
    compress.add_argument("file", metavar="FILE", help="file to compress; - is standard input")
    compress.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write, a new name")
    compress.add_argument("--documents", choices=("file", "line"), help="what the model reads from an empty prefix: "
                          "all of the file, or each line (default: as it was trained)")
    compress.add_argument("--adapt", action="store_true", help="let the model learn from the text as it goes")
    decompress = _add_verb(verbs, "decompress", "Get back the file that compress was given, to the last byte")
    decompress.add_argument("model", metavar="MODEL", help="model file with which it was compressed")
    decompress.add_argument("file", metavar="FILE", help="file to decompress; - is standard input")
    decompress.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write, a new name")
    info = _add_verb(verbs, "info", "Print what a model is and how it was trained")
    info.add_argument("model", metavar="MODEL", help="model file")
    _add_verb(verbs, "demo", "Train on English text that Python carries, and show what comes out, in half a minute")


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
        if isinstance(error, BrokenPipeError) and options.verb not in ("train", "quantize"):
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
    names, left_out = without_outputs(options.files, outputs.values())
    source: Any = sys.stdin.buffer if names == ["-"] else [Path(name) for name in names]
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
        max_size=options.vocab_size, order=options.order, softmax=options.softmax, precision=options.precision,
        progress=line or False, checkpoint=options.checkpoint, clock=options.clock, interrupt=interrupt)
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


_FIGURES = ("perplexity", "nats_per_token", "bits_per_byte", "perplexity_per_word", "tokens", "unknown", "words",
            "bytes", "nats", "spelling_nats", "spacing_nats", "total_nats")


def _eval(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
    score = lm.evaluate(_source(options.file), options.documents, options.threads, options.adapt)
    if options.json:
        print(json.dumps({name: getattr(score, name) for name in _FIGURES}))
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
            found = lm.score(line, threads=1)
            write(f"{found.nats if options.closed else found.total_nats:.6f}\n")
    return 0


def _quantize(options: argparse.Namespace) -> int:
    check_outputs({"output": options.output}, options.model)
    atomic.check_writable(options.output)
    fastlm.load(options.model).quantized().save(options.output)
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


def _info(options: argparse.Namespace) -> int:
    lm = fastlm.load(options.model)
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


def _demo(options: argparse.Namespace) -> int:
    from fastlm.demo import demo
    demo(sys.stdout, ProgressLine(sys.stderr))
    return 0


def _source(name: str) -> Any:
    return sys.stdin.buffer if name == "-" else name


def write(text: str) -> None:
    """Write text to standard output at once. Bytes of the input that were not UTF-8 come out as they went in."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


VERBS = {"train": _train, "eval": _eval, "generate": _generate, "next": _next, "score": _score, "quantize": _quantize,
         "compress": _compress, "decompress": _decompress, "info": _info, "demo": _demo}
