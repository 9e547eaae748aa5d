"""Attention, layer normalisation and GELU against values worked out by hand and float64, on every instruction set."""

import math

import numpy as np
import pytest

from fastlm import _core
from fastlm.autodiff.attention import Spans
from fastlm.batch import Batch
from tests import oracle
from tests.core.cases import F, close, normal

pytestmark = pytest.mark.usefixtures("isa")


def attend(qkv, slopes, spans, past, gradient):
    """out, log_sum, dqkv and what is carried on, in the order of the lanes."""
    kernel = _core.Attention(qkv, past, slopes, spans.length, spans.first, spans.batch.offset)
    rows, width = len(qkv), qkv.shape[1] // 3
    out, log_sum = np.full((rows, width), np.nan, F), np.full((rows, len(slopes)), np.nan, F)
    kernel.forward(out, log_sum, np.full(kernel.scratch, np.nan, F))
    dqkv = np.ones_like(qkv)
    kernel.backward(dqkv, np.full(kernel.scratch, np.nan, F), gradient, out, log_sum)
    after = np.full((len(past), int(spans.kept.max(initial=0)), 2 * width), np.nan, F)
    kernel.carry(after, spans.kept)
    return out, log_sum, dqkv - 1, after


def test_attention_by_hand() -> None:
    """Two rows, one head of one: the second sees keys 1 and 3 with q = 2, the first of them one token away."""
    batch = Batch.of([[0, 0]])
    spans = Spans(batch, np.zeros(1, np.int64))
    assert spans.first.tolist() == [0, 0] and spans.after.tolist() == [2]
    qkv = np.array([[5, 1, 10], [2, 3, 20]], F)
    out, log_sum, dqkv, after = attend(qkv, np.array([0.5], F), spans, np.zeros((1, 0, 2), F), np.ones((2, 1), F))
    p = 1 / (1 + math.exp(-(2 * 3 - 2 * 1 + 0.5)))           # of the key that lies next
    close(out, np.array([[10], [p * 20 + (1 - p) * 10]]))
    close(log_sum, np.array([[5], [math.log(math.exp(6) + math.exp(1.5))]]))
    ds = p * (1 - p) * 10                                    # the gradient of the second score, less that of the first
    close(dqkv, np.array([[0, -ds * 2, 1 + 1 - p], [ds * (3 - 1), ds * 2, p]]))
    assert after.tolist() == [[[1, 10], [3, 20]]]


def test_spans_by_hand() -> None:
    ids, starts = np.zeros((4, 2), np.int32), np.array([[0, 0], [0, 1], [0, 0], [1, 0]], np.uint8)
    spans = Spans(Batch.rectangle(ids, starts), np.array([2, 1]), window=3)
    assert spans.first.reshape(4, 2).tolist() == [[0, 0], [1, 2], [2, 2], [5, 2]]
    assert spans.after.tolist() == [1, 2]
    assert Spans(Batch.rectangle(ids, starts), np.array([2, 1])).after.tolist() == [1, 3]
    ragged = Spans(Batch.of([[], [1], [1, 2, 3]]), np.array([4, 0, 2]), window=4)
    assert ragged.after.tolist() == [3, 1, 3]
    assert ragged.first.tolist() == [0, 0, 0, 1]             # three rows of the longest, among them that of the second


SHAPES = [  # lengths of the sequences, heads, width of one, window, longest past
    ([1], 1, 1, None, 0), ([2, 0, 5], 2, 3, None, 3), ([7, 9, 1], 3, 5, 4, 3), ([61, 60, 64], 1, 16, None, 0),
    ([130, 59], 2, 17, 33, 32), ([65, 128], 1, 64, None, 70), ([200], 1, 65, 90, 89), ([3, 3], 2, 130, None, 2),
]


@pytest.mark.parametrize("lengths, heads, width, window, past", SHAPES)
@pytest.mark.parametrize("documents", [False, True])
def test_attention_against_float64(lengths, heads, width, window, past, documents) -> None:
    rng = np.random.default_rng(width)
    batch = Batch.of([np.zeros(n, np.int32) for n in lengths])
    if documents:
        batch.starts = (rng.random(len(batch)) < 0.1).astype(np.uint8)
    starts = np.zeros(len(batch), np.uint8) if batch.starts is None else batch.starts
    length = rng.integers(0, past + 1, len(lengths))
    length[0] = past
    entries = normal(rng, len(lengths), past, 2 * heads * width)
    entries[np.arange(past) >= length[:, None]] = 0
    qkv, slopes = normal(rng, len(batch), 3 * heads * width), (0.5 ** np.arange(1, heads + 1)).astype(F)
    gradient = normal(rng, len(batch), heads * width)
    spans = Spans(batch, length, window)
    out, _, dqkv, after = attend(qkv, slopes, spans, batch.to_packed(entries), gradient)

    def wanted(x):
        return oracle.attention(x, slopes.astype(float), window, oracle.layout(lengths), starts, entries, length)
    close(out, wanted(qkv.astype(float)))
    direction = rng.normal(size=qkv.shape)
    up, down = (float((wanted(qkv + sign * 1e-6 * direction) * gradient).sum()) for sign in (1, -1))
    slope = (up - down) / 2e-6
    rounding = 1e-4 * float(np.abs(dqkv).sum()) ** 0.5
    assert float((dqkv * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=rounding)
    for s, kept in enumerate(spans.after):
        lane = s if batch.order is None else int(np.flatnonzero(batch.order == s)[0])
        own = batch.unpack(qkv[:, heads * width:])[s]
        whole = np.concatenate([entries[s, :length[s]], own])
        np.testing.assert_array_equal(after[lane, :kept], whole[len(whole) - kept:])
        assert not after[lane, kept:].any()


def every_isa(call):
    results = []
    for name in _core.available_isas():
        _core.use_isa(name)
        results.append(call())
    return results


def test_the_same_bytes_wherever_products_fuse() -> None:
    rng = np.random.default_rng(3)
    batch = Batch.of([np.zeros(n, np.int32) for n in (70, 130, 0, 1)])
    spans = Spans(batch, np.array([3, 0, 2, 1]), 50)
    qkv, past, gradient = normal(rng, len(batch), 3 * 34), normal(rng, 4, 3, 2 * 34), normal(rng, len(batch), 34)
    slopes = np.array([0.25, 0.0625], F)
    portable, *others = every_isa(lambda: attend(qkv, slopes, spans, past, gradient))
    for arrays in others:
        assert [a.tobytes() for a in arrays] == [a.tobytes() for a in others[0]]
        for ours, theirs in zip(arrays, portable, strict=True):
            close(ours, theirs)


def test_attention_of_extreme_scores() -> None:
    batch = Batch.of([[0, 0, 0]])
    spans = Spans(batch, np.zeros(1, np.int64))
    qkv = np.array([[1, 300, 1], [1, -300, 2], [1, 300, 3]], F)
    out, log_sum, dqkv, _ = attend(qkv, np.zeros(1, F), spans, np.zeros((1, 0, 2), F), np.ones((3, 1), F))
    close(out, np.array([[1], [1], [2]]))
    close(log_sum, np.array([[300], [300], [300 + math.log(2)]]))
    assert np.isfinite(dqkv).all()


# one row of every sequence --------------------------------------------------------------------------------------------

def attend_one(qkv, keys, values, slopes, length, end):
    """out (S, HD) of one more row a sequence."""
    out = np.full((len(qkv), qkv.shape[1] // 3), np.nan, F)
    score = np.full(_core.attention_step_scratch(keys.shape[2]), np.nan, F)
    _core.attention_step(out, score, qkv, keys, values, slopes, length, end)
    return out


def test_one_row_by_hand() -> None:
    """q = 2 sees the keys 1 and 3 at places 1 and 2, the first one token away; what lies around them is not read."""
    keys, values = np.array([[[[np.nan], [1], [3], [np.nan]]]], F), np.array([[[[np.nan], [10], [20], [np.nan]]]], F)
    p = 1 / (1 + math.exp(-(2 * 3 - 2 * 1 + 0.5)))
    out = attend_one(np.array([[2, 7, 8]], F), keys, values, np.array([0.5], F), np.array([2]), 3)
    close(out, np.array([[p * 20 + (1 - p) * 10]]))
    alone = attend_one(np.array([[2, 7, 8]], F), keys, values, np.array([0.5], F), np.array([1]), 3)
    assert alone.tolist() == [[20]]


STEPS = [  # entries seen by each sequence, the place where they end, places, heads, width of one
    ([1], 1, 1, 1, 1), ([3, 1], 3, 4, 2, 3), ([], 0, 2, 3, 5), ([64, 1, 65], 65, 70, 1, 16),
    ([130, 63], 200, 201, 2, 17), ([512], 512, 512, 1, 32), ([5], 9, 128, 1, 130),
]


def step_case(rng, lengths, places, heads, width):
    """qkv, keys, values and slopes, unequal and random."""
    return (normal(rng, len(lengths), 3 * heads * width), normal(rng, len(lengths), heads, places, width),
            normal(rng, len(lengths), heads, places, width), (0.5 ** np.arange(1, heads + 1)).astype(F))


@pytest.mark.parametrize("lengths, end, places, heads, width", STEPS)
def test_one_row_against_float64(lengths, end, places, heads, width) -> None:
    rng = np.random.default_rng(width)
    qkv, keys, values, slopes = step_case(rng, lengths, places, heads, width)
    before = [array.tobytes() for array in (qkv, keys, values)]
    out = attend_one(qkv, keys, values, slopes, np.array(lengths, np.int64), end)
    assert [array.tobytes() for array in (qkv, keys, values)] == before
    wanted = np.zeros((len(lengths), heads, width))
    for s, length in enumerate(lengths):
        for h in range(heads):
            k, v = keys[s, h, end - length: end].astype(float), values[s, h, end - length: end].astype(float)
            score = k @ qkv[s, h * width: (h + 1) * width] / math.sqrt(width) - slopes[h] * np.arange(length)[::-1]
            p = np.exp(score - score.max())
            wanted[s, h] = p @ v / p.sum()
    close(out, wanted.reshape(len(lengths), heads * width))


@pytest.mark.parametrize("lengths, end, places, heads, width", STEPS)
def test_one_row_gives_the_same_bytes_everywhere(lengths, end, places, heads, width) -> None:
    qkv, keys, values, slopes = step_case(np.random.default_rng(width), lengths, places, heads, width)
    first, *others = every_isa(lambda: attend_one(qkv, keys, values, slopes, np.array(lengths, np.int64), end))
    assert all(other.tobytes() == first.tobytes() for other in others)


def test_one_row_is_the_last_row_of_attention() -> None:
    """Two heads, a window of 9 of 23 rows: the last row of forward, and the same row with its past in place."""
    rng = np.random.default_rng(5)
    batch = Batch.of([np.zeros(23, np.int32)])
    qkv, slopes = normal(rng, 23, 3 * 14), np.array([0.25, 0.0625], F)
    spans = Spans(batch, np.zeros(1, np.int64), 9)
    whole, *_ = attend(qkv, slopes, spans, np.zeros((1, 0, 28), F), normal(rng, 23, 14))
    keys, values = (np.ascontiguousarray(part.reshape(1, 23, 2, 7).transpose(0, 2, 1, 3))
                    for part in (qkv[:, 14:28], qkv[:, 28:]))
    close(attend_one(qkv[-1:], keys, values, slopes, np.array([9]), 23), whole[-1:])


def test_one_row_of_extreme_scores() -> None:
    keys, values = np.array([[[[300], [-300], [300]]]], F), np.array([[[[1], [2], [3]]]], F)
    close(attend_one(np.array([[1, 0, 0]], F), keys, values, np.zeros(1, F), np.array([3]), 3), np.array([[2.0]]))


def step_with(**changed):
    given = {"out": np.zeros((2, 6), F), "score": np.zeros(64, F), "qkv": np.zeros((2, 18), F),
             "keys": np.zeros((2, 3, 4, 2), F), "values": np.zeros((2, 3, 4, 2), F), "slope": np.zeros(3, F),
             "length": np.array([1, 3]), "end": 3}
    _core.attention_step(**given | changed)


@pytest.mark.parametrize("changed, message", [
    ({"out": np.zeros((2, 5), F)}, "out has shape (2, 5), expected (2, 6)"),
    ({"score": np.zeros(63, F)}, "score has 63 elements, expected 64"),
    ({"qkv": np.zeros((1, 18), F)}, "qkv has shape (1, 18), expected (2, 18)"),
    ({"values": np.zeros((2, 3, 5, 2), F)}, "values has shape (2, 3, 5, 2), expected (2, 3, 4, 2)"),
    ({"slope": np.zeros(2, F)}, "slope has 2 elements, expected 3"),
    ({"length": np.array([1])}, "length has 1 elements, expected 2"),
    ({"length": np.array([1, 4])}, "length[1] = 4, expected 1 to 3"),
    ({"length": np.array([0, 3])}, "length[0] = 0, expected 1 to 3"),
    ({"end": 5}, "end = 5, expected 0 to the 4 places there are"),
    ({"end": -1}, "end = -1, expected 0 to the 4 places there are"),
])
def test_messages_of_one_row(changed, message) -> None:
    step_with()
    with pytest.raises(ValueError) as caught:
        step_with(**changed)
    assert str(caught.value) == message


# what stands between the products ------------------------------------------------------------------------------------

def test_layer_norm_by_hand() -> None:
    out, moments = np.full((2, 2), np.nan, F), np.full((2, 2), np.nan, F)
    x, gain, bias = np.array([[1, 3], [5, 5]], F), np.array([2, 4], F), np.array([10, 20], F)
    _core.layer_norm(out, moments, x, gain, bias)
    one = 1 / math.sqrt(1 + 1e-5)
    close(out, np.array([[10 - 2 * one, 20 + 4 * one], [10, 20]]))
    close(moments, np.array([[2, one], [5, 1 / math.sqrt(1e-5)]]))


def test_gelu_by_hand() -> None:
    out, slope = np.full((1, 4), np.nan, F), np.full((1, 4), np.nan, F)
    _core.gelu(out, slope, np.array([[-1, 0, 99, -101]], F), np.array([1, 1, 1, 1], F))
    close(out, np.array([[0, 0.841192, 100, 0]]))            # PyTorch's, approximate="tanh"
    close(slope, np.array([[0.5, 1.0829641, 1, 0]]))


@pytest.mark.parametrize("rows, width", [(0, 3), (1, 1), (3, 5), (2, 16), (5, 17), (4, 33), (3, 257), (70, 300)])
def test_norm_gelu_and_sums_against_float64(rows: int, width: int) -> None:
    rng = np.random.default_rng(width)
    x, dout, gain, bias = normal(rng, rows, width), normal(rng, rows, width), normal(rng, width), normal(rng, width)
    x += 3
    out, moments = np.full_like(x, np.nan), np.full((rows, 2), np.nan, F)
    _core.layer_norm(out, moments, x, gain, bias)
    close(out, oracle.layer_norm(x.astype(float), gain.astype(float), bias.astype(float)), 4e-6)
    wide, slope = x.astype(float), dout.astype(float) * gain
    scale = 1 / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    standard = (wide - wide.mean(1, keepdims=True)) * scale
    dx, dgain, dbias = np.ones_like(x), np.ones_like(gain), np.ones_like(gain)
    _core.layer_norm_back(dx, dgain, dbias, dout, x, moments, gain)
    close(dx, 1 + scale * (slope - slope.mean(1, keepdims=True)
                           - standard * (slope * standard).mean(1, keepdims=True)), 1e-5)
    close(dgain, 1 + (dout * standard).sum(0), 4e-6)
    close(dbias, 1 + dout.astype(float).sum(0))

    u = x.astype(float) + bias
    _core.gelu(out, moments := np.full_like(x, np.nan), x, bias)
    close(out, oracle.gelu(u))
    close(moments, (oracle.gelu(u + 1e-5) - oracle.gelu(u - 1e-5)) / 2e-5, 4e-6)
    in_place = x.copy()
    _core.gelu(in_place, None, in_place, bias)
    assert in_place.tobytes() == out.tobytes()
    product, sums = dout.copy(), np.ones(width, F)
    _core.multiply_sum(product, sums, moments)
    close(product, dout.astype(float) * moments)
    close(sums, 1 + (dout.astype(float) * moments).sum(0))
    total = dout.copy()
    _core.residual(total, x, bias)
    close(total, dout.astype(float) + x + bias)


def test_norm_and_gelu_give_the_same_bytes_everywhere() -> None:
    rng = np.random.default_rng(9)
    x, dout, gain, bias = normal(rng, 5, 37), normal(rng, 5, 37), normal(rng, 37), normal(rng, 37)

    def call():
        out, moments, dx, dgain, dbias = (np.zeros(shape, F) for shape in ((5, 37), (5, 2), (5, 37), 37, 37))
        _core.layer_norm(out, moments, x, gain, bias)
        _core.layer_norm_back(dx, dgain, dbias, dout, x, moments, gain)
        value, slope = np.empty_like(x), np.empty_like(x)
        _core.gelu(value, slope, x, bias)
        return [array.tobytes() for array in (out, moments, dx, dgain, dbias, value, slope)]
    assert all(result == every_isa(call)[0] for result in every_isa(call))
