"""The file of a run that can go on: what it holds, what is refused, and what a failing write costs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm.files import modelfile
from fastlm.models import LSTM, PositionalOneHot
from fastlm.training import Trainer, checkpoint, optim
from fastlm.training.history import Ended

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoint-format1.fastlm"
IDS = (np.cumsum(1 + np.arange(400) ** 2 % 3) % 7).astype(np.int32)
STOPPED = 13    # the step at which version 0.1.0 was stopped when it wrote the golden file


def trained(**options) -> tuple[dict[str, bytes], Trainer]:
    """The run of the golden file."""
    model = LSTM(7, hidden=4, dropout=0.2, seed=5)
    trainer = Trainer(model, optim.AdamW(lr=0.05), batch_size=3, sequence_length=7, threads=1, seed=2)
    trainer.fit([IDS], valid=[IDS[100:180]], **{"epochs": 2} | options)
    return {name: parameter.value.tobytes() for name, parameter in model.parameters.items()}, trainer


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "run"))


def test_a_checkpoint_of_format_1_goes_on_to_the_bytes_of_a_run_that_was_never_stopped(golden: Path) -> None:
    whole, straight = trained()
    resumed, trainer = trained(checkpoint=golden)
    assert trainer.plan.rates.tolist() == straight.plan.rates.tolist() and len(trainer.plan.rates) == 40
    assert trainer.plan.kept == straight.plan.kept and trainer.history.reason is Ended.FINISHED
    steps = [record["step"] for record in trainer.history.records]
    assert steps == [record["step"] for record in straight.history.records] and len(steps) == 10
    for name, weights in whole.items():   # other processors may round otherwise in the first steps
        np.testing.assert_allclose(np.frombuffer(resumed[name], np.float32), np.frombuffer(weights, np.float32),
                                   rtol=1e-3, atol=1e-4)
    if begins_as_the_golden_file():
        assert resumed == whole


class Stop(Exception):
    """Ends a run between two steps."""


class Stopping(optim.AdamW):
    """Ends the run before the step after the golden file's."""

    def rate(self, lr, scale, step, decay):
        if step == STOPPED + 1:
            raise Stop
        return super().rate(lr, scale, step, decay)

    def config(self):
        return optim.AdamW(lr=self.lr).config()


def begins_as_the_golden_file() -> bool:
    """Whether the first steps give the weights of the file on this processor as well."""
    model = LSTM(7, hidden=4, dropout=0.2, seed=5)
    with pytest.raises(Stop):
        Trainer(model, Stopping(lr=0.05), batch_size=3, sequence_length=7, threads=1, seed=2).fit(
            [IDS], valid=[IDS[100:180]], epochs=2)
    held, _ = modelfile.load(GOLDEN)
    return all(parameter.value.tobytes() == held[f"parameter/{name}"].tobytes()
               for name, parameter in model.parameters.items())


def altered(path: Path, change) -> None:
    tensors, metadata = modelfile.load(path)
    counters = json.loads(metadata["counters"])
    change(tensors, metadata, counters)
    if "counters" in metadata and metadata["counters"] != "[]":
        metadata["counters"] = json.dumps(counters)
    modelfile.save(path, tensors, metadata)


ALTERED = [
    *((lambda t, m, c, name=name: m.pop(name), f"is a checkpoint without its {name}; a whole one was expected")
      for name in ("counters", "plan", "history", "corpus")),
    *((lambda t, m, c, name=name: c.pop(name), f"is a checkpoint without {name}; a whole one was expected")
      for name in ("step", "best_loss", "valid", "seconds", "optimizer_steps", "states", "look_batches")),
    *((lambda t, m, c, name=name: t.pop(name), f"is a checkpoint without {name}; a whole one was expected")
      for name in ("rates", "parameter/bias0", "memory/bias0/1", "best/bias0", "state/0/cell0")),
    (lambda t, m, c: m.update(counters="[]"), ": its counters are a list; an object was expected"),
    (lambda t, m, c: m.update(plan="{"), ": its plan cannot be read: "),
    (lambda t, m, c: m.update(history="{}"[:1]), "is a checkpoint with a history that cannot be read: "),
    (lambda t, m, c: m.update(history='{"lost": 1}'), "is a checkpoint with a history that cannot be read: "),
    (lambda t, m, c: c.update(step=-1), "is a checkpoint with step = -1; int of at least 0 was expected"),
    (lambda t, m, c: c.update(step=1.5), "is a checkpoint with step = 1.5; int of at least 0 was expected"),
    (lambda t, m, c: c.update(step=True), "is a checkpoint with step = True; int of at least 0 was expected"),
    (lambda t, m, c: c.update(begun=float("nan")), "is a checkpoint with begun = nan; float of at least 0 was exp"),
    (lambda t, m, c: c.update(valid="low"), "is a checkpoint with valid = 'low'; float | None of at least 0 was "),
    (lambda t, m, c: c.update(states=[3]), "is a checkpoint with states of [3] sequences; numbers above 0 or None "),
    (lambda t, m, c: c.update(states=[3, -1]), "is a checkpoint with states of [3, -1] sequences; numbers above 0 or "),
    (lambda t, m, c: c.update(step=12), "is a checkpoint with rates of shape (13,) and float64; (12,) and float64 "),
    (lambda t, m, c: t.update({"parameter/bias0": t["parameter/bias0"][:1]}),
     "is a checkpoint with parameter/bias0 of shape (1,) and float32; (16,) and float32 were expected"),
    (lambda t, m, c: t.update({"state/1/cell0": t["state/1/cell0"].astype(np.float64)}),
     "is a checkpoint with state/1/cell0 of shape (1, 4) and float64; (1, 4) and float32 were expected"),
]


@pytest.mark.parametrize(("change", "sentence"), ALTERED, ids=[sentence[:60] for _, sentence in ALTERED])
def test_a_checkpoint_that_is_not_whole_is_refused_in_a_sentence(golden: Path, change, sentence: str) -> None:
    altered(golden, change)
    held = golden.read_bytes()
    with pytest.raises(ValueError) as caught:
        trained(checkpoint=golden)
    assert str(caught.value).startswith(f"{golden}{'' if sentence[0] == ':' else ' '}{sentence}")
    assert golden.read_bytes() == held


def test_what_a_state_dict_holds_comes_back_from_the_file(golden: Path, tmp_path: Path) -> None:
    state = checkpoint.load(golden)
    assert set(state) == {"tensors", "counters", "plan", "history", "corpus"}
    assert state["counters"]["step"] == STOPPED and state["tensors"]["rates"].shape == (STOPPED,)
    checkpoint.save(tmp_path / "twin", state)
    twin = checkpoint.load(tmp_path / "twin")
    for name, array in state.pop("tensors").items():
        np.testing.assert_array_equal(twin["tensors"][name], array, strict=True)
    assert {name: value for name, value in twin.items() if name != "tensors"} == state
    assert checkpoint.plan_of(golden).model == LSTM(7, hidden=4, dropout=0.2, seed=5).config()


@pytest.mark.parametrize(("plan", "sentence"), [
    ("[]", "its plan are a list; an object was expected"), ("{}", "its plan has the model None; a configuration"),
])
def test_the_model_of_a_checkpoint_without_one(golden: Path, plan: str, sentence: str) -> None:
    altered(golden, lambda t, m, c: m.update(plan=plan))
    with pytest.raises(ValueError) as caught:
        checkpoint.plan_of(golden)
    assert str(caught.value).startswith(f"{golden}: {sentence}")


# writes that fail -----------------------------------------------------------------------------------------------------

def test_a_checkpoint_that_cannot_be_written_is_a_warning_and_is_tried_again(tmp_path: Path) -> None:
    """Its folder goes during the run and comes back."""
    folder, seen = tmp_path / "there", []
    folder.mkdir()

    class Moving(optim.AdamW):
        def rate(self, lr, scale, step, decay):
            if step == 5 and folder.exists():
                folder.rename(tmp_path / "gone")
            if step == 8 and not folder.exists():
                seen.append(step)
                (tmp_path / "gone").rename(folder)
            return super().rate(lr, scale, step, decay)
    model = PositionalOneHot(7, 3)
    trainer = Trainer(model, Moving(lr=0.05), batch_size=3, sequence_length=7, threads=1)
    with pytest.warns(UserWarning) as caught:
        history = trainer.fit([IDS], epochs=2, checkpoint=folder / "run", checkpoint_every=0)
    sentences = [str(warning.message) for warning in caught]
    assert sentences == [f"step {step} has no checkpoint and training goes on: {folder / 'run'} cannot be written: "
                         f"{folder} is not a folder" for step in (5, 6, 7)]
    assert history.reason is Ended.FINISHED and seen == [8]
    assert checkpoint.load(folder / "run")["counters"]["step"] == trainer.plan.steps
    assert os.listdir(tmp_path) == ["there"]


def test_an_error_of_the_progress_function_is_raised_after_the_checkpoint(tmp_path: Path) -> None:
    whole, _ = trained()
    path = tmp_path / "run"

    def fail(figures: dict) -> None:
        raise ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError, match="mine"):
        trained(checkpoint=path, progress=fail)
    step = checkpoint.load(path)["counters"]["step"]
    assert 0 < step <= 40
    resumed, trainer = trained(checkpoint=path)
    assert resumed == whole and trainer.history.reason is Ended.FINISHED
    trainer = Trainer(PositionalOneHot(7, 3), threads=1)
    with pytest.raises(ZeroDivisionError):
        trainer.fit([IDS], epochs=1, progress=fail)
    last = trainer.history[-1]["step"]
    assert trainer.history.ended == f"ended after step {last} by an error of the progress function"
    assert trainer.history.reason is Ended.INTERRUPTED and trainer.plan.steps == last


def test_training_again_after_a_refusal_needs_another_name(tmp_path: Path) -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["a", "b"]), PositionalOneHot(2, 1))
    lm.save(tmp_path / "run")
    with pytest.raises(ValueError, match="run exists and is a model, no checkpoint; a new name was expected"):
        fastlm.train(["a b\n" * 50], model="lstm", epochs=1, checkpoint=tmp_path / "run")
