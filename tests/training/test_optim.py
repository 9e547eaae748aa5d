"""The stochastic gradient methods: a step by hand, rows only, and what is refused."""

import numpy as np
import pytest

from fastlm.training import optim

# name -> optimizer, and p and the memory after one step of lr 0.1 from p = [1, -2], g = [0.5, 0] by hand
FIRST_STEP = {
    "SGD": (optim.SGD(lr=0.1), [0.95, -2], []),
    "Momentum": (optim.Momentum(lr=0.1, momentum=0.8), [0.95, -2], [[0.5, 0]]),
    "AdaGrad": (optim.AdaGrad(lr=0.1), [0.9, -2], [[0.25, 0]]),
    "AdamW": (optim.AdamW(lr=0.1, weight_decay=0.0), [0.9, -2], [[0.05, 0], [0.0025, 0]]),
    "SGD with decay": (optim.SGD(lr=0.1, weight_decay=0.5), [0.9, -1.9], []),
    "SGD with l2": (optim.SGD(lr=0.1, l2=0.5), [0.9, -1.9], []),
    "Momentum with l2": (optim.Momentum(lr=0.1, l2=1.0), [0.85, -1.8], [[1.5, -2]]),
    "AdamW with decay": (optim.AdamW(lr=0.1, weight_decay=0.5), [0.85, -1.9], [[0.05, 0], [0.0025, 0]]),
    "AdamW with l2": (optim.AdamW(lr=0.1, weight_decay=0.0, l2=1.0), [0.9, -1.9], [[0.15, -0.2], [0.0225, 0.04]]),
}
METHODS = [optim.SGD, optim.Momentum, optim.AdaGrad, optim.AdamW]


@pytest.mark.parametrize("name", FIRST_STEP)
def test_the_first_step_by_hand(name: str) -> None:
    optimizer, wanted, memory_wanted = FIRST_STEP[name]
    p, g = np.array([1, -2], np.float32), np.array([0.5, 0], np.float32)
    memory = optim.new_state(optimizer, p)
    optimizer.update(p, memory, g, optimizer.rate(optimizer.lr, 1.0, 1, decays=True))
    np.testing.assert_allclose(p, wanted, rtol=1e-6)
    np.testing.assert_allclose(np.array(memory), np.array(memory_wanted), rtol=1e-5, atol=1e-9)
    assert g.tolist() == [0, 0] and len(memory) == len(optimizer.remembers)


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_decay_is_not_pulled_to_zero(method) -> None:
    optimizer = method(lr=0.1, weight_decay=0.5, l2=0.5)
    for decays in (True, False):
        p, g = np.array([3.0], np.float32), np.zeros(1, np.float32)
        optimizer.update(p, optim.new_state(optimizer, p), g, optimizer.rate(0.1, 1.0, 1, decays))
        assert (p[0] == 3) != decays


@pytest.mark.parametrize("method", METHODS)
def test_the_clipping_factor_scales_the_gradient(method) -> None:
    optimizer, moved = method(lr=0.1), []
    for scale, gradient in ((0.25, 2.0), (1.0, 0.5)):
        p = np.array([1.0], np.float32)
        memory = optim.new_state(optimizer, p)
        for step in (1, 2, 3):
            rate = optimizer.rate(0.1, scale, step, decays=False)
            optimizer.update(p, memory, np.array([gradient * step], np.float32), rate)
        moved.append([p, *memory])
    for scaled, alone in zip(*moved, strict=True):
        np.testing.assert_allclose(scaled, alone, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_rows_move_as_a_dense_step_moves_them_and_the_others_not_at_all(method) -> None:
    rng = np.random.default_rng(0)
    optimizer = method(lr=0.1, weight_decay=0.2, l2=0.1)
    p, g = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    memory = optim.new_state(optimizer, p)
    for array in memory:
        array[:] = rng.random((7, 3))
    rows = np.array([1, 4, 6], np.int64)
    g[[0, 2, 3, 5]] = 0
    dense = [array.copy() for array in (p, g, *memory)]
    before = [array.copy() for array in (p, *memory)]
    rate = optimizer.rate(0.1, 0.5, 3, True)
    optimizer.update_rows(p, memory, g, rows, rate)
    optimizer.update(dense[0].reshape(-1), [a.reshape(-1) for a in dense[2:]], dense[1].reshape(-1), rate)
    others = [0, 2, 3, 5]
    for moved, wanted, kept in zip((p, *memory), (dense[0], *dense[2:]), before, strict=True):
        assert moved[rows].tobytes() == wanted[rows].tobytes()
        assert moved[others].tobytes() == kept[others].tobytes()
        assert (moved[rows] != kept[rows]).any()
    assert (g == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_config_builds_it_again(method) -> None:
    optimizer = method(lr=0.123, l2=0.25)
    config = optimizer.config()
    assert config["name"] == method.__name__ and config["lr"] == 0.123
    assert optim.from_config(config) == optimizer and type(optim.from_config(config)) is method


ERRORS = [
    (lambda: optim.SGD(lr=0), "lr = 0; a learning rate above 0 was expected"),
    (lambda: optim.AdamW(lr=float("nan")), "lr = nan; a learning rate above 0 was expected"),
    (lambda: optim.Momentum(l2=-0.5), "l2 = -0.5; at least 0 was expected"),
    (lambda: optim.AdaGrad(weight_decay=-1), "weight_decay = -1; at least 0 was expected"),
    (lambda: optim.from_config({"name": "Adam"}),
     "optimizer 'Adam'; one of SGD, Momentum, AdaGrad, AdamW was expected"),
    (lambda: optim.from_config({}), "optimizer None; one of SGD, Momentum, AdaGrad, AdamW was expected"),
]


@pytest.mark.parametrize("call, message", ERRORS, ids=[message[:30] for _, message in ERRORS])
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
