"""Drawing continuations: what is drawn, from how much of the distribution, and what is refused."""

from itertools import islice

import numpy as np
import pytest

from fastlm.batch import Batch, State
from fastlm.generation.sampling import Sampler, Sampling, sample_ids, sample_together
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


def sampler(seed: int | None = 0, banned=None, allowed=None, size: int = V, **options) -> Sampler:
    return Sampler(Sampling(**options), np.random.default_rng(seed), size, banned, allowed)


def draw(count: int, seed: int | None = 0, **options) -> list[int]:
    model = Fixed(V)
    return list(islice(sample_ids(model, model.start(), model.bias.value, sampler(seed, **options)), count))


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
    ({"min_p": 0.2}, [0.5, 0.25, 0.15, 0, 0]),
    ({"min_p": 0.2, "temperature": 2.0}, [*np.sqrt([0.5, 0.25, 0.15, 0.07, 0.03])]),
    ({"min_p": 0.2, "temperature": 0.5}, [0.25, 0.0625, 0, 0, 0]),
    ({"min_p": 1.0}, [1, 0, 0, 0, 0]),
    ({"allowed": np.array([False, True, False, True, False])}, [0, 0.25, 0, 0.07, 0]),
    ({"allowed": lambda drawn: np.arange(V) == (2 if not drawn else drawn[-1])}, [0, 0, 1, 0, 0]),
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
    drawn = list(islice(sample_ids(model, state, logits[0], sampler(temperature=0, size=11)), 12))
    assert state == before
    by_steps: list[int] = []
    rows = logits
    for _ in range(12):
        by_steps.append(int(rows[0].argmax()))
        rows, state = model.step(state, by_steps[-1])
    assert drawn == by_steps
    assert drawn == list(islice(sample_ids(model, before, logits[0], sampler(5, top_k=1, size=11)), 12))


@pytest.mark.parametrize("options, message", [
    ({"temperature": -0.5}, "temperature = -0.5; a number of at least 0 was expected"),
    ({"temperature": float("nan")}, "temperature = nan; a number of at least 0 was expected"),
    ({"top_k": -1}, "top_k = -1; 0 for all, or a whole number of at least 1, was expected"),
    ({"top_p": 0}, "top_p = 0 is outside (0, 1]"),
    ({"top_p": 1.5}, "top_p = 1.5 is outside (0, 1]"),
    ({"min_p": -0.1}, "min_p = -0.1 is outside [0, 1]"),
    ({"min_p": 1.1}, "min_p = 1.1 is outside [0, 1]"),
    ({"repetition_penalty": 0.5}, "repetition_penalty = 0.5; a number of at least 1 was expected"),
])
def test_errors_are_raised_before_anything_is_drawn(options, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Sampling(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize("mask, message", [
    (np.zeros(V, bool), "allowed lets no token be drawn; at least one was expected"),
    (np.ones(V - 1, bool), "allowed is bool (4,); bool (5,) was expected"),
    (np.ones(V), "allowed is float64 (5,); bool (5,) was expected"),
])
def test_masks_that_do_not_fit(mask, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        draw(1, allowed=mask)
    assert str(caught.value) == message


def test_repetitions_are_divided_by_the_penalty_by_hand() -> None:
    """After [1, 2, 1] id 2 has followed 1 once and 1 has followed 2 once; each more time divides p once more."""
    one = Sampler(Sampling(repetition_penalty=2.0, repeated=1, temperature=1), np.random.default_rng(0), 3,
                  read=[1, 2, 1, 2, 1])
    logits = np.log([0.2, 0.4, 0.4]).astype(np.float32)
    drawn = np.bincount([Sampler(Sampling(repetition_penalty=2.0, repeated=1), np.random.default_rng(seed), 3,
                                 read=[1, 2, 1, 2, 1]).draw(logits) for seed in range(4000)], minlength=3) / 4000
    assert np.abs(drawn - np.array([0.2, 0.4, 0.1]) / 0.7).max() < 0.04   # 2 has followed 1 twice
    assert one.drawn == [] and isinstance(one.draw(logits), int) and len(one.drawn) == 1


def test_a_phrase_does_not_go_round_and_round() -> None:
    assert draw(30, temperature=0) == [0] * 30
    found = draw(30, temperature=0, repetition_penalty=1.5, repeated=2)
    assert len(set(found)) > 1 and max(found.count(id) for id in set(found)) < 25


@pytest.mark.parametrize("name", ALL_MODELS)
def test_sequences_side_by_side_are_those_one_by_one(name: str) -> None:
    model, end, boundary = model_of(name, 11), 4, 2
    states, rows = [], []
    for prompt in ([3], [5, 1, 4], [0, 0]):
        state = model.start()
        for id in prompt:
            logits, state = model.step(state, id)
        states.append(state)
        rows.append(logits[0].copy())
    together = [sampler(seed, size=11) for seed in range(3)]
    sample_together(model, states, np.stack(rows), together, 20, lambda s, id: s == 1 and id == end, end, boundary)
    for s, (state, logits) in enumerate(zip(states, rows, strict=True)):
        alone = list(islice(sample_ids(model, state, logits, sampler(s, size=11), end, boundary), 20))
        if s == 1 and end in alone:
            alone = alone[:alone.index(end) + 1]
        assert together[s].drawn == alone
