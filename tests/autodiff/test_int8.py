"""Models in one byte a weight: what they lose, what they refuse, and the file they live in."""

import copy
import json
import pickle

import numpy as np
import pytest

import fastlm
from fastlm import autodiff, models
from fastlm.autodiff import Parameter, Tape
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.batch import Batch
from fastlm.cli import main
from fastlm.files import modelfile
from tests.cases import ALL_MODELS, model_of, random_case, random_state

V = 11
QUANTIZED = [name for name in ALL_MODELS if name not in ("PositionalOneHot", "KneserNey", "KneserNey of lines",
                                                         "Adaptive", "Factored", "Factored of letters")]
every_model = pytest.mark.parametrize("name", QUANTIZED)


def dequantized(model: fastlm.PrefixModel) -> fastlm.PrefixModel:
    """The float32 model with the weights that the bytes stand for."""
    floats = {name: Parameter(name, parameter.value) for name, parameter in model.parameters.items()}
    return model.with_parameters(floats)


def test_rounding_by_hand() -> None:
    weights = Parameter("w", np.array([[1, -20, 0], [-0.5, 127, 0]]))
    by_column = Int8Parameter.of(weights)
    assert by_column.rounded.tolist() == [[127, -20, 0], [-64, 127, 0]]      # -63.5 goes to the even one
    np.testing.assert_allclose(by_column.scale, [1 / 127, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(by_column.value, [[1, -20, 0], [-64 / 127, 127, 0]], rtol=1e-6)
    by_row = Int8Parameter.of(weights, by_row=True)
    assert by_row.rounded.tolist() == [[6, -127, 0], [0, 127, 0]]
    np.testing.assert_allclose(by_row.scale, [20 / 127, 1], rtol=1e-6)
    out = np.empty((3, 3), np.float32)
    for parameter in (by_row, by_column):
        parameter.gather(out, np.array([1, -1, 0]))
        np.testing.assert_allclose(out, [parameter.value[1], [0, 0, 0], parameter.value[0]], rtol=1e-6)


@pytest.mark.parametrize("by_row", [False, True])
def test_a_part_is_its_units(by_row: bool) -> None:
    whole = Int8Parameter.of(Parameter("w", np.random.default_rng(2).normal(size=(6, 5))), by_row)
    part = whole.part(slice(1, 4))
    np.testing.assert_array_equal(part.value, whole.value[1:4] if by_row else whole.value[:, 1:4])
    assert whole.part(slice(1, 4)) is part and whole.part(slice(None)) is whole


@pytest.mark.parametrize("shape", [(1, 1), (33, 7), (5, 0), (0, 5)])
def test_no_weight_is_further_off_than_half_a_unit(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    for by_row in (False, True):
        rounded = Int8Parameter.of(Parameter("w", values), by_row)
        scale = rounded.scale[:, None] if by_row else rounded.scale
        assert (np.abs(rounded.value - values) <= 0.5001 * scale).all()


@every_model
def test_predictions_are_those_of_the_weights_that_the_bytes_stand_for(name: str) -> None:
    model = model_of(name, V)
    small, rng = model.quantized(), np.random.default_rng(3)
    exact = dequantized(small)
    for _ in range(10):
        case = random_case(rng, V, longest=9)
        state = random_state(model, case.batch.sequences, rng)
        before = state.copy()
        got, after = small.logits(case.batch, state)
        wanted, wanted_after = exact.logits(case.batch, state)
        np.testing.assert_allclose(got.value, wanted.value, rtol=0, atol=2e-3)
        for key in after.arrays:
            np.testing.assert_allclose(after[key], wanted_after[key], rtol=0, atol=2e-3)
        rows, _ = small.forward(case.batch, state)
        np.testing.assert_allclose(small.head.nats(rows, np.maximum(case.targets, 0)),
                                   model.head.nats(model.forward(case.batch, state)[0], np.maximum(case.targets, 0)),
                                   rtol=0, atol=0.3)
        assert state == before


@every_model
def test_steps_are_the_rows_of_forward(name: str) -> None:
    """The same integers are summed, whether rows go one by one or together."""
    model, rng = model_of(name, V).quantized(), np.random.default_rng(4)
    ids, start = rng.integers(0, V, (6, 3)), random_state(model, 3, rng)
    logits, _ = model.logits(Batch.rectangle(ids), start)
    stepper, state, rows = model.stepper(start), start, []
    for column in ids:
        row, state = model.step(state, column)
        np.testing.assert_allclose(stepper.step(column), row, rtol=0, atol=1e-6)
        rows.append(row)
    np.testing.assert_allclose(np.concatenate(rows), logits.value, rtol=0, atol=1e-5)
    best, logp = model.head.top(model.forward(Batch.of([[1, 2]]))[0].value, 3)
    wanted = model.log_probabilities([1, 2])
    np.testing.assert_array_equal(best, np.argsort(-wanted, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(logp, np.take_along_axis(wanted, best, 1), rtol=0, atol=1e-5)


@every_model
def test_the_float_model_is_left_alone_and_shares_nothing(name: str) -> None:
    model = model_of(name, V)
    before = {key: parameter.value.copy() for key, parameter in model.parameters.items()}
    small = model.quantized()
    kept = small.log_probabilities([1, 2, 3])
    for key, parameter in model.parameters.items():
        np.testing.assert_array_equal(parameter.value, before[key])
        parameter.value[...] = 0
    np.testing.assert_array_equal(small.log_probabilities([1, 2, 3]), kept)
    matrices = [key for key, value in before.items() if value.ndim == 2]
    assert [key for key, p in small.parameters.items() if isinstance(p, Int8Parameter)] == matrices
    for twin in (copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        np.testing.assert_array_equal(twin.log_probabilities([1, 2, 3]), kept)


@every_model
def test_training_is_refused(name: str) -> None:
    model = model_of(name, V).quantized()
    if not name.startswith("Adaptive of"):   # without parameters of its own, refused as what it is
        with pytest.raises(ValueError, match=r"are int8, for prediction; training expects a float32 model$"):
            fastlm.Trainer(model)
    with pytest.raises(ValueError, match=r"is int8, for prediction; float32 was expected for training$"), Tape():
        model.logits(Batch.of([[1, 2]]))


def test_what_cannot_be_quantized() -> None:
    for model in (models.PositionalOneHot(V, max_length=2), models.LSTM(V, hidden=3).quantized()):
        with pytest.raises(ValueError, match=r"has no float32 matrices to multiply by, so there is nothing to quan"):
            model.quantized()
    weights = Int8Parameter.of(Parameter("w", np.ones((3, 4))))
    with pytest.raises(ValueError, match=r"^parameter w is scaled by column; a product with its transpose needs the"):
        autodiff.matmul(np.ones((1, 4), np.float32), weights, transpose=True)
    with pytest.raises(ValueError, match=r"^parameter w is scaled by row; a product with it needs the other$"):
        autodiff.matmul(np.ones((1, 3), np.float32), Int8Parameter.of(Parameter("w", np.ones((3, 4))), True))
    for rounded, scale, message in [
        (np.zeros((3, 4), np.int16), np.ones(4, np.float32), r"is int16 of shape \(3, 4\); an int8 matrix was"),
        (np.zeros(4, np.int8), np.ones(4, np.float32), r"is int8 of shape \(4,\); an int8 matrix was expected"),
        (np.zeros((3, 4), np.int8), np.ones(3, np.float32), r"is float32 of shape \(3,\); one float32 a column was"),
        (np.zeros((3, 4), np.int8), np.ones(4), r"is float64 of shape \(4,\); one float32 a column was expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            Int8Parameter("w", rounded, scale)


def language_model(tied: bool) -> fastlm.LanguageModel:
    model = models.LSTM(V, hidden=5, layers=2, tied=tied, seed=2)
    return fastlm.LanguageModel(fastlm.Vocabulary(["\n", *"abcdefghi", "<unk>"], "char"), model)


@pytest.mark.parametrize("tied", [False, True])
def test_saved_loaded_and_by_the_command_line(tied: bool, tmp_path) -> None:
    lm = language_model(tied)
    lm.save(tmp_path / "float.fastlm")
    assert main(["quantize", str(tmp_path / "float.fastlm"), "-o", str(tmp_path / "small.fastlm")]) == 0
    small, loaded = lm.quantized(), fastlm.load(tmp_path / "small.fastlm")
    assert loaded.digest() == small.digest() != lm.digest()
    assert repr(loaded) == repr(lm)
    loaded.save(tmp_path / "again.fastlm")
    assert (tmp_path / "again.fastlm").read_bytes() == (tmp_path / "small.fastlm").read_bytes()
    one, other = small.score("abc\ndef\n"), loaded.score("abc\ndef\n")
    assert one.nats == other.nats == pytest.approx(lm.score("abc\ndef\n").nats, rel=0.02)
    assert "".join(loaded.generate("ab", 20, seed=1)) == "".join(small.generate("ab", 20, seed=1))
    assert loaded.next_tokens("ab", 3) == small.next_tokens("ab", 3)
    for weights in loaded.model.parameters.values():
        assert isinstance(weights, Int8Parameter) == (len(weights.shape) == 2)


@pytest.mark.parametrize("tamper, message", [
    (lambda t: t.pop("model/output/scale"),
     "parameter output is int8; float16, float32, or int8 with a scale, was expected"),
    (lambda t: t.update({"model/output/scale": t["model/output/scale"][:-1]}),
     "the scale of parameter output is float32 of shape (10,); one float32 a column was expected"),
    (lambda t: t.update({"model/output/scale": t["model/output/scale"].astype(float)}),
     "the scale of parameter output is float64 of shape (11,); one float32 a column was expected"),
    (lambda t: t.update({"model/output": t["model/output"][:, :-1].copy()}),
     "parameter output is (5, 10); shape (5, 11) was expected"),
    (lambda t: t.update({"model/output": t["model/output"].astype(np.float32)}),
     "it holds parameters ['output/scale'] of no use"),
    (lambda t: t.update({"model/output_bias": t["model/output_bias"].astype(np.int8)}),
     "parameter output_bias is int8; float16, float32, or int8 with a scale, was expected"),
])
def test_a_file_that_does_not_fit_is_refused(tamper, message: str, tmp_path) -> None:
    path = tmp_path / "small.fastlm"
    language_model(tied=False).quantized().save(path)
    tensors, metadata = modelfile.load(path)
    assert json.loads(metadata["config"])["name"] == "LSTM"
    tamper(tensors)
    modelfile.save(path, tensors, metadata)
    with pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(path)
    assert str(caught.value) == f"{path} is damaged: {message}"
