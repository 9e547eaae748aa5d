"""`fastlm.train`: from a source of text to a trained language model in one call."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fastlm._version import __version__
from fastlm.auto import build as builders
from fastlm.auto.blend import blend, fit_network
from fastlm.auto.evaluate import evaluate_counts
from fastlm.auto.extents import extent_of, said
from fastlm.auto.held_out import hold_out
from fastlm.auto.order import order_for
from fastlm.auto.policy import Policy
from fastlm.auto.request import Notes, Recorded, Request, Text, progress_function
from fastlm.auto.shrink import fit_into
from fastlm.auto.size import NetworkSize, batch_size_of, measure_speed, network_size, size_for_passes
from fastlm.auto.timetable import Timetable
from fastlm.auto.unit import settled
from fastlm.coding.spacing import GapCounter
from fastlm.coding.spelling import Spelling, escape_of, known_tokens
from fastlm.files.overwrite import check_outputs
from fastlm.language_model import LanguageModel
from fastlm.models import KneserNey, Mixture, PrefixModel
from fastlm.models.precision import PRECISIONS, round_weights
from fastlm.text.corpus import Corpus
from fastlm.text.sources.containers import recognised
from fastlm.text.sources.reading import Reading, check_choice
from fastlm.text.spaces import advice_on_spaces
from fastlm.text.tokenizers.given import given_unit
from fastlm.text.tokens import UNITS
from fastlm.text.vocabulary import Vocabulary
from fastlm.training import Plan
from fastlm.training import checkpoint as checkpoints
from fastlm.training.budget import Clock, parse_budget, parse_bytes
from fastlm.training.interrupt import Interrupt, interruptible
from fastlm.training.optim import Optimizer


@interruptible
def train(source: Any, unit: Any = "auto", valid: Any = None, model: Any = "auto",
          budget: float | str | None = "60s", seed: int = 0, threads: int | None = None, *,
          epochs: float | None = None, plan: Plan | None = None, documents: str = "file", min_count: int | None = None,
          max_size: int | None = None, order: int | None = None, softmax: str = "auto", precision: int | None = None,
          max_bytes: int | str | None = None,
          optimizer: Optimizer | None = None, progress: Callable[[dict[str, Any]], None] | bool = False,
          checkpoint: Any = None, checkpoint_every: float = 60.0, clock: Clock | None = None,
          policy: Policy | None = None, interrupt: Interrupt | None = None, text_key: str | None = None,
          format: str = "auto", encoding: str | None = None, errors: str = "strict",
          normalize: str | None = "auto") -> LanguageModel:
    """Train a language model of a text in the time given.

    By default the model is n-grams and LSTMs, as wide and as many as the time allows on this machine, mixed by weights
    that are fitted on held-out text; a part without weight is left out.

    The first Ctrl-C, SIGTERM or SIGHUP ends the training after the step that is running: the stages that are left are
    skipped or made short, the best model so far is returned, and its ``history.reason`` is Ended.INTERRUPTED. A second
    signal ends the call at once. Before there is a model, Ctrl-C raises KeyboardInterrupt and the others SystemExit.

    Parameters
    ----------
    source : path, folder, pattern, open file, table, Corpus, or iterable of paths, texts, rows, token lists or id lists
        The text to train on; `fastlm.text.read_documents` says what is read.
    unit : "auto", "word", "char", "byte", "piece", a tokenizer or its file, default "auto"
        What a token is: what stands between ASCII whitespace, a Unicode code point, a byte, or a piece of a word, which
        is learnt from the text: frequent words are one piece and others are made of several, so that no word is
        unknown. "auto" decides by the text and the time: words where somebody has cut the text into words, and for
        examples of a few lines; characters for shorter texts, and for items and numbers; pieces for longer texts. The
        card says why. Or what a tokenizer of `tokenizers`, `transformers`, `sentencepiece` or `tiktoken` makes of the
        text, or any object with `encode` and `decode`.
    valid : as `source`, default None
        Held-out text: by it the best weights are kept and the parts of a mixture weighed. None: it is taken from the
        source, from many places, where that has 2,000 tokens or more: a twentieth of the tokens, but no more than
        25,000, or of a text of more than five million tokens a two-hundredth, at most 500,000; for "auto" and "mixture"
        a fiftieth at most where the budget is below ten seconds. Nothing is held out for "kneser-ney".
    model : str, PrefixModel or function, default "auto"
        A name of `fastlm.auto.build.MODELS`; a model of the size of the vocabulary, of which a copy is trained, from
        the weights that it has; or a function from that size to a model. "auto" is n-grams and LSTMs, or n-grams alone
        where the time or the text is too short for a network; "mixture" trains an LSTM in any case; "kneser-ney" is
        n-grams alone, which are counted and need no budget.
    budget : seconds, or "90s", "10m", "1h", default "60s"
        Wall-clock time for everything, reading included. Of a text that is too large for it a part is read, from all
        over it where its size is known, and ``card["read"]`` says how much. `epochs` or `plan` replace it; "kneser-ney"
        needs none.
    seed : int, default 0
        Decides the initial weights and everything else that is random.
    threads : int, default None
        How many threads work; None for as many as this process may use. For the same number of steps every number of
        threads gives the same bytes.
    epochs : float, default None
        Passes over the text, in place of a budget.
    plan : Plan, default None
        The recorded plan of another model, ``lm.plan``: the run is repeated exactly, in place of a budget.
    documents : "file", "line" or "blank-line", default "file"
        What a document is: a file, a line, or what stands between blank lines.
    min_count : int, default None
        Tokens that occur fewer times are read as ``<unk>``. None: words seen once are, where they are at most a tenth
        of the text and it holds no ``<unk>`` of its own, so that the model learns how likely an unknown word is.
    max_size : int, default None
        Largest vocabulary; None for no limit. Of pieces this is how many are learnt; None: a five-hundredth of the
        bytes of the text, from 512 to 16,384.
    order : int, default None
        Tokens of the longest n-grams of "auto", "mixture" and "kneser-ney"; None: 5 of words, 6 of pieces, 8 of
        characters and bytes, and of these 12 or 16 where the text repeats itself.
    softmax : "auto", "full", "adaptive" or "sampled", default "auto"
        How a network predicts many words; see `fastlm.auto.build.output_of`.
    precision : 16 or 32, default None
        The bits of each weight of a network, in the file and in what is computed with it: the last step rounds weights
        to float16, which changes no figure in its first four digits; 32 leaves them as they were trained. None: 16,
        or what the plan says.
    max_bytes : int, or "800kB", "20MB", "1.5GB", default None
        Bytes that the file of the model may have at most: networks are chosen that take half of them at most, and the
        n-grams that matter least are removed (Stolcke 1998). None: for models of n-grams and networks four times the
        text, or 1,000,000 where that is less, in runs of ten seconds or more; networks of very many words, or of long
        runs, may take more by themselves.
    optimizer : Optimizer, default None
        None: AdamW with a peak rate of 0.01.
    progress : bool or function, default False
        True for a line on standard error, or a function that is called with the figures about twice a second.
    checkpoint : path, default None
        A file that is written every `checkpoint_every` seconds; where it exists the run goes on from it. See
        `Trainer.fit`. A file that is no checkpoint is refused.
    checkpoint_every : float, default 60
        Seconds between two checkpoints.
    clock : Clock, default None
        Where the budget is counted from; None: from this call on.
    policy : Policy, default None
        Every number by which sizes and times are decided, for experiments and tests; None for the usual ones.
    interrupt : Interrupt, default None
        The handler of signals of a caller that has entered one; None: one is entered for the duration of the call.
    text_key : str, default None
        The column of tables (.jsonl, .csv, .tsv, .parquet, .arrow, data frames) that holds the texts. None: the only
        column of text, which is said.
    format : str, default "auto"
        "text", "jsonl", "json", "csv", "tsv", "parquet" or "arrow" for all files; "auto" tells it from their names and
        first bytes.
    encoding : str, default None
        Of files of text; None for UTF-8.
    errors : str, default "strict"
        What is done with bytes that are not of the encoding: "strict" refuses them, "replace" reads U+FFFD, "ignore"
        leaves them out, and rows without a text, too.
    normalize : str, default "auto"
        The Unicode normalisation form in which the model reads all text: "NFC", "NFD", "NFKC", "NFKD"; "none" or None
        for text as it is written; "auto" is NFC for characters, and words and bytes as they are written.

    Returns
    -------
    LanguageModel
        Its ``card`` says what was chosen, its ``history`` how the training went, and its ``plan`` repeats it.

    Raises
    ------
    ValueError, OSError
        With one sentence, before training: for an argument that is not what was expected, or a text that cannot be
        read.

    Example
    -------
    >>> lm = fastlm.train("my.txt", budget="60s")               # doctest: +SKIP
    """
    clock = clock or Clock()
    seconds = None if epochs is not None or plan is not None or budget is None else parse_budget(budget)
    shown = progress_function(progress)
    notes = Notes(shown)
    tokenizer = given_unit(unit, notes)
    request = Request(tokenizer.unit if tokenizer else unit, tokenizer, valid, model, seconds, seed, threads, epochs,
                      plan, documents, min_count, max_size, order, softmax, precision_of(precision, plan), optimizer,
                      shown, checkpoint, checkpoint_every, policy or Policy(), interrupt or Interrupt(),
                      Reading(text_key, format, encoding, errors, normalize, notes),
                      None if max_bytes is None else parse_bytes(max_bytes))
    source = source if isinstance(source, Corpus) else recognised(source)
    check(request, source)
    timetable = Timetable(seconds, clock, request.policy.usable_share)
    source, extent = extent_of(source, request, timetable)
    request = replace(request, reading=request.reading.but(extent=extent))
    source, request, why = settled(source, request)
    vocabulary, corpus, given, spelling = read(source, request)
    if why:
        request.say(why)
    if read_in_part := said(extent):
        request.say(read_in_part)
    text = split(corpus, vocabulary, given, request, timetable)
    del corpus   # a large text has no memory to spare for it
    lm = run(decide(text, vocabulary, given, request, timetable), text, vocabulary, request, timetable)
    if read_in_part:
        lm.card["read"] = read_in_part.removeprefix("read ")
        lm.history.ended += f"; {read_in_part}"
    lm.learnt_spelling = spelling
    if why:
        lm.card["unit"] = why
    if request.max_bytes is not None:
        fit_into(lm, request.max_bytes, threads)
    return lm


@dataclass(frozen=True)
class Decision:
    """What is trained: the model ``alone`` or, where that is None, n-grams and networks; these are as ``recorded``
    where a run is continued or repeated. ``chosen``: the choice in a sentence, where it is made already."""

    alone: PrefixModel | None
    recorded: Recorded | None = None
    chosen: str = ""


def check(request: Request, source: Any) -> None:
    """Raise ValueError or TypeError for arguments that are seen to be wrong before the text is read."""
    if not isinstance(request.policy, Policy):
        raise TypeError(f"policy = {request.policy!r}; a fastlm.auto.policy.Policy was expected")
    if request.tokenizer is None:
        check_choice("unit", request.unit, ("auto", *UNITS))
    check_outputs({"checkpoint": request.checkpoint}, source, request.valid)
    if request.epochs is not None and not 0 < request.epochs < float("inf"):
        raise ValueError(f"epochs = {request.epochs}; a number above 0 was expected")
    if request.precision not in PRECISIONS:
        raise ValueError(f"precision = {request.precision!r}; 16 or 32 was expected")
    builders.check(request.model, request.order, request.softmax)


def precision_of(precision: int | None, plan: Plan | None) -> int:
    """Return the precision that is asked for: that of the plan where none was given, or else 16 bits."""
    return precision if precision is not None else 16 if plan is None else plan.precision


def read(source: Any, request: Request) -> tuple[Vocabulary, Corpus, PrefixModel | None, Spelling | None]:
    """Read the source; return its vocabulary, its ids, the model that was given or recorded, None for a name, and how
    unknown tokens are spelt."""
    policy = request.policy
    gaps = GapCounter(True, policy.spacing_bytes, policy.spacing_share, most=policy.spacing_most)
    vocabulary, corpus = Corpus.build(
        source, request.tokenizer or request.unit, min_count=1 if request.min_count is None else request.min_count,
        max_size=request.max_size, documents=request.documents, pieces=policy.learning_pieces(),
        fold=request.min_count is None, reading=request.reading,
        watch=None if request.unit not in ("word", "auto") else
        lambda name, text, ids, ends, ended: gaps.sample(text, ends))
    if request.unit == "word" and (advice := advice_on_spaces(vocabulary)):
        request.warn(advice)
    spelling = None
    if vocabulary.unknown is not None:
        spelling = Spelling.learn(
            corpus.left_out, known_tokens(vocabulary), gaps.spacing() if vocabulary.unit == "word" else None,
            escape_of(vocabulary), policy.spelling_order, policy.spelling_symbols)
    corpus = replace(corpus, boundary=vocabulary.boundary, left_out={})
    if request.plan is not None:
        given = PrefixModel.build(request.plan.model)
    elif isinstance(request.model, str):
        return vocabulary, corpus, None, spelling
    else:
        # A copy, since the model may be that of another language model, which goes on with its own vocabulary.
        given = (copy.deepcopy(request.model) if isinstance(request.model, PrefixModel)
                 else request.model(len(vocabulary)))
    if given.vocab_size != len(vocabulary):
        raise ValueError(f"the model is for {given.vocab_size} ids and the text has {len(vocabulary)}")
    return vocabulary, corpus, given, spelling


def split(corpus: Corpus, vocabulary: Vocabulary, given: PrefixModel | None, request: Request,
          timetable: Timetable) -> Text:
    """Hold a part of the text out for evaluation, unless there is other text for it, or nothing is to be evaluated."""
    policy, tokens = request.policy, len(corpus.ids)
    share = held_out_share(tokens, request, timetable)
    if request.valid is not None:
        reading = request.reading.but(normalize=vocabulary.normalize)
        other = Corpus.read(request.valid, vocabulary, documents=request.documents, reading=reading)
        return Text(corpus, replace(other, boundary=corpus.boundary), None, tokens, corpus.bytes, share)
    if tokens < policy.least_tokens_to_hold_out or is_counted(given, request):
        return Text(corpus, None, corpus, tokens, corpus.bytes, share)
    whole = corpus if tokens <= policy.large_text else None
    return Text(*hold_out(corpus, share, policy), whole, tokens, corpus.bytes, share)


def held_out_share(tokens: int, request: Request, timetable: Timetable) -> float:
    """Return the share of a text of so many tokens to hold out: enough of it to evaluate and weigh models by."""
    policy = request.policy
    if request.plan is not None:
        return request.plan.held_out
    enough = min(max(policy.held_out_enough, policy.held_out_share_of_long * tokens), policy.held_out_most)
    share = min(policy.held_out_share, enough / max(1, tokens))
    hurried = request.blended and timetable.budget < policy.hurried_below
    return min(share, policy.hurried_share) if hurried else share


def is_counted(given: PrefixModel | None, request: Request) -> bool:
    """Return whether the model is n-grams alone, for which no text needs to be held out."""
    return isinstance(given, KneserNey) if given is not None else request.model == "kneser-ney"


def decide(text: Text, vocabulary: Vocabulary, given: PrefixModel | None, request: Request,
           timetable: Timetable) -> Decision:
    """Decide which model is trained; networks beside n-grams are sized by `blend`, once it knows how long counting
    took."""
    if is_counted(given, request):
        for name in ("epochs", "checkpoint", "optimizer"):
            if getattr(request, name) is not None:
                raise ValueError(f"{name} = {getattr(request, name)!r} was given; a kneser-ney model is counted in one "
                                 "pass")
    if request.plan is not None and isinstance(given, Mixture):
        return Decision(None, Recorded(given, request.plan))
    if given is not None:
        return Decision(given)
    if not request.blended:
        size = size_alone(vocabulary, text.tokens, request, timetable)
        order = order_for(text.train, vocabulary, request) if request.model == "kneser-ney" else None
        return Decision(builders.build(request.model, vocabulary, request.policy, size, request.seed, order,
                                       request.softmax))
    if request.checkpoint is None or not os.path.exists(request.checkpoint):
        return Decision(None)
    plan = checkpoints.plan_of(request.checkpoint)
    resumed = PrefixModel.build(plan.model)
    if not isinstance(resumed, Mixture):
        raise ValueError(f"{request.checkpoint} is a checkpoint of {resumed!r}; one of n-grams and networks was "
                         "expected")
    return Decision(None, Recorded(resumed, plan), f"as in the checkpoint: {resumed.kinds()}")


def size_alone(vocabulary: Vocabulary, tokens: int, request: Request, timetable: Timetable) -> NetworkSize | None:
    """Return the size of a recurrent network that has all of the time for itself; None for other architectures."""
    if request.model not in builders.RECURRENT:
        return None
    unit, policy = vocabulary.unit, request.policy
    if not timetable.limited:
        return size_for_passes(unit, len(vocabulary), tokens, request.epochs or 1.0, policy)
    speed = measure_speed(request.threads, policy.speed_seconds)
    return network_size(unit, len(vocabulary), tokens, timetable.left(), speed, policy)


def run(decision: Decision, text: Text, vocabulary: Vocabulary, request: Request,
        timetable: Timetable) -> LanguageModel:
    """Train or count the model that was decided on, and return it with its card."""
    card = {"fastlm": __version__, "documents": request.documents, "tokens": text.tokens, "bytes": text.bytes,
            "trained_on": len(text.train.ids), "held_out": 0 if text.held_out is None else len(text.held_out.ids),
            **request.notes()}
    model, policy = decision.alone, request.policy
    if isinstance(model, KneserNey):
        model.fit(text.train, request.threads, budget_bytes=policy.counting_bytes)
        request.interrupt.keep()
        history = evaluate_counts(model, text.train, text.held_out, request.threads, timetable.now(), request.interrupt)
        return LanguageModel(vocabulary, model, history, None, card)
    if model is not None:
        batch_size = batch_size_of(vocabulary.unit, len(text.train.ids), policy.sequence_length, policy)
        history, plan = fit_network(model, text, request, timetable, batch_size, policy.sequence_length,
                                    passes=request.epochs)
        return rounded(LanguageModel(vocabulary, model, history, plan, card), request)
    blended = blend(vocabulary, text, request, timetable, decision.recorded)
    if chosen := decision.chosen or blended.chosen:
        card["chosen"] = chosen
    lm = LanguageModel(vocabulary, blended.model, blended.history, blended.plan, card)
    lm.adaptive = blended.cache
    return rounded(lm, request)


def rounded(lm: LanguageModel, request: Request) -> LanguageModel:
    """Round the weights of the networks to the precision that was asked for; return the language model."""
    if request.precision == 16:
        round_weights(lm.model)
    lm.plan = lm.plan and replace(lm.plan, precision=request.precision, unit=lm.vocabulary.unit)
    return lm
