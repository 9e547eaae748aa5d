"""A model of fewer tokens as one of a larger vocabulary: probabilities by the definition, and what is refused."""

import numpy as np
import pytest

from fastlm.batch import Batch
from fastlm.models import LSTM, KneserNey, PrefixModel, Widened


def test_probabilities_are_shares_of_the_models_own() -> None:
    inner = LSTM(5, hidden=4, width=3, seed=2)
    own, share = np.array([4, 0, 1, 2, 3, 1, 1]), np.array([1, 1, 0.5, 1, 1, 0.2, 0.3])
    model = Widened(7, inner).use(own, share)
    ids = np.array([0, 6, 2, 5, 1], np.int32)
    expected = inner.log_probabilities(own[ids])[:, own] + np.log(share)
    np.testing.assert_allclose(model.log_probabilities(ids), expected, atol=1e-5)
    targets = np.array([6, -1, 5, 0, 3], np.int32)
    nats = -expected[np.arange(5), targets]
    nats[1] = 0
    np.testing.assert_allclose(model.score(ids, targets), nats, rtol=1e-5)
    rows, _ = model.forward(Batch.one(ids))
    np.testing.assert_allclose(model.head.nats(rows, targets), nats, rtol=1e-5)
    top, log_p = model.head.top(rows, 3)
    assert top[0].tolist() == np.argsort(-expected[0], kind="stable")[:3].tolist()
    np.testing.assert_allclose(log_p[0], np.sort(expected[0])[::-1][:3], atol=1e-5)


def test_it_is_built_again_from_its_file() -> None:
    model = Widened(4, KneserNey(3, order=2)).use([0, 1, 2, 2], [1, 1, 0.25, 0.75])
    twin = PrefixModel.build(model.config())
    twin.restore({name: array.copy() for name, array in model.tensors().items()})
    assert np.array_equal(twin.log_probabilities([0, 3]), model.log_probabilities([0, 3]))
    assert np.array_equal(model.quantized().log_probabilities([1]), model.log_probabilities([1]))
    assert "Widened to 4 tokens" in repr(model)


@pytest.mark.parametrize(("own", "share", "message"), [
    ([0, 1, 2], [1, 1, 1], r"own \(3,\) and share \(3,\); \(4,\) each was expected"),
    ([0, 1, 2, 3], [1, 1, 1, 1], "own has ids outside the 3 of"),
    ([0, 1, 2, -1], [1, 1, 1, 1], "own has ids outside the 3 of"),
    ([0, 1, 2, 2], [1, 1, 1, 1], "the shares of token 2 sum to 2; 1 was expected"),
    ([0, 1, 2, 2], [1, 1, 1.5, -0.5], "the shares of token"),
])
def test_what_does_not_fit(own: list[int], share: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Widened(4, KneserNey(3, order=2)).use(own, share)


def test_files_that_do_not_fit() -> None:
    model = Widened(4, KneserNey(3, order=2)).use([0, 1, 2, 2], [1, 1, 0.25, 0.75])
    tensors = model.tensors()
    for wrong in ({"own": None}, {"share": tensors["share"].astype(np.float32)}, {"own": tensors["own"] + 1}):
        with pytest.raises(ValueError):
            PrefixModel.build(model.config()).restore({**tensors, **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 2 were expected"):
        Widened(2, KneserNey(3, order=2))
    with pytest.raises(ValueError, match="not trained by itself"):
        model.head.check_loss("cross_entropy")
