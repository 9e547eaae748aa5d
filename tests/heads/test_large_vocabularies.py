"""The adaptive and the sampled softmax: on paper, what they leave out and refuse, and the whole way to a file."""

import json

import numpy as np
import pytest

import fastlm
import fastlm.heads.base
from fastlm import heads
from fastlm.autodiff import Parameter, Tape
from fastlm.files import modelfile
from fastlm.heads import AdaptiveSoftmax, SampledSoftmax
from fastlm.heads.blocks import Softmax
from fastlm.heads.cutoffs import cutoffs
from fastlm.models import LSTM, DecayedBag
from tests import oracle
from tests.cases import ALL_MODELS, adaptive, model_of

V = 13
ADAPTIVE = [name for name in ALL_MODELS if "adaptive" in name]


def zeros(shape):
    return np.zeros(shape, np.float32)


def three_words() -> AdaptiveSoftmax:
    """Word 0 in the head, words 1 and 2 in a cluster: p = (1/2, 1/8, 3/8) whatever is read."""
    predict = AdaptiveSoftmax(Parameter, lambda shape: zeros(shape), 3, 1, [1])
    predict.bias.value[:] = [0, 0, np.log(3)]
    return predict


def test_adaptive_on_paper() -> None:
    predict, x = three_words(), np.ones((4, 1), np.float32)
    targets = np.array([2, 1, 0, -1], np.int32)
    np.testing.assert_allclose(predict.nats(x, targets), [np.log(8 / 3), np.log(8), np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(predict.logits(x[:1]).value), [[1 / 2, 1 / 8, 3 / 8]], rtol=1e-6)
    with Tape() as tape:
        assert predict.loss(x[:2], targets[[0, 3]], 0.5) == pytest.approx(np.log(8 / 3), rel=1e-6)
        tape.backward()
        np.testing.assert_allclose(tape.leaf(predict.bias).gradient, [1 / 4, 1 / 8, -1 / 8], rtol=1e-6)
        np.testing.assert_allclose(tape.leaf(predict.cluster_bias).gradient, [-1 / 4], rtol=1e-6)
    predict.initialise(np.array([6.0, 1, 3]))
    np.testing.assert_allclose(np.exp(predict.cluster_bias.value), [4.2 / 10.3], rtol=1e-6)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_clusters_without_a_target_get_a_gradient_of_zeros(name: str) -> None:
    """And what the buffers held of the last step is gone."""
    model = model_of(name, V)
    x = np.random.default_rng(0).normal(size=(2, model.options["hidden"])).astype(np.float32)
    tape = Tape()
    for parameter in model.head.parameters.values():
        leaf = tape.leaf(parameter)
        leaf.buffer.fill(7)
        leaf.mark("stale")
    with tape:
        model.head.loss(x, np.array([0, -1], np.int32))
        tape.backward()
        edge = model.head.edges[0]
        for key, parameter in model.head.parameters.items():
            gradient = tape.leaf(parameter).gradient
            if "tail" in key:
                assert not gradient.any()
            elif key == "embedding":
                assert not gradient[edge:].any() and gradient[:edge].all()
            elif key == "output" and "tail0" not in model.parameters:
                assert not gradient[:, edge:].any() and gradient[:, :edge].all()
            elif key == "output_bias":
                assert not gradient[edge:].any()
            else:
                assert gradient.all()


@pytest.mark.parametrize("k", [1, 3, 5, V, 99])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_the_top_of_an_adaptive_softmax_is_the_top_of_all_words(name: str, k: int) -> None:
    predict = model_of(name, V).head
    x = np.random.default_rng(1).normal(size=(40, predict.head.weights[0].value.shape[0])).astype(np.float32) * 3
    logp = predict.logits(x).value
    ids, values = predict.top(x, k)
    assert (ids == np.argsort(-logp, axis=1, kind="stable")[:, :k]).all()
    np.testing.assert_allclose(values, np.take_along_axis(logp, ids, 1), rtol=0, atol=2e-6)
    assert predict.top(x[:0], k)[0].shape == (0, min(k, V))


def test_a_cluster_that_cannot_matter_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = AdaptiveSoftmax(Parameter, lambda shape: zeros(shape), 6, 1, [3, 5])
    predict.bias.value[:] = [9, 8, 7, 0, 0, 0]
    opened = []
    write_logits = Softmax.write_logits
    monkeypatch.setattr(Softmax, "write_logits",
                        lambda self, out, x: (opened.append(self.classes), write_logits(self, out, x)))
    assert predict.top(np.ones((1, 1), np.float32), 3)[0].tolist() == [[0, 1, 2]]
    predict.nats(np.ones((2, 1), np.float32), np.array([2, 4], np.int32))
    assert opened == [5, 5, 2]           # the head twice, and for the target 4 its cluster; never the last
    opened.clear()
    predict.cluster_bias.value[1] = 7.5
    assert predict.top(np.ones((1, 1), np.float32), 3)[0].tolist() == [[0, 1, 5]]
    assert opened == [5, 1]


# sampled -------------------------------------------------------------------------------------------------------------

def sampled(size: int, samples: int, width: int = 1, seed: int | None = None) -> SampledSoftmax:
    rng = np.random.default_rng(seed)
    weight = zeros((size, width)) if seed is None else rng.normal(size=(size, width))
    bias = rng.normal(size=size) * (seed is not None)
    return SampledSoftmax(Parameter("output", weight), Parameter("output_bias", bias),
                   samples)


def test_sampled_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three words that score alike, one draw: q = (1/2, log4(3/2), log4(4/3)). Word 0 is drawn."""
    predict, x = sampled(3, 1), Parameter("x", np.ones((3, 1)))
    q = np.log([2, 3 / 2, 4 / 3]) / np.log(4)
    np.testing.assert_allclose(np.exp(predict.log_chance), q, rtol=1e-6)
    monkeypatch.setattr(predict, "draw", lambda tape: np.array([0]))
    p = (1 / q[1]) / (1 / q[1] + 1 / q[0])
    with Tape() as tape:
        # target 1 beside the drawn word; target 0, which is the drawn word, alone; none
        assert predict.loss(x, np.array([1, 0, -1], np.int32), 2.0) == pytest.approx(-np.log(p), rel=1e-6)
        tape.backward()
        wanted = [[2 * (1 - p)], [-2 * (1 - p)], [0]]
        np.testing.assert_allclose(tape.leaf(predict.weight).gradient, wanted, atol=1e-7)
        np.testing.assert_allclose(tape.leaf(predict.bias).gradient, np.ravel(wanted), atol=1e-7)
        assert tape.leaf(predict.weight).touched().tolist() == [0, 1]   # and word 0 for the row without a target
    np.testing.assert_allclose(predict.nats(x, np.array([1, 0, -1], np.int32)), [np.log(3), np.log(3), 0], rtol=1e-6)
    assert predict.loss(x, np.array([1, 0, -1], np.int32)) == pytest.approx(2 * np.log(3))   # off a tape it is exact


@pytest.mark.parametrize("n", [0, 1, 9])
def test_sampled_gradients_are_those_of_its_formula(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(heads.base, "BLOCK_LOGITS", 12)     # a few rows at a time
    monkeypatch.setattr(heads.base, "FEWEST_ROWS", 1)
    predict, rng = sampled(V, 5, 3, seed=n), np.random.default_rng(n)
    x, targets = Parameter("x", rng.normal(size=(n, 3))), rng.integers(-1, V, n).astype(np.int32)
    targets[:1] = V - 1
    with Tape() as tape:
        tape.seed = 11
        words = predict.draw(tape)
        if n > 2:
            targets[2] = words[0]
        reported = predict.loss(x, targets, 0.5)
        tape.backward()
        gradients = {p.name: tape.leaf(p).gradient.copy() for p in (x, predict.weight, predict.bias)}
    values = {p.name: p.value.astype(float) for p in (x, predict.weight, predict.bias)}

    def loss(values) -> float:
        total = 0.0
        for row, target in zip(values["x"], targets, strict=True):
            if target >= 0:
                some = np.array([target, *words[words != target]])
                logits = values["output"][some] @ row + values["output_bias"][some] - predict.log_chance[some]
                total -= oracle.log_softmax(logits)[0]
        return total
    assert reported == pytest.approx(loss(values), rel=1e-5)
    for name, gradient in gradients.items():
        for at in np.ndindex(gradient.shape):
            change = np.zeros(gradient.shape)
            change[at] = 1e-5
            slope = (loss(values | {name: values[name] + change}) - loss(values | {name: values[name] - change})) / 2e-5
            assert gradient[at] == pytest.approx(0.5 * slope, abs=2e-6), (name, at)


def test_words_are_drawn_as_often_as_the_correction_says() -> None:
    predict, tape = sampled(50, 8), Tape()
    found = np.zeros(50)
    for seed in range(1, 4001):
        tape.seed = seed
        words = predict.draw(tape)
        assert (np.diff(words) > 0).all()
        found[words] += 1
    chance = np.exp(predict.log_chance)
    assert np.abs(found / 4000 - chance).max() < 4.5 * np.sqrt(0.25 / 4000)
    tape.seed = 1
    assert (predict.draw(tape) == predict.draw(tape)).all()


# the whole way -------------------------------------------------------------------------------------------------------

OUTPUTS = [adaptive(V), adaptive(V, [4, 3]), {"name": "sampled", "samples": 4}]


@pytest.mark.parametrize("options", OUTPUTS, ids=lambda options: "-".join(options))
def test_same_bytes_on_any_number_of_threads(options) -> None:
    documents = [np.random.default_rng(0).zipf(1.3, 900) % V]
    digests = set()
    for threads in (1, 2, 3, 8):
        model = LSTM(V, hidden=6, tied=True, output=options, dropout=0.2)
        fastlm.Trainer(model, threads=threads, batch_size=5, sequence_length=7, shards=3).fit(documents, epochs=1)
        digests.add(b"".join(p.value.tobytes() for p in model.parameters.values()))
    assert len(digests) == 1


@pytest.mark.parametrize("options", OUTPUTS, ids=lambda options: "-".join(options))
def test_a_trained_model_comes_back_from_its_file(options, tmp_path) -> None:
    text = ["a b c d e f g h i j k l\n" * 30]
    lm = fastlm.train(text, model=lambda size: DecayedBag(size, width=4, hidden=8, output=options), epochs=3, threads=1)
    lm.save(tmp_path / "model.fastlm")
    twin = fastlm.load(tmp_path / "model.fastlm")
    assert twin.digest() == lm.digest() and twin.model.config()["output"] == options
    assert twin.score("a b c d").nats == lm.score("a b c d").nats
    again = fastlm.train(text, plan=lm.plan, threads=2)
    assert again.digest() == lm.digest()


@pytest.mark.parametrize("change", [{"widths": [4, 10**9]}, {"cutoffs": [4, 10**9], "widths": None}])
def test_a_hostile_output_layer_is_refused_before_memory_is_taken(change, tmp_path) -> None:
    lm = fastlm.train(["a b c d e f g h i j k l\n" * 30], epochs=1, threads=1,
                      model=lambda size: DecayedBag(size, width=4, hidden=8, output=adaptive(V, [4, 3])))
    lm.save(tmp_path / "model.fastlm")
    tensors, metadata = modelfile.load(tmp_path / "model.fastlm")
    config = json.loads(metadata["config"])
    config["output"] |= change
    modelfile.save(tmp_path / "bad.fastlm", tensors, metadata | {"config": json.dumps(config)})
    with pytest.raises(modelfile.ModelFileError, match=r"is damaged: (widths|cutoffs) = \[4, 1000000000\]; "):
        fastlm.load(tmp_path / "bad.fastlm")


ERRORS = [
    ({"name": "adaptive", "cutoffs": [4, 4]}, "cutoffs = [4, 4]; whole numbers that rise from above 0 to below the 13"),
    ({"name": "adaptive", "cutoffs": []}, "cutoffs = []; whole numbers that rise from above 0 to below the 13 ids"),
    ({"name": "adaptive", "cutoffs": [0]}, "cutoffs = [0]; whole numbers"),
    ({"name": "adaptive", "cutoffs": [13]}, "cutoffs = [13]; whole numbers"),
    ({"name": "adaptive", "cutoffs": [2.5]}, "cutoffs = [2.5]; whole numbers"),
    ({"name": "adaptive", "cutoffs": [4], "widths": [2, 1]}, "widths = [2, 1]; one from 1 to 6 for each of 1 clusters"),
    ({"name": "adaptive", "cutoffs": [4], "widths": [7]}, "widths = [7]; one from 1 to 6 for each of 1 clusters was"),
    ({"name": "adaptive"}, "the output layer adaptive cannot be built from {}: "),
    ({"name": "sampled", "samples": 0}, "samples = 0; a whole number from 1 to the 13 ids was expected"),
    ({"name": "sampled", "samples": 14}, "samples = 14; a whole number from 1 to the 13 ids was expected"),
    ({"name": "sampled", "samples": 1.5}, "samples = 1.5; a whole number from 1 to the 13 ids was expected"),
    ({"name": "hierarchical"}, "output layer 'hierarchical'; one of full, adaptive, sampled was expected"),
    ({}, "output layer None; one of full, adaptive, sampled was expected"),
]


@pytest.mark.parametrize("options, message", ERRORS, ids=[message[:40] for _, message in ERRORS])
def test_errors(options, message) -> None:
    with pytest.raises(ValueError) as caught:
        LSTM(V, hidden=6, output=options)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("options", OUTPUTS, ids=lambda options: "-".join(options))
def test_the_squared_loss_is_refused_before_training(options) -> None:
    name = {"adaptive": "AdaptiveSoftmax", "sampled": "SampledSoftmax"}[options["name"]]
    with pytest.raises(ValueError, match=rf"^loss = 'squared'; the output layer {name} has cross_entropy$"):
        fastlm.Trainer(LSTM(V, hidden=6, output=options), loss="squared")


# cost ----------------------------------------------------------------------------------------------------------------

def cost_of(counts, width: int, rows: int, cuts: list[int]) -> float:
    mass, edges = counts / counts.sum(), [*cuts, len(counts)]
    total = (edges[0] + len(cuts)) * (rows * (width + 37) + 10 * width)
    for a, b in zip(cuts, edges[1:], strict=True):
        total += (b - a) * (rows * mass[a:b].sum() * (width + 37) + 10 * width) + 2e6
    return total


@pytest.mark.parametrize("size", [1, 2, 65, 300, 5000])
def test_no_other_cuts_cost_less(size: int) -> None:
    counts = 1e6 / np.arange(1, size + 1)
    chosen = cutoffs(counts, 128)
    assert chosen == sorted(set(chosen)) and all(0 < cut < size for cut in chosen)
    least = cost_of(counts, 128, 256, chosen)
    rng = np.random.default_rng(size)
    places = np.unique(np.geomspace(1, size, 96).astype(int))[:-1]
    for _ in range(300):
        others = sorted(rng.choice(places, min(len(places), int(rng.integers(0, 5))), replace=False).tolist())
        assert least <= cost_of(counts, 128, 256, others) * (1 + 1e-9)
    assert (chosen == []) == (size < 100)


@pytest.mark.parametrize("options", OUTPUTS[:2], ids=lambda options: "-".join(options))
def test_the_top_after_every_prefix_and_scores_do_without_all_logits(options, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = fastlm.train(["a b c d e f g h i j k l\n" * 30], epochs=3, threads=1,
                      model=lambda size: DecayedBag(size, width=4, hidden=8, output=options))
    text = "a b c d e f q a a"
    whole, ids = lm.predict_all(text, k=None), lm.vocabulary.encode(text)
    nats = -np.log(whole[np.arange(len(ids) - 1), ids[1:]])
    monkeypatch.setattr(AdaptiveSoftmax, "logits", None)
    for found, p in zip(lm.predict_all(text, k=3), whole, strict=True):
        best = np.argsort(-p, kind="stable")[:3]
        assert [token for token, _ in found] == [lm.vocabulary.tokens[i] for i in best]
        np.testing.assert_allclose([p for _, p in found], p[best], rtol=1e-5)
    assert [token for token, _ in lm.next_tokens(text, k=3)] == [token for token, _ in found]
    np.testing.assert_allclose(lm.score(text).per_token[1:-1], nats, rtol=1e-4)
