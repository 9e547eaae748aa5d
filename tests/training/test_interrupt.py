"""Signals that ask a run to stop: when they are noted, when they raise, and what is left out because of them."""

import importlib
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.models import LSTM, Factored, KneserNey, Mixture
from fastlm.training.history import Ended
from fastlm.training.interrupt import Interrupt, interruptible
from tests.auto.test_train import random_text
from tests.processes import finished

pytestmark = pytest.mark.usefixtures("default_signals")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
every_signal = pytest.mark.parametrize("number", NUMBERS)


@every_signal
def test_before_there_is_anything_to_keep_a_signal_raises(number: int) -> None:
    kind = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with Interrupt() as interrupt, pytest.raises(kind) as caught:
        signal.raise_signal(number)
    assert interrupt.number == number and not interrupt.kept
    if kind is SystemExit:
        assert caught.value.code == 128 + number


@every_signal
def test_what_is_to_be_kept_a_signal_does_not_lose(number: int) -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    with Interrupt() as interrupt:
        assert not interrupt.asked
        interrupt.keep()
        signal.raise_signal(number)
        signal.raise_signal(number)          # at once: `timeout` sends two
        assert interrupt.asked and interrupt.number == number and interrupt.kept
    assert [signal.getsignal(each) for each in NUMBERS] == before


def test_a_second_ctrl_c_interrupts_as_usual() -> None:
    for first in NUMBERS:
        with Interrupt() as interrupt:
            interrupt.keep()
            signal.raise_signal(first)
            time.sleep(0.3)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert interrupt.number == first


SECOND = """
import signal, sys, time
from fastlm.training.interrupt import Interrupt
with Interrupt() as interrupt:
    interrupt.keep()
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0.3)
    signal.raise_signal(signal.SIGHUP)     # a terminal that closes sends several
    print("hung up", flush=True)
    signal.raise_signal(signal.SIGTERM)
    print("not reached", flush=True)
"""


def test_a_second_sigterm_ends_the_process_and_a_hang_up_does_not() -> None:
    done = finished([sys.executable, "-c", SECOND])
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "hung up\n", "")


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
@every_signal
def test_ignored_signals_and_handlers_of_the_program_stay(number: int, handler) -> None:
    signal.signal(number, handler)
    with Interrupt() as interrupt:
        assert signal.getsignal(number) is handler
        interrupt.keep()
        signal.raise_signal(number)
        assert not interrupt.asked
    assert signal.getsignal(number) is handler


def test_a_handler_set_meanwhile_stays() -> None:
    def own(number, frame):
        return None
    with Interrupt():
        signal.signal(signal.SIGTERM, own)
    assert signal.getsignal(signal.SIGTERM) is own
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_set_no_handlers() -> None:
    seen = []

    def enter() -> None:
        with Interrupt() as interrupt:
            interrupt.keep()
            seen.append(interrupt.attempt(lambda: signal.getsignal(signal.SIGTERM)))
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_stage_is_left_out_once_a_signal_has_come() -> None:
    with Interrupt() as interrupt:
        interrupt.keep()
        assert interrupt.attempt(lambda: 3) == 3
        done = []

        def stage() -> None:
            done.append(1)
            signal.raise_signal(signal.SIGTERM)
            done.append(2)
        assert interrupt.attempt(stage) is None and done == [1] and interrupt.asked
        assert interrupt.attempt(lambda: done.append(3)) is None and done == [1]
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt):   # nothing to keep: nothing to go on with
        interrupt.attempt(lambda: signal.raise_signal(signal.SIGINT))
    with Interrupt() as interrupt:
        interrupt.keep()
        with pytest.raises(ZeroDivisionError):
            interrupt.attempt(lambda: 1 / 0)
        signal.raise_signal(signal.SIGINT)                             # and after a stage it is noted again
    assert interrupt.asked


def test_one_interrupt_serves_a_whole_call() -> None:
    @interruptible
    def call(value: int, interrupt: Interrupt | None = None) -> tuple[int, Interrupt | None]:
        """Says so."""
        return value, interrupt
    assert call.__doc__ == "Says so."
    value, own = call(3)
    assert value == 3 and isinstance(own, Interrupt)
    with Interrupt() as interrupt:
        assert call(4, interrupt=interrupt) == (4, interrupt)


# training -------------------------------------------------------------------------------------------------------------

def press(monkeypatch: pytest.MonkeyPatch, owner: str, name: str, call: int = 1, number: int = signal.SIGINT) -> None:
    """Presses Ctrl-C when something is called for the nth time, before it does anything."""
    module, _, inside = owner.partition(":")
    place = importlib.import_module(module)
    place = getattr(place, inside) if inside else place
    whole, calls = getattr(place, name), []

    def pressed(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return whole(*arguments, **options)
    monkeypatch.setattr(place, name, pressed)


STAGES = [
    # where, what, which call of characters and of words, and whether it is n-grams alone, n-grams, or networks too
    ("fastlm.models:Factored", "fit", (1, 1), "alone"),
    ("fastlm.models:Factored", "fit", (2, 2), "n-grams"),
    ("fastlm.auto.design", "cross_fit", (1, 0), "n-grams"),
    ("fastlm.training.run:Run", "evaluate", (2, 2), "networks"),
    ("fastlm.auto.blend", "nll_by_part", (1, 1), "networks"),
    ("fastlm.models.mixture.gate", "fit_gate", (1, 1), "networks"),
    ("fastlm.auto.blend", "fit_cache", (1, 1), "networks"),
    ("fastlm.models:KneserNey", "fit", (11, 3), "networks"),   # the held-out text too; after spelling and eight folds
    ("fastlm.models:Factored", "fit", (20, 4), "networks"),
]
EVERYTHING = Policy(negligible_weight=0.0)   # keeps the parts that have no weight


@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize(("owner", "name", "calls", "kind"), STAGES, ids=[f"{s[0]}.{s[1]} {s[2]}" for s in STAGES])
def test_ctrl_c_in_any_stage_of_a_mixture_gives_the_model_so_far(
        unit: str, owner: str, name: str, calls: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, call = random_text(1, 3000), calls[unit == "word"]
    if not call:
        pytest.skip("no n-grams of words are cross-fitted")
    press(monkeypatch, owner, name, call)
    lm = fastlm.train([text], unit, epochs=0.5, threads=2, policy=EVERYTHING)
    networks = getattr(lm.model, "networks", [])
    assert isinstance(lm.model, KneserNey) == (kind == "alone") and bool(networks) == (kind == "networks")
    assert lm.history.reason is Ended.INTERRUPTED and "interrupted" in lm.history.ended
    counts = lm.model if isinstance(lm.model, KneserNey) else lm.model.parts[0]
    monkeypatch.undo()
    alone = KneserNey(len(lm.vocabulary), counts.order)
    assert lm.card["held_out"] > 0
    assert counts.ngrams.nodes < alone.fit(fastlm.Corpus.read([text], lm.vocabulary)).ngrams.nodes
    assert lm.adaptive is None or name == "fit"
    if networks:
        assert isinstance(lm.model.parts[-1], LSTM) and not lm.plan.recounted and lm.plan.steps > 0
    if isinstance(lm.model, Mixture):
        assert lm.model.weights.sum() == pytest.approx(1)
        assert np.ptp(lm.model.weights) > 0.01          # they were fitted, if on fewer tokens
        assert all(isinstance(part, KneserNey | Factored | LSTM) for part in lm.model.parts)
    assert sum(p for _, p in lm.next_tokens("w1", k=len(lm.vocabulary))) == pytest.approx(1, abs=1e-4)


def test_what_was_counted_again_in_part_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of an interrupted run are those of a run that never counted the held-out text."""
    text = random_text(1, 3000)
    press(monkeypatch, "fastlm.models:Factored", "fit", 4)    # the last of all, after both were counted once
    lm = fastlm.train([text], "word", epochs=0.2, threads=1, model="mixture", policy=EVERYTHING)
    monkeypatch.undo()
    press(monkeypatch, "fastlm.auto.blend", "fit_cache")
    other = fastlm.train([text], "word", epochs=0.2, threads=1, model="mixture", policy=EVERYTHING)
    for part, twin in zip(lm.model.parts, other.model.parts, strict=True):
        for name, array in part.tensors().items():
            np.testing.assert_array_equal(array, twin.tensors()[name])


@every_signal
def test_before_there_is_a_model_training_raises(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    press(monkeypatch, "fastlm.auto.train", "split", number=number)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        fastlm.train(["a b a b\n" * 99], epochs=1)


@pytest.mark.parametrize("model", ["lstm", "mixture"])
def test_a_run_that_goes_on_is_not_replaced_by_less(model: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the training goes on, what there is is in the checkpoint: nothing is returned, and it stays."""
    def again():
        return fastlm.train([random_text(5)], model=model, epochs=0.2, threads=1, checkpoint=tmp_path / "run")
    first = again()
    held = (tmp_path / "run").read_bytes()
    press(monkeypatch, "fastlm.auto.blend", "Trainer")
    with pytest.raises(KeyboardInterrupt):
        again()
    assert (tmp_path / "run").read_bytes() == held
    monkeypatch.undo()
    assert again().digest() == first.digest()
