"""Sampling and the k largest: draws worked out by hand, then against a plain Python account of the rule."""

import numpy as np
import pytest

from fastlm import _core

F = np.float32
TENTHS = np.log(np.array([0.1, 0.2, 0.3, 0.4])).astype(F)


def sample(x: np.ndarray, temperature: float = 1, top_k: int = 0, top_p: float = 1, u: float = 0.5) -> int:
    return _core.sample(x, temperature, top_k, top_p, u, np.empty(len(x)), np.empty(len(x), np.int32))


def test_draws_by_hand() -> None:
    assert [sample(TENTHS, u=u) for u in (0, 0.05, 0.15, 0.35, 0.65, 0.999)] == [0, 0, 1, 2, 3, 3]
    assert [sample(TENTHS, top_k=2, u=u) for u in (0, 0.5, 0.6, 0.99)] == [3, 3, 2, 2]
    assert [sample(TENTHS, top_p=0.6, u=u) for u in (0, 0.5, 0.6, 0.99)] == [3, 3, 2, 2]
    assert [sample(TENTHS, top_p=0.39, u=u) for u in (0, 0.99)] == [3, 3]
    # The two likeliest carry 4/7 and 3/7 of what is left, so 0.5 of it is the first alone.
    assert [sample(TENTHS, top_k=2, top_p=0.5, u=u) for u in (0, 0.99)] == [3, 3]
    assert [sample(TENTHS, top_k=1, u=u) for u in (0, 0.99)] == [3, 3]
    assert sample(TENTHS, temperature=0, u=0) == 3
    assert [sample(2 * TENTHS, temperature=2, u=u) for u in (0.05, 0.15, 0.35, 0.65)] == [0, 1, 2, 3]
    assert [sample(TENTHS, temperature=1e-300, u=u) for u in (0, 0.99)] == [3, 3]
    assert sample(np.zeros(1, F), u=0.99) == 0


def test_ties_go_to_the_lower_id() -> None:
    x = np.array([1, 5, 5, 0, 5], F)
    assert sample(x, temperature=0) == 1
    assert sample(x, top_k=1) == 1
    assert _core.top_k(x, 4).tolist() == [1, 2, 4, 0]


def test_impossible_tokens_are_never_drawn() -> None:
    x = np.array([-np.inf, 0, -np.inf, 0, -np.inf], F)
    draws = (0, 0.3, 0.9, 1 - 1e-16)
    drawn = {sample(x, top_k=k, top_p=p, u=u) for k in (0, 4) for p in (0.9, 1) for u in draws}
    assert drawn == {1, 3}


@pytest.mark.parametrize("width", [1, 2, 3, 65, 1001])
def test_top_k_against_a_sort(width: int) -> None:
    rng = np.random.default_rng(width)
    x = rng.integers(0, 40, width).astype(F)
    ranked = np.argsort(-x, kind="stable")
    for k in (0, 1, 2, width - 1, width, width + 5):
        got = _core.top_k(x, k)
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, ranked[:k])


@pytest.mark.parametrize("width", [1, 2, 65, 700])
@pytest.mark.parametrize("spread", [0.1, 3])
def test_draws_against_the_rule(width: int, spread: float) -> None:
    rng = np.random.default_rng(width)
    x = (spread * rng.standard_normal(width)).astype(F)
    for _ in range(40):
        top_k, top_p = int(rng.integers(0, width + 2)), float(rng.choice([0.05, 0.5, 0.97, 1]))
        temperature, u = float(rng.choice([0.5, 1, 2])), float(rng.random())
        p = np.exp((x.astype(np.float64) - x.max()) / temperature)
        order = np.argsort(-x, kind="stable")[: top_k or None]
        if top_p < 1:
            mass = np.cumsum(p[order])
            order = order[: np.searchsorted(mass, top_p * mass[-1]) + 1]
        elif not 0 < top_k < width:
            order = np.arange(width)
        wanted = order[np.searchsorted(np.cumsum(p[order]), u * p[order].sum(), side="right")]
        assert sample(x, temperature, top_k, top_p, u) == wanted


def test_what_cannot_be_drawn_from() -> None:
    for bad in ([0, np.nan], [np.nan, 0], [-np.inf, -np.inf], [0, np.inf]):
        with pytest.raises(ValueError, match="x has a NaN or no finite largest element"):
            sample(np.array(bad, F))
    with pytest.raises(ValueError, match="x has 0 elements, expected at least 1"):
        sample(np.empty(0, F))
    for name, value, message in [
        ("temperature", -1, "temperature = -1 is not a finite number from 0 on"),
        ("temperature", float("nan"), "temperature = nan is not a finite number from 0 on"),
        ("temperature", float("inf"), "temperature = inf is not a finite number from 0 on"),
        ("top_p", 0, r"top_p = 0 is outside \(0, 1\]"),
        ("top_p", 1.5, r"top_p = 1.5 is outside \(0, 1\]"),
        ("u", 1, r"u = 1 is outside \[0, 1\)"),
        ("u", -0.5, r"u = -0.5 is outside \[0, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            sample(TENTHS, **{name: value})
    with pytest.raises(ValueError, match="scratch_p has 3 elements, expected 4"):
        _core.sample(TENTHS, 1, 0, 1, 0.5, np.empty(3), np.empty(4, np.int32))
    with pytest.raises(ValueError, match="scratch_order has 5 elements, expected 4"):
        _core.sample(TENTHS, 1, 0, 1, 0.5, np.empty(4), np.empty(5, np.int32))
