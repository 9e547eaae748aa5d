"""Drawing continuations: what is drawn, from how much of the distribution, and what is refused."""

from itertools import islice

import numpy as np
import pytest

from fastlm.batch import Batch, State
from fastlm.generation import sample_ids
from fastlm.models.base import PrefixModel
from tests.cases import ALL_MODELS, model_of

V = 5


class Fixed(PrefixModel):
    """The same logits whatever was read."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.bias = self.parameter("bias", np.log([0.5, 0.25, 0.15, 0.07, 0.03]))

    def forward(self, batch: Batch, state: State | None = None):
        from fastlm import autodiff
        zeros = np.zeros((len(batch), self.vocab_size), np.float32)
        return autodiff.add_bias(zeros, self.bias), state or self.start(batch.sequences)


def draw(count: int, seed: int | None = 0, **options) -> list[int]:
    model = Fixed(V)
    return list(islice(sample_ids(model, model.start(), model.bias.value, seed=seed, **options), count))


def shares(ids: list[int]) -> np.ndarray:
    return np.bincount(ids, minlength=V) / len(ids)


@pytest.mark.parametrize("options, wanted", [
    ({}, [0.5, 0.25, 0.15, 0.07, 0.03]),
    ({"temperature": 0.5}, [0.25, 0.0625, 0.0225, 0.0049, 0.0009]),
    ({"temperature": 2.0}, np.sqrt([0.5, 0.25, 0.15, 0.07, 0.03])),
    ({"top_k": 2}, [2, 1, 0, 0, 0]),
    ({"top_k": 99}, [0.5, 0.25, 0.15, 0.07, 0.03]),
    ({"top_p": 0.7}, [2, 1, 0, 0, 0]),
    ({"top_p": 0.4}, [1, 0, 0, 0, 0]),
    ({"banned": np.array([0, 4])}, [0, 0.25, 0.15, 0.07, 0]),
    ({"temperature": 0}, [1, 0, 0, 0, 0]),
    ({"temperature": 0, "banned": np.array([0])}, [0, 1, 0, 0, 0]),
], ids=str)
def test_draws_follow_the_distribution(options, wanted) -> None:
    wanted = np.array(wanted) / np.sum(wanted)
    found = shares(draw(4000, **options))
    assert (found[wanted == 0] == 0).all()
    assert np.abs(found - wanted).max() < 4 * np.sqrt(0.25 / 4000)


def test_a_seed_gives_one_sequence() -> None:
    assert draw(50, seed=1) == draw(50, seed=1) != draw(50, seed=2)
    assert draw(50, seed=None) != draw(50, seed=None)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_the_likeliest_continuation_is_that_of_the_steps(name: str) -> None:
    model = model_of(name, 11)
    logits, state = model.step(model.start(), 3)
    before = state.copy()
    drawn = list(islice(sample_ids(model, state, logits[0], temperature=0), 12))
    assert state == before
    by_steps: list[int] = []
    rows = logits
    for _ in range(12):
        by_steps.append(int(rows[0].argmax()))
        rows, state = model.step(state, by_steps[-1])
    assert drawn == by_steps
    assert drawn == list(islice(sample_ids(model, before, logits[0], top_k=1, seed=5), 12))


@pytest.mark.parametrize("options, message", [
    ({"temperature": -0.5}, "temperature = -0.5; a number of at least 0 was expected"),
    ({"temperature": float("nan")}, "temperature = nan; a number of at least 0 was expected"),
    ({"top_k": -1}, "top_k = -1; 0 for all, or a whole number of at least 1, was expected"),
    ({"top_p": 0}, "top_p = 0 is outside (0, 1]"),
    ({"top_p": 1.5}, "top_p = 1.5 is outside (0, 1]"),
])
def test_errors_are_raised_before_anything_is_drawn(options, message: str) -> None:
    model = Fixed(V)
    with pytest.raises(ValueError) as caught:
        sample_ids(model, model.start(), model.bias.value, **options)
    assert str(caught.value) == message
