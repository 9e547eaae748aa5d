"""Weights in 16 bits: what is rounded, what a file holds, and that figures stay."""

import numpy as np
import pytest

import fastlm
from fastlm.files import modelfile
from fastlm.models import LSTM, DecayedBag, KneserNey, Mixture
from fastlm.models.base import PrefixModel
from fastlm.models.precision import in_halves, round_weights
from fastlm.training import checkpoint
from tests.cases import NETWORKS, model_of

WORDS = ["the", "cat", "sat", "on", "\n", "mat", "<unk>"]


class Weights(PrefixModel):
    """A model that is its weights."""

    def __init__(self, vocab_size=1, **values):
        super().__init__(vocab_size)
        for name, value in values.items():
            self.parameter(name, np.array(value, np.float32))


def test_weights_become_the_nearest_float16():
    # Between 1 and 2 float16 has steps of 2^-10; a tie goes to the even one.
    model = Weights(w=[1 + 2**-11, 1 + 3 * 2**-11, 1.0004, -1.0006, 2**-24, 2**-26, -0.0, 65504])
    round_weights(model)
    value = model.parameters["w"].value
    assert value.dtype == np.float32
    assert value.tolist() == [1, 1 + 2**-9, 1, -1 - 2**-10, 2**-24, 0, 0, 65504] and np.signbit(value[6])


@pytest.mark.parametrize("values", [[1e5, 0.1], [-65505.0, 0.1], [6e-5, 1e-9], [[0.0, 0.0]], np.zeros((0, 3)), 1e-6])
def test_a_tensor_that_float16_cannot_hold_well_keeps_its_values(values):
    model = Weights(w=values, v=[0.1])
    before = model.parameters["w"].value.copy()
    round_weights(model)
    np.testing.assert_array_equal(model.parameters["w"].value, before, strict=True)
    assert model.parameters["v"].value[0] == np.float16(0.1)


def test_weights_are_kept_in_halves_where_that_changes_nothing():
    many = np.ones(5000)
    model = Weights(exact=[0.5, -0.0], inexact=[0.5, 0.1], last=np.append(many, 0.1), large=[1e6],
                    exact_many=np.append(many, 0.25))
    tensors = model.tensors() | {"other": np.ones(2, np.float32)}
    found = in_halves(model, tensors)
    assert {name: array.dtype.name for name, array in found.items()} == {
        "exact": "float16", "inexact": "float32", "last": "float32", "large": "float32", "exact_many": "float16",
        "other": "float32"}
    for name, array in found.items():
        np.testing.assert_array_equal(array.astype(np.float32), tensors[name], strict=True)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_memory_file_score_and_digest_agree(name, tmp_path):
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), model_of(name, len(WORDS)))
    round_weights(lm.model)
    path = tmp_path / "it.fastlm"
    lm.save(path)
    kinds = {array.dtype.name for name, array in modelfile.load(path)[0].items() if name.startswith("model/")}
    assert kinds & {"float16"} and lm.model.tensors().keys() == fastlm.load(path).model.tensors().keys()
    for twin in (fastlm.load(path), fastlm.load(path.read_bytes())):
        assert twin.digest() == lm.digest()
        assert twin.score("the cat sat").per_token.tobytes() == lm.score("the cat sat").per_token.tobytes()
        dtypes = [{array.dtype for array in one.model.tensors().values()} for one in (twin, lm)]
        assert dtypes[0] == dtypes[1]


def test_n_grams_are_not_weights(tmp_path):
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), Mixture(7, [KneserNey(7), DecayedBag(7, width=2)]))
    round_weights(lm.model)
    lm.save(tmp_path / "it.fastlm")
    tensors, _ = modelfile.load(tmp_path / "it.fastlm")
    assert tensors["model/1/embedding"].dtype == np.float16
    assert all(array.dtype != np.float16 for name, array in tensors.items() if name.startswith("model/0/"))


def text():
    rng = np.random.default_rng(3)
    words = [f"w{word}" for word in rng.zipf(1.5, 6000) % 60]
    return ["\n".join(" ".join(words[at: at + 12]) for at in range(0, len(words), 12))]


@pytest.mark.parametrize(("unit", "model"), [("word", "lstm"), ("char", "gru"), ("word", "mixture"), ("char", "auto")])
def test_training_rounds_unless_asked_and_the_figure_stays(unit, model, tmp_path):
    rounded, exact = (fastlm.train(text(), unit, model=model, epochs=1, precision=bits) for bits in (None, 32))
    held_out = [text()[0][:3000]]
    assert rounded.perplexity(held_out) == pytest.approx(exact.perplexity(held_out), rel=1e-4)
    assert rounded.digest() != exact.digest() and (rounded.plan.precision, exact.plan.precision) == (16, 32)
    weights = [parameter.value for parameter in rounded.model.parameters.values()]
    assert weights and all((value == value.astype(np.float16)).all() for value in weights)
    sizes = [len(lm.to_bytes()) for lm in (rounded, exact)]
    assert sizes[1] - sizes[0] >= 1.9 * sum(value.size for value in weights)


def test_a_plan_repeats_its_precision_and_may_be_overruled():
    exact = fastlm.train(text(), model="lstm", epochs=1, precision=32)
    assert fastlm.train(text(), plan=exact.plan).digest() == exact.digest()
    rounded = fastlm.train(text(), plan=exact.plan, precision=16)
    assert rounded.digest() != exact.digest()
    assert fastlm.train(text(), plan=rounded.plan).digest() == rounded.digest()
    assert fastlm.Plan.from_json(rounded.plan.to_json(), rounded.plan.rates) == rounded.plan
    assert "precision" not in exact.plan.to_json() and '"precision": 16' in rounded.plan.to_json()


def test_other_precisions_are_refused():
    for precision in (8, "16", 0):
        with pytest.raises(ValueError, match=rf"^precision = {precision!r}; 16 or 32 was expected$"):
            fastlm.train(["a b"], precision=precision)


def test_float16_is_read_into_the_memory_of_a_model():
    model, other = LSTM(7, hidden=4), LSTM(7, hidden=4, seed=1)
    values = {name: parameter.value for name, parameter in model.parameters.items()}
    model.restore({name: array.astype(np.float16) for name, array in other.tensors().items()})
    for name, parameter in model.parameters.items():
        assert parameter.value is values[name]
        np.testing.assert_array_equal(parameter.value, other.tensors()[name].astype(np.float16))


def test_checkpoints_stay_in_32_bits(tmp_path):
    lm = fastlm.train(text(), model="lstm", epochs=1, checkpoint=tmp_path / "run")
    weights = {name.removeprefix("parameter/"): array for name, array in
               checkpoint.load(tmp_path / "run")["tensors"].items() if name.startswith("parameter/")}
    assert weights.keys() == lm.model.parameters.keys()
    assert all(array.dtype == np.float32 for array in weights.values())
    assert any((array != array.astype(np.float16)).any() for array in weights.values())
    assert fastlm.train(text(), model="lstm", epochs=1, checkpoint=tmp_path / "run").digest() == lm.digest()
