"""The arguments of every sub-command."""

from __future__ import annotations

import argparse
from typing import Any

import fastlm
from fastlm.auto.build import MODELS, SOFTMAXES
from fastlm.text.sources.reading import FORMATS, FORMS

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
    _add_mix(verbs)
    _add_file_verbs(verbs)
    _add_looks(verbs)
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


def _add_reading(added: argparse.ArgumentParser, training: bool = False) -> None:
    """Add the options that say how text is read."""
    group = added.add_argument_group("reading", "Files may be plain text, .jsonl, .json, .csv, .tsv, .parquet, .arrow "
                                     "or .zip, compressed as .gz, .bz2, .xz or .zst.")
    group.add_argument("--text-key", metavar="COLUMN", help="column of tables that holds the texts (default: the only "
                       "column of text, which is said)")
    group.add_argument("--format", choices=FORMATS, default="auto", help="what the files are; text reads them as they "
                       "stand (default: auto, by their names and how they begin)")
    group.add_argument("--encoding", metavar="NAME", help="encoding of the files (default: UTF-8)")
    group.add_argument("--errors", default="strict", metavar="NAME", help="strict refuses bytes that are not of the "
                       "encoding, replace reads U+FFFD, ignore leaves them out, and rows without a text, too (default: "
                       "strict)")
    if training:
        group.add_argument("--normalize", choices=("auto", "none", *FORMS), default="auto", help="Unicode "
                           "normalisation form in which the model reads all text (default: auto, NFC for characters "
                           "and pieces, none for words and bytes)")


def _add_train(verbs: Any) -> None:
    train = _add_verb(verbs, "train", "Train a model of text files", signals=_SIGNALS, files=_REFUSED)
    train.add_argument("files", nargs="+", metavar="FILE", help="files, folders or patterns ('data/**/*.txt'); - is "
                       "standard input")
    train.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write the model to: a new name, "
                       "or an older model, which is replaced")
    train.add_argument("--valid", metavar="FILE", help="held-out text, by which the best weights are chosen (default: "
                       "a twentieth of the text or less, from several places; none for kneser-ney)")
    train.add_argument("--unit", default="auto", metavar="UNIT", help="what a token is: word, between whitespace; "
                       "char, a character; byte; piece, of a word, learnt from the text; auto, which of them suits the "
                       "text and the time; or the path of a tokenizer.json or a sentencepiece .model (default: auto)")
    train.add_argument("--model", choices=MODELS, default="auto", help="what is trained; auto is n-grams and LSTMs as "
                       "large as the time allows, mixed (default: auto)")
    train.add_argument("--softmax", choices=SOFTMAXES, default="auto", help="how a network predicts words; auto is "
                       "sampled for vocabularies of more than 2,000 words, full for others (default: auto)")
    train.add_argument("--precision", type=int, choices=(16, 32), help="bits of a network's weight (default: 16)")
    train.add_argument("--order", type=int, metavar="N", help="tokens of the longest n-grams of auto, mixture and "
                       "kneser-ney (default: 5 for words, 6 for pieces, 8 for characters and bytes, and of these 12 "
                       "or 16 where the text repeats itself)")
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
    train.add_argument("--vocab-size", type=int, metavar="N", help="read all but the N most frequent tokens as <unk>")
    train.add_argument("--max-size", metavar="SIZE", help="bytes of the model at most: 800kB, 20MB, 1.5GB")
    train.add_argument("--min-count", type=int, metavar="N", help="read tokens that occur fewer than N times as <unk> "
                       "(default: words that occur once, where they are at most a tenth of the text)")
    train.add_argument("--threads", type=int, metavar="N", help="number of threads; changes the speed alone (default: "
                       "as many as the process may use)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="decides the first weights and everything else "
                       "that is drawn (default: 0)")
    train.add_argument("--checkpoint", metavar="FILE", help="write the state of the training to this file every minute "
                       "and at the end; where the file exists, training goes on from it")
    train.add_argument("--quiet", action="store_true", help="print nothing but errors and warnings")
    _add_reading(train, training=True)


def _add_generate(verbs: Any) -> None:
    generate = _add_verb(verbs, "generate", "Continue a prompt")
    generate.add_argument("model", metavar="MODEL", help="model file")
    generate.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="beginning of the text; - is "
                          "standard input, but for the end of its last line (default: none)")
    generate.add_argument("--max-tokens", type=int, default=200, metavar="N", help="number of tokens to draw (default: "
                          "200)")
    generate.add_argument("--temperature", type=float, default=0.8, metavar="T", help="above 1 the text is more "
                          "varied, below 1 less; 0 always takes the most likely token (default: 0.8)")
    generate.add_argument("--top-k", type=int, default=40, metavar="K", help="draw only from the K most likely tokens; "
                          "0 is no limit (default: 40)")
    generate.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw only from the most likely tokens "
                          "that together have this probability (default: 1.0, no limit)")
    generate.add_argument("--min-p", type=float, default=0.0, metavar="P", help="draw only tokens that have at least "
                          "this share of the probability of the most likely one (default: 0.0)")
    generate.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="divide the probability "
                          "of a token by X for each time that it has followed the same last tokens (default: 1.0)")
    generate.add_argument("--stop", action="append", metavar="TEXT", help="end before this text; may be "
                          "given several times (default: none)")
    generate.add_argument("--documents", type=int, metavar="N", help="end with the N-th document; 0 is no limit "
                          "(default: 1 where the model was trained on lines or paragraphs, else no limit)")
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text (default: another "
                          "text each time)")
    generate.add_argument("--adapt", action="store_true", help="let the model learn from what it reads and writes")
    _add_reading(generate)


def _add_reading_verbs(verbs: Any) -> None:
    evaluate = _add_verb(verbs, "eval", "Print how well a model predicts a text", "Perplexity is exp of the mean loss "
                         "of a token, ends of lines included, by the closed vocabulary: unknown words are scored as "
                         "<unk>. Bits per byte and perplexity per word are of exactly these bytes, the spelling of "
                         "unknown words and the white space included: they compare models of any unit and vocabulary.")
    evaluate.add_argument("model", metavar="MODEL", help="model file")
    evaluate.add_argument("files", nargs="+", metavar="FILE", help="files, folders or patterns; - is standard input")
    evaluate.add_argument("--documents", choices=("file", "line", "blank-line"), help="what a document is; each is "
                          "read from an empty prefix (default: what it was in training)")
    evaluate.add_argument("--threads", type=int, metavar="N", help="number of threads; changes the speed alone "
                          "(default: as many as the process may use)")
    evaluate.add_argument("--adapt", action="store_true", help="let the model learn from each document as it reads it")
    evaluate.add_argument("--pairs", action="store_true", help="the files are lines of JSON with sentence_good and "
                          "sentence_bad, as BLiMP has them: print how often the good one is likelier")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object in place of a table")
    _add_reading(evaluate)
    _add_generate(verbs)
    _add_next(verbs)
    _add_explain(verbs)
    _add_score(verbs)


def _add_next(verbs: Any) -> None:
    following = _add_verb(verbs, "next", "Print the most likely next tokens after a context")
    following.add_argument("model", metavar="MODEL", help="model file")
    following.add_argument("context", metavar="CONTEXT", help="beginning of a text, in whole words for a word model; "
                           "- is standard input, but for the end of its last line")
    following.add_argument("-k", type=int, default=5, metavar="K", help="number of tokens (default: 5)")
    following.add_argument("--words", action="store_true", help="whole words, whatever the unit of the model is")
    following.add_argument("--prefix", default="", metavar="TEXT", help="the beginning of the word, or of the token")
    _add_reading(following)

    completing = _add_verb(verbs, "complete", "Print the likeliest continuations of a text")
    completing.add_argument("model", metavar="MODEL", help="model file")
    completing.add_argument("context", metavar="CONTEXT", help="beginning of a text, which may stop within a word; - "
                            "is standard input, but for the end of its last line")
    completing.add_argument("-n", type=int, default=3, metavar="N", help="number of continuations (default: 3)")
    completing.add_argument("--words", type=int, default=3, metavar="N", help="words of each (default: 3)")
    _add_reading(completing)


def _add_explain(verbs: Any) -> None:
    explain = _add_verb(verbs, "explain", "Show how surprising every token of a text is", "In a terminal by colours, "
                        "the darker the less expected, unless NO_COLOR is set; elsewhere a line for each token.")
    explain.add_argument("model", metavar="MODEL", help="model file")
    explain.add_argument("text", metavar="TEXT", help="the text; - is standard input, but for the end of its last line")
    explain.add_argument("--other", metavar="MODEL", help="another model: the words that the two expect differently")
    explain.add_argument("--html", metavar="FILE", help="write a page with everything behind each token; an older file "
                         "is replaced")
    _add_reading(explain)


def _add_score(verbs: Any) -> None:
    score = _add_verb(verbs, "score", "Print the negative log-likelihood of every line, in nats", "Each line is a "
                      "document of its own: for a line in, one figure out. A line that is empty or no text gives "
                      "nan, and their number is said at the end. The figure is that of exactly the bytes of the line: "
                      "unknown words pay for their spelling, too.")
    score.add_argument("--closed", action="store_true", help="the tokens alone, unknown words scored as <unk>")
    score.add_argument("--field", metavar="NAMES", help="which figures, separated by commas: nats, bits, perplexity, "
                       "bits_per_byte, unknown and the others of docs/perplexity.md (default: total_nats)")
    score.add_argument("--tsv", action="store_true", help="write the line itself after its figures, all separated by "
                       "tabs; with --per-token a row for each token: line, number, nats, token")
    score.add_argument("--jsonl", action="store_true", help="lines are objects of JSON, whose text --text-key names; "
                       "they are written again with the figures in them")
    score.add_argument("--per-token", action="store_true", help="write the nats of every token of the line")
    score.add_argument("--shard", metavar="I/N", type=shard_of, help="score every N-th line alone, beginning with the "
                       "I-th: 1/16 to 16/16 are all lines")
    score.add_argument("--threads", type=int, metavar="N", help="number of threads; changes the speed alone "
                       "(default: as many as the process may use)")
    score.add_argument("model", metavar="MODEL", help="model file")
    score.add_argument("files", nargs="*", metavar="FILE", help="files, folders or patterns; of tables, "
                       "rows are lines (default: standard input)")
    _add_reading(score)


def _add_mix(verbs: Any) -> None:
    mixing = _add_verb(verbs, "mix", "Mix the predictions of several models", "Either --valid or --weights is needed.")
    mixing.add_argument("models", nargs="+", metavar="MODEL", help="model files, all of the same unit")
    mixing.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write: a new name, or an older "
                        "model, which is replaced; any other file is refused")
    mixing.add_argument("--valid", metavar="FILE", help="held-out text, on which the weights are fitted")
    mixing.add_argument("--weights", metavar="NUMBERS", help="a weight for each model, separated by commas, of sum 1")


def _add_file_verbs(verbs: Any) -> None:
    quantize = _add_verb(verbs, "quantize", "Make a smaller and faster model for prediction", "The weights of networks "
                         "are rounded to int8, which takes a quarter of the memory. Such a model cannot be trained.")
    quantize.add_argument("model", metavar="MODEL", help="model file to read")
    quantize.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write: a new name, or an "
                          "older model, which is replaced; any other file is refused")
    prune = _add_verb(verbs, "prune", "Make a smaller model, without the n-grams that matter least", "An n-gram "
                      "matters by how much the cross-entropy rises without it (Stolcke 1998).")
    prune.add_argument("model", metavar="MODEL", help="model file to read")
    prune.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write: a new name, or an older "
                       "model, which is replaced; any other file is refused")
    prune.add_argument("--max-size", required=True, metavar="SIZE", help="bytes of the new file at "
                       "most: 800kB, 20MB, 1.5GB")
    prune.add_argument("--valid", metavar="FILE", help="held-out text, on which the weights of a mixture are fitted "
                       "again (default: they stay)")
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
    convert = _add_verb(verbs, "convert", "Write a model as ARPA text, or ARPA text as a model", "ARPA text, in which "
                        "KenLM, SRILM and others keep n-grams, is written where OUT ends in .arpa or .lm, perhaps with "
                        ".gz, .bz2, .xz or .zst after it. Every other verb reads ARPA text in place of a model, too.")
    convert.add_argument("model", metavar="MODEL", help="model file, or ARPA text of any tool, plain or compressed")
    convert.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write: a new name, or an older "
                         "file of the same kind, which is replaced")


def _add_looks(verbs: Any) -> None:
    info = _add_verb(verbs, "info", "Print what a model is and how it was trained")
    info.add_argument("model", metavar="MODEL", help="model file")
    info.add_argument("--html", metavar="FILE", help="write the model's card as a page, with a learning curve and five "
                      "lines that it writes; an older file is replaced")
    plot = _add_verb(verbs, "plot", "Draw the held-out perplexity of models while they were trained", "It needs "
                     "matplotlib: pip install \"fastlm[plot]\".")
    plot.add_argument("models", nargs="+", metavar="MODEL", help="model files, which are drawn in one picture")
    plot.add_argument("-o", "--output", required=True, metavar="FILE", help="picture to write, .png, .svg or .pdf; an "
                      "older file is replaced")
    _add_verb(verbs, "demo", "Train on English text that Python carries, and show what comes out, in half a minute")


def shard_of(argument: str) -> tuple[int, int]:
    """Return (3, 16) for "3/16", the third of sixteen shards."""
    first, _, count = argument.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise argparse.ArgumentTypeError(f"{argument!r} is no shard; I/N with I from 1 to N was expected, such as 3/16")
    return int(first), int(count)
