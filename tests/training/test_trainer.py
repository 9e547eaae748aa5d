"""Training: the objective, the bytes, what is kept, what is refused, and what stops it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.batch import Batch
from fastlm.heads import SampledSoftmax
from fastlm.models import LSTM, PositionalOneHot
from fastlm.training import Trainer, optim
from fastlm.training.budget import Clock, parse_budget
from fastlm.training.history import Ended, History, Plan
from fastlm.training.loop_settings import LoopSettings
from fastlm.training.schedule import learning_rate
from fastlm.training.update import Update
from fastlm.workers import Workers
from tests import oracle
from tests.cases import NETWORKS, model_of
from tests.processes import finished

VOCABULARY = 13
EVERY_STEP = LoopSettings(report_every=-1)
every_model = pytest.mark.parametrize("name", NETWORKS)
both_batchings = pytest.mark.parametrize("batching", ["documents", "stream"])


def text(batching: str, seed: int = 0, tokens: int = 400) -> list[np.ndarray]:
    """Documents that are short, or a few that are long; their tokens follow a pattern that can be learnt."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, tokens // 6) if batching == "documents" else [tokens // 2, 0, 1, tokens // 2]
    return [(np.cumsum(rng.integers(1, 3, int(n))) * 2 % VOCABULARY).astype(np.int32) for n in lengths]


def trainer_of(model: fastlm.PrefixModel, **options) -> Trainer:
    usual = {"optimizer": optim.AdamW(lr=0.01), "batch_size": 4, "sequence_length": 8, "threads": 2}
    return Trainer(model, **usual | options)


def bytes_of(model: fastlm.PrefixModel) -> dict[str, bytes]:
    return {name: parameter.value.tobytes() for name, parameter in model.parameters.items()}


def learn(name: str, batching: str, **options) -> dict[str, bytes]:
    model = model_of(name, VOCABULARY)
    trainer = trainer_of(model, **options)
    trainer.fit(text(batching), valid=text(batching, 1, 100), epochs=2)
    assert trainer.plan.batching == batching
    return bytes_of(model)


# the objective -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize("boundary", [None, 0])
@both_batchings
@every_model
def test_the_reported_loss_is_the_formula(name: str, batching: str, boundary: int | None, loss: str) -> None:
    """Over all documents and all prefixes, each by itself; the learning rate is too small to move anything."""
    documents = text(batching, tokens=90)
    model, form = model_of(name, VOCABULARY), NETWORKS[name][1]
    if loss not in model.head.losses:
        pytest.skip("the output layer has no such loss")
    p = {key: parameter.value.astype(float) for key, parameter in model.parameters.items()}
    state, total, count = model.start().arrays, 0.0, 0
    for ids in documents:
        document = ids if boundary is None else np.concatenate([[boundary], ids])
        if len(document) < 2:
            continue
        n = len(document) - 1
        logits = form(model, p, document[:-1], oracle.layout([n]), np.zeros(n), state)
        total += (oracle.cross_entropy if loss == "cross_entropy" else oracle.squared_error)(logits, document[1:])
        count += n
    corpus = fastlm.Corpus.from_ids(documents)
    corpus = fastlm.Corpus(corpus.ids, corpus.offsets, corpus.unknown_at, 0, boundary)
    # one lane, whose state is carried from sequence_length to sequence_length
    trainer = trainer_of(model, optimizer=optim.SGD(lr=1e-12), loss=loss, batch_size=1, sequence_length=10)
    history = trainer.fit(corpus, valid=corpus, epochs=1)
    assert trainer.plan.batching == batching
    reported = sum(record["loss"] * (record["tokens"] - before) for record, before in zip(
        history.records, [0, *(record["tokens"] for record in history.records)], strict=False))
    if not isinstance(model.head, SampledSoftmax):   # which reports what it saw of the drawn words
        assert reported == pytest.approx(total, rel=1e-5)
    assert history[-1]["tokens"] == count
    if loss == "cross_entropy":
        assert history[-1]["valid"] == pytest.approx(total / count, rel=1e-5)


def test_an_epoch_does_not_begin_where_the_one_before_ended() -> None:
    """Two batch_size of one document: the second begins inside it, and what it ended with is forgotten."""
    model = model_of("LSTM", VOCABULARY)
    trainer = trainer_of(model, optimizer=optim.SGD(lr=1e-12), batch_size=2, sequence_length=4)
    history = trainer.fit([np.arange(41) * 7 % VOCABULARY], epochs=2)
    assert trainer.plan.batching == "stream" and trainer.plan.steps % 2 == 0
    seen, total = 0, {}
    for record in history.records:
        total[record["step"]] = total.get("sum", 0.0) + record["loss"] * (record["tokens"] - seen)
        total["sum"], seen = total[record["step"]], record["tokens"]
    half = total[trainer.plan.steps // 2]
    assert total["sum"] == pytest.approx(2 * half, rel=1e-6)


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("method", ["SGD", "Momentum", "AdaGrad", "AdamW"])
@pytest.mark.parametrize("name", ["PositionalOneHot", "DecayedBag", "LSTM tied"])
def test_a_run_is_the_method_on_the_gradient_of_the_mean_loss(name: str, method: str, shards: int) -> None:
    """Every step sees all documents; the method's formula in float64, at the rates of the plan."""
    documents = [ids for ids in text("documents", tokens=150) if len(ids) > 1]
    model, twin = model_of(name, VOCABULARY), model_of(name, VOCABULARY)
    trainer = trainer_of(model, optimizer=getattr(optim, method)(lr=0.5, weight_decay=0.0), clip=None, batch_size=16,
                         sequence_length=64, shards=shards)
    trainer.fit(documents, epochs=8)
    assert trainer.plan.steps == 8
    batch = Batch.of([ids[:-1] for ids in documents])
    targets = Batch.of([ids[1:] for ids in documents]).ids
    memory = {key: [np.zeros(p.value.shape), np.zeros(p.value.shape)] for key, p in twin.parameters.items()}
    weights = {key: p.value.astype(float) for key, p in twin.parameters.items()}
    for step, rate in enumerate(trainer.plan.rates, 1):
        with fastlm.autodiff.Tape() as tape:
            fastlm.autodiff.cross_entropy(twin.logits(batch)[0], targets, 1 / len(targets))
            tape.backward()
            gradients = {key: tape.leaf(p).gradient.astype(float) for key, p in twin.parameters.items()}
        for key, g in gradients.items():
            m, v = memory[key]
            if method == "SGD":
                move = g
            elif method == "Momentum":
                m[:] = 0.9 * m + g
                move = m
            elif method == "AdaGrad":
                v += g**2
                move = g / (np.sqrt(v) + 1e-8)
            else:
                m[:], v[:] = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
                move = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
            weights[key] -= rate * move
            twin.parameters[key].value[:] = weights[key]
    for key, p in model.parameters.items():
        # a gradient that is nothing but rounding moves AdaGrad and AdamW by its sign, so a few entries may differ
        close = np.isclose(p.value, weights[key], rtol=1e-3, atol=1e-4)
        assert close.mean() > 0.98, key


# the bytes -----------------------------------------------------------------------------------------------------------

@both_batchings
@every_model
def test_any_number_of_threads_gives_the_same_bytes(name: str, batching: str) -> None:
    one = learn(name, batching, threads=1, shards=3)
    for threads in (2, 3, 8):
        assert learn(name, batching, threads=threads, shards=3) == one
    assert learn(name, batching, threads=2, shards=3, seed=1) != one or batching == "stream"


def test_large_tables_are_shared_out_alike() -> None:
    """More entries than one task moves, in a table of which rows are touched and in a dense matrix; and more in all
    than the calling thread moves alone."""
    def learn_large(threads: int) -> dict[str, bytes]:
        model = LSTM(700, hidden=150, tied=True, dropout=0.3)
        assert sum(p.value.size for p in model.parameters.values()) > 1 << 18
        rng = np.random.default_rng(0)
        trainer_of(model, threads=threads).fit([rng.integers(0, 700, 200)], epochs=2)
        other = PositionalOneHot(300, 4)
        trainer_of(other, threads=threads).fit([rng.integers(0, 300, 40) for _ in range(30)], epochs=1)
        return bytes_of(model) | bytes_of(other)
    assert learn_large(1) == learn_large(2) == learn_large(3)


@pytest.mark.parametrize("hidden, wake_ups", [(100, 0), (200, 2)])
def test_a_small_step_wakes_no_thread(hidden: int, wake_ups: int) -> None:
    """81,807 weights are added up and moved by the calling thread, 323,607 by all threads, once each; alike."""
    class Counting(Workers):
        runs = 0

        def run(self, tasks):
            self.runs += 1
            return super().run(tasks)

    def moved(threads: int) -> tuple[dict[str, bytes], int]:
        model = LSTM(7, hidden=hidden)
        update = Update(model, fastlm.optim.AdamW(lr=0.1), 1, None)
        with update.tapes[0] as tape:
            fastlm.autodiff.cross_entropy(model.logits(Batch.of([[1, 2, 3]]))[0], np.array([2, 3, 4], np.int32))
            tape.backward()
        with Counting(threads) as workers:
            assert update.apply(0.1, workers) > 0
        return bytes_of(model), workers.runs
    (alone, _), (together, runs) = moved(1), moved(3)
    assert alone == together != bytes_of(LSTM(7, hidden=hidden))
    assert runs == wake_ups


def test_dropout_is_drawn_from_the_seed() -> None:
    def learn_dropping(seed: int) -> bytes:
        model = LSTM(VOCABULARY, hidden=8, layers=2, dropout=0.5)
        trainer_of(model, seed=seed).fit(text("stream"), epochs=1)
        return bytes_of(model)["output"]
    assert learn_dropping(3) == learn_dropping(3) != learn_dropping(4)


def stop_after(steps: int):
    """A progress callback that presses Ctrl-C."""
    def press(figures: dict) -> None:
        if figures["step"] == steps:
            os.kill(os.getpid(), signal.SIGINT)
    return press


@pytest.mark.parametrize("stop", [1, 7])
@pytest.mark.parametrize("with_valid", [False, True])
@both_batchings
@every_model
@pytest.mark.usefixtures("default_signals")
def test_a_stopped_run_goes_on_to_the_same_bytes(name: str, batching: str, with_valid: bool, stop: int,
                                                 tmp_path: Path) -> None:
    valid = text(batching, 1, 100) if with_valid else None

    def fit(**options) -> tuple[dict[str, bytes], Trainer]:
        model = model_of(name, VOCABULARY)
        high = optim.AdamW(lr=4.0)   # so high that the best weights are not the last
        trainer = trainer_of(model, optimizer=high, loop=EVERY_STEP)
        trainer.fit(text(batching, tokens=100), valid=valid, epochs=3, **options)
        return bytes_of(model), trainer
    whole, straight = fit()
    path = tmp_path / "run.checkpoint"
    _, stopped = fit(checkpoint=path, progress=stop_after(stop))
    assert stopped.history.ended == f"interrupted after step {stop}; the best weights so far were kept"
    resumed, trainer = fit(checkpoint=path)
    assert resumed == whole
    assert trainer.plan == straight.plan
    assert trainer.history.ended == straight.history.ended
    again, _ = fit(checkpoint=path)             # a run that has ended stays as it is
    assert again == whole


KILLED = """
import os, signal, sys
import numpy as np
import fastlm
from fastlm.heads import SampledSoftmax
from fastlm.training.loop_settings import LoopSettings
def press(figures):
    if figures["step"] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
ids = np.random.default_rng(0).integers(0, 9, 300)
model = fastlm.models.LSTM(9, hidden=6, dropout=0.2)
trainer = fastlm.Trainer(model, batch_size=3, sequence_length=10, threads=1, loop=LoopSettings(report_every=-1))
trainer.fit([ids], valid=[ids[:50]], epochs=2, checkpoint=sys.argv[1] or None, checkpoint_every=0, progress=press)
print({name: parameter.value.tobytes().hex() for name, parameter in model.parameters.items()})
"""


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def script(checkpoint: str, stop: int) -> subprocess.CompletedProcess:
        return finished([sys.executable, "-c", KILLED, checkpoint, str(stop)])
    whole = script("", 0)
    assert whole.returncode == 0 and len(whole.stdout) > 1000, whole.stderr
    path = str(tmp_path / "run.checkpoint")
    assert script(path, 7).returncode == script(path, 12).returncode == -signal.SIGKILL
    assert script(path, 0).stdout == whole.stdout
    assert os.listdir(tmp_path) == ["run.checkpoint"]


@pytest.mark.parametrize("length", [{"epochs": 2}, {"budget": 1.0}])
@pytest.mark.parametrize("unit", ["word", "char"])
def test_training_again_from_the_plan_gives_the_same_bytes(unit: str, length: dict) -> None:
    source = ["".join(f"the {a} saw the {b}\n" for a in ("cat", "dog", "cow") for b in ("sun", "moon", "sea")) * 50]
    lm = fastlm.train(source, unit=unit, model=lambda v: LSTM(v, hidden=8), seed=3,
                      optimizer=optim.AdamW(lr=0.1), **length)
    again = fastlm.train(source, unit=unit, plan=lm.plan, threads=1)
    assert again.digest() == lm.digest()
    assert again.plan.rates.tolist() == lm.plan.rates[:lm.plan.kept].tolist()
    other = fastlm.train(source, unit=unit, model=lambda v: LSTM(v, hidden=8, seed=1), epochs=1)
    assert other.digest() != lm.digest()


# what is kept --------------------------------------------------------------------------------------------------------

def test_the_best_weights_looked_at_are_kept() -> None:
    """A text and a held-out text that disagree: the more is learnt, the worse."""
    model = PositionalOneHot(4, 3)
    trainer = trainer_of(model, optimizer=optim.AdamW(lr=0.5))
    history = trainer.fit([[0, 1]] * 4, valid=[[0, 2]], epochs=20)
    figures = [record["valid"] for record in history.records]
    assert figures == sorted(figures) and figures[0] < figures[-1]
    assert trainer.plan.kept == history[0]["step"] < history[-1]["step"]
    assert -model.log_probabilities([0])[0, 2] == pytest.approx(figures[0], rel=1e-5)
    assert history.ended == f"ended after step {history[-1]['step']}; kept the weights of step {trainer.plan.kept}"
    assert history.reason is Ended.FINISHED


@pytest.mark.parametrize("optimizer", [optim.AdamW(lr=1e38), optim.AdamW(lr=3e38)],
                         ids=["1e38", "3e38"])
@pytest.mark.parametrize("with_valid", [False, True])
@every_model
def test_a_loss_that_becomes_nan_stops_at_the_last_good_weights(name: str, with_valid: bool,
                                                                optimizer: optim.Optimizer, tmp_path: Path) -> None:
    """Steps that are far too long: the weights after them are no good, those before are."""
    model = model_of(name, VOCABULARY)
    documents = text("stream")
    trainer = trainer_of(model, optimizer=optimizer, clip=None)
    path = tmp_path / "run.checkpoint"
    with pytest.warns(UserWarning) as caught:
        history = trainer.fit(documents, valid=documents if with_valid else None, epochs=50, checkpoint=path)
    message = str(caught[0].message)
    assert len(caught) == 1 and message == history.ended and message.startswith("stopped at step ")
    assert history.reason is Ended.DIVERGED
    assert "the loss became " in message and "the last good weights were kept" in message
    assert all(np.isfinite(parameter.value).all() for parameter in model.parameters.values())
    assert np.isfinite(model.log_probabilities(documents[0][:20])).all()
    assert not path.exists()
    kept = trainer.plan.kept
    assert trainer.plan.steps >= kept
    twin = model_of(name, VOCABULARY)     # and the weights are those that the plan leads to
    trainer_of(twin, optimizer=optimizer, clip=None).fit(documents, plan=trainer.plan)
    assert bytes_of(twin) == bytes_of(model)


def test_weights_that_are_nan_from_the_start_are_said_to_be() -> None:
    model = model_of("LSTM", VOCABULARY)
    model.parameters["recurrent0"].value[0, 0] = np.nan
    before = bytes_of(model)
    with pytest.warns(UserWarning, match="stopped at step 0: the loss became nan with a gradient of norm nan"):
        trainer_of(model).fit(text("stream"), epochs=1)
    assert bytes_of(model) == before


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("with_valid", [False, True])
def test_ctrl_c_returns_the_best_model_so_far(with_valid: bool) -> None:
    source = ["the cat sat on the mat\n" * 60]
    seen = []

    def press(figures: dict) -> None:
        seen.append(figures["step"])
        if figures["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)
    handler = signal.getsignal(signal.SIGINT)
    lm = fastlm.train(source, valid=source if with_valid else None, model=lambda v: LSTM(v, hidden=8), epochs=200,
                      progress=press, policy=Policy(report_every=-1))
    assert seen == [1, 2, 3]
    assert lm.history.ended == "interrupted after step 3; the best weights so far were kept"
    assert lm.history.reason is Ended.INTERRUPTED
    assert lm.plan.steps == 3 and np.isfinite(lm.perplexity(source))
    assert signal.getsignal(signal.SIGINT) is handler
    assert fastlm.train(source, plan=lm.plan).digest() == lm.digest()


def test_rows_that_were_never_read_keep_their_bytes() -> None:
    model = model_of("DecayedBag", VOCABULARY)
    before = model.parameters["embedding"].value.copy()
    optimizer = optim.AdamW(lr=0.1, weight_decay=0.5, l2=0.1)
    trainer_of(model, optimizer=optimizer).fit([[1, 4, 7] * 3] * 8, epochs=5)
    after = model.parameters["embedding"].value
    changed = [i for i in range(VOCABULARY) if after[i].tobytes() != before[i].tobytes()]
    assert changed == [1, 4, 7]


def test_gradients_are_clipped_by_their_global_norm() -> None:
    for clip, lr in ((0.5, 1.0), (1e9, 1.0)):
        model = model_of("LSTM", VOCABULARY)
        before = {name: parameter.value.copy() for name, parameter in model.parameters.items()}
        update = Update(model, optim.SGD(lr=lr), 2, clip)
        batch, targets = Batch.of([[1, 2, 3, 4, 5]]), np.array([2, 3, 4, 5, 6], np.int32)
        for tape in update.tapes:
            with tape:
                fastlm.autodiff.cross_entropy(model.logits(batch)[0], targets)
                tape.backward()
        with Workers(1) as workers:
            norm = update.apply(lr, workers)
        moved = np.sqrt(sum(float(((p.value.astype(float) - before[name]) ** 2).sum())
                            for name, p in model.parameters.items()))
        assert norm > 1
        assert moved == pytest.approx(min(norm, clip), rel=1e-4)


# lengths, schedules, figures -----------------------------------------------------------------------------------

def test_the_rate_climbs_and_then_falls_to_zero() -> None:
    rates = [learning_rate(2.0, step / 100, step, warm_up_steps=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.0) and rates[-1] == 0
    assert rates[5] == pytest.approx(2 * 0.6 * 0.95) and rates[50] == pytest.approx(1.0)
    top = int(np.argmax(rates))
    assert 5 < top < 15 and np.diff(rates[top:]).max() < 0
    trainer = trainer_of(model_of("LSTM", VOCABULARY))
    trainer.fit(text("stream"), epochs=20)
    assert trainer.plan.rates[-1] < 0.02 * trainer.plan.rates.max()


@pytest.mark.parametrize("given, seconds", [(90, 90), (0.5, 0.5), ("90s", 90), ("10m", 600), ("1h", 3600),
                                            ("1.5 m", 90), (" 20 ", 20), (".5s", 0.5), ("2min", 120)])
def test_budgets(given: float | str, seconds: float) -> None:
    assert parse_budget(given) == seconds


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), "", "s", "10 days", "-5s", "1e3", "ten"])
def test_budgets_that_are_none(given: float | str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_budget(given)
    assert str(caught.value) == (f"budget = {given!r}; seconds above 0 were expected, as a number or like "
                                 '"90s", "10m", "1h"')


def test_a_clock_goes_on_from_the_seconds_spent() -> None:
    clock = Clock()
    clock.resume_at(1e9)
    assert clock.seconds() >= 1e9 and Clock(1e9).seconds() >= 1e9


def test_histories_and_plans_survive_json() -> None:
    model = model_of("LSTM", VOCABULARY)
    trainer = trainer_of(model)
    history = trainer.fit(text("stream"), valid=text("stream", 1, 60), epochs=2)
    assert [record["step"] for record in history.records] == sorted({record["step"] for record in history.records})
    assert set(history[0]) == {"step", "seconds", "tokens", "loss", "valid", "rate"}
    twin = History.from_json(history.to_json())
    assert twin.records == history.records and str(twin) == str(history) and len(twin) == len(history)
    assert len(str(history).splitlines()) == len(history) + 2 and str(history).endswith(history.ended)
    assert str(History(ended="counted")) == "counted"
    assert (history.reason, twin.reason) == (Ended.FINISHED, Ended.FINISHED)
    older = History.from_json('{"records": [], "ended": "interrupted after step 3"}')
    assert older.reason is None and older.to_json() == '{"records": [], "ended": "interrupted after step 3"}'
    with pytest.raises(ValueError, match="'bored' is not a valid Ended"):
        History.from_json('{"records": [], "ended": "", "reason": "bored"}')
    plan = Plan.from_json(trainer.plan.to_json(), trainer.plan.rates)
    assert plan.to_json() == trainer.plan.to_json() and json.loads(plan.to_json())["batching"] == "lanes"
    assert plan.steps == len(plan.rates) == history[-1]["step"]


def test_progress_is_told_the_figures() -> None:
    seen: list[dict] = []
    trainer = trainer_of(model_of("LSTM", VOCABULARY), loop=EVERY_STEP)
    trainer.fit(text("stream"), valid=text("stream", 1, 60), epochs=2, progress=seen.append)
    steps = len(seen)
    assert [figures["step"] for figures in seen] == list(range(1, steps + 1))
    assert [figures["progress"] for figures in seen] == pytest.approx([(i + 1) / steps for i in range(steps)])
    assert seen[-1]["seconds_left"] == 0 and seen[-1]["valid"] is not None
    assert seen[-1]["tokens"] == 2 * sum(max(0, len(ids) - 1) for ids in text("stream"))
    assert all(np.isfinite(figures["loss"]) and figures["tokens_per_second"] > 0 for figures in seen)


# what is refused -----------------------------------------------------------------------------------------------------

def small(**options) -> Trainer:
    return Trainer(PositionalOneHot(5, 2), **options)


ERRORS = [
    (lambda: small(loss="hinge"), ValueError, "loss = 'hinge'; one of cross_entropy, squared was expected"),
    (lambda: small(batch_size=0), ValueError, "batch_size = 0; at least 1 was expected"),
    (lambda: small(sequence_length=-1), ValueError, "sequence_length = -1; at least 1 was expected"),
    (lambda: small(shards=0), ValueError, "shards = 0; at least 1 was expected"),
    (lambda: small(threads=0), ValueError, "threads = 0; at least 1 was expected, or None for all cores"),
    (lambda: small().fit([[1, 2]]), ValueError,
     "epochs, a budget or both, or a plan alone, must say how long to train"),
    (lambda: small().fit([[1, 2]], epochs=1, plan=object()), ValueError,
     "epochs, a budget or both, or a plan alone, must say how long to train"),
    (lambda: small().fit([[1, 2]], budget=1, plan=object()), ValueError,
     "epochs, a budget or both, or a plan alone, must say how long to train"),
    (lambda: small().fit([[1, 2]], epochs=0), ValueError, "epochs = 0; a number above 0 was expected"),
    (lambda: small().fit([[1, 2]], epochs=float("inf")), ValueError, "epochs = inf; a number above 0 was expected"),
    (lambda: small().fit([[1, 2]], epochs=float("nan")), ValueError, "epochs = nan; a number above 0 was expected"),
    (lambda: small().fit([[1, 2]], budget="soon"), ValueError,
     "budget = 'soon'; seconds above 0 were expected, as a number or like \"90s\", \"10m\", \"1h\""),
    (lambda: small().fit([[1], [2], []], epochs=1), ValueError,
     "corpus has 2 tokens and no (prefix, target) pair; a document of at least 2 was expected"),
    (lambda: small().fit([[1, 2]], valid=[[3]], epochs=1), ValueError,
     "valid has 1 tokens and no (prefix, target) pair; a document of at least 2 was expected"),
    (lambda: small().fit([], epochs=1), ValueError, "the corpus is empty: there is no token in it"),
    (lambda: small().fit([[1, 2], [3, 5]], epochs=1), IndexError, "ids[3] = 5 is outside the vocabulary of 5"),
    (lambda: small().fit([[1, 2]], valid=[[1, 9]], epochs=1), IndexError, "ids[1] = 9 is outside the vocabulary of 5"),
    (lambda: small(batch_size=4).fit([[1, 2, 3]], epochs=1), ValueError,
     "the corpus has 3 tokens; batches of 4 need at least 8"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message[:45] for _, _, message in ERRORS])
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_a_checkpoint_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    documents = text("stream")

    def fit(model: str = "LSTM", ids=documents, epochs: float = 1, **options) -> None:
        trainer_of(model_of(model, VOCABULARY), **options).fit(ids, epochs=epochs, checkpoint=path)
    fit()
    held = path.read_bytes()
    for other, message in (
            ({"ids": documents[:1]}, f"{path} is a checkpoint of a run on another text"),
            ({"model": "LSTM tied"}, f"{path} is a checkpoint of a run with model = "),
            ({"optimizer": optim.SGD(lr=0.1)}, f"{path} is a checkpoint of a run with optimizer = "),
            ({"seed": 1}, f"{path} is a checkpoint of a run with seed = 0; this one has 1"),
            ({"sequence_length": 9}, f"{path} is a checkpoint of a run with sequence_length = 8; this one has 9"),
            ({"epochs": 2}, f"{path} is a checkpoint of a run of (steps, seconds) = ")):
        with pytest.raises(ValueError) as caught:
            fit(**other)
        assert str(caught.value).startswith(message)
        assert path.read_bytes() == held
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["a", "b"]), PositionalOneHot(2, 1))
    lm.save(path)
    with pytest.raises(ValueError, match=r"run\.checkpoint is no checkpoint but a model file"):
        fit()


@pytest.mark.parametrize("options", [{"loss": "squared"}, {"clip": None}, {"optimizer": optim.AdamW(lr=0.02)}])
def test_a_plan_that_is_not_the_trainers_is_refused(options: dict) -> None:
    trainer = trainer_of(model_of("LSTM", VOCABULARY))
    trainer.fit(text("stream"), epochs=1)
    with pytest.raises(ValueError, match=f"the plan has {next(iter(options))} = .* the same was expected"):
        trainer_of(model_of("LSTM", VOCABULARY), **options).fit(text("stream"), plan=trainer.plan)
