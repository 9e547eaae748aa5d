"""What is saved loads: the same configuration, the same bytes, for every model and for users' own."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm import autodiff, models
from fastlm.files import modelfile
from fastlm.models.base import PrefixModel
from tests.cases import ALL_MODELS, model_of

WORDS = ["the", "cat", "sat", "on", "\n", "mat", "<unk>"]


class Horizon(PrefixModel):
    """A user's own model with options of many kinds, one of them larger than the number of its weights."""

    def __init__(self, vocab_size: int, horizon: int = 50_000, names: tuple[str, ...] = ("a", "b"),
                 limits: dict[str, list[int]] | None = None, seed: int = 0) -> None:
        super().__init__(vocab_size, horizon=horizon, names=list(names), limits=limits, seed=seed)
        self.horizon, self.limits = horizon, limits
        self.table = self.parameter("table", np.random.default_rng(seed).normal(size=(vocab_size, vocab_size)))
        self.scalar = self.parameter("scalar", np.array(0.0))
        self.nothing = self.parameter("nothing", np.zeros((0, 3)))

    def forward(self, batch, state=None):
        return autodiff.gather(self.table, batch.ids), state or self.start(batch.sequences)


def kept(model: PrefixModel, path: Path) -> fastlm.LanguageModel:
    """The model, saved and loaded again; saved once more it has the same bytes."""
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), model, card={"text": "by hand"})
    lm.save(path)
    twin = fastlm.load(path)
    assert twin.digest() == lm.digest() and twin.card == lm.card
    first = path.read_bytes()
    twin.save(path)
    assert path.read_bytes() == first
    text = "the cat sat\non the dog"
    assert twin.predict_all(text, k=None).tobytes() == lm.predict_all(text, k=None).tobytes()
    assert twin.score(text).per_token.tobytes() == lm.score(text).per_token.tobytes()
    return twin


@pytest.mark.parametrize("name", list(ALL_MODELS))
def test_what_is_saved_loads(name: str, tmp_path) -> None:
    model = model_of(name, len(WORDS))
    twin = kept(model, tmp_path / "it.fastlm").model
    assert twin.config() == model.config() and type(twin) is type(model)
    for key, array in model.tensors().items():
        assert twin.tensors()[key].tobytes() == array.tobytes() and twin.tensors()[key].dtype == array.dtype


@pytest.mark.parametrize("name", [name for name in ALL_MODELS if name != "PositionalOneHot"])
def test_what_is_saved_in_bytes_loads(name: str, tmp_path) -> None:
    model = model_of(name, len(WORDS)).quantized()
    assert kept(model, tmp_path / "it.fastlm").model.config() == model.config()


@pytest.mark.parametrize("options", [
    {}, {"horizon": 10**30}, {"horizon": -3}, {"names": []}, {"limits": {"x": [2**40, 9_000_000]}}, {"seed": 2**60},
])
def test_a_users_own_options_may_be_of_any_size(options, tmp_path) -> None:
    model = Horizon(len(WORDS), **options)
    model.scalar.value[...] = 2.5
    twin = kept(model, tmp_path / "it.fastlm").model
    assert twin.config() == model.config() and twin.horizon == model.horizon
    assert twin.scalar.value == 2.5 and twin.nothing.shape == (0, 3)


def test_a_users_own_model_among_others_is_kept(tmp_path) -> None:
    size = len(WORDS)
    mixture = models.Mixture(size, [models.KneserNey(size, order=2).fit([[0, 1, 2, 3, 4]]), Horizon(size)])
    adaptive = models.CacheModel(size, mixture, window=1 << 20)
    assert kept(adaptive, tmp_path / "it.fastlm").model.model.parts[1].horizon == 50_000


def test_weights_of_a_fitted_cache_are_kept(tmp_path) -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), model_of("LSTM", len(WORDS)))
    lm.fit_adapt(["the cat sat on the mat\n" * 30])
    lm.save(tmp_path / "it.fastlm")
    twin = fastlm.load(tmp_path / "it.fastlm")
    assert twin.adaptive.weights.tobytes() == lm.adaptive.weights.tobytes()
    assert twin.adaptive.config() == lm.adaptive.config()


# What could not be loaded is not saved


class Forgetful(PrefixModel):
    """Does not say what it was made from."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__(vocab_size)
        self.table = self.parameter("table", np.zeros((vocab_size, width)))


class Usual(PrefixModel):
    """Says of what it was made only the vocabulary, so that its options build a table of the usual width."""

    def __init__(self, vocab_size: int, width: int = 2, extra: bool = True) -> None:
        super().__init__(vocab_size)
        self.table = self.parameter("table", np.zeros((vocab_size, width)))
        if extra:
            self.parameter("extra", np.zeros((1, 1)))


class Nameless(Horizon, abstract=True):
    """Has no name in model files."""


class Vast(PrefixModel):
    """Has parameters that it does not keep, but for one number: 40 MB of them."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.parameter("vast", np.zeros((10_000_000, 1)))

    def tensors(self):
        return {"one": np.zeros(1, np.float32)}


class Nested(Horizon):
    """Takes lists in lists."""

    def __init__(self, vocab_size: int, nested: list) -> None:
        super().__init__(vocab_size)
        self.options = {"nested": nested}


def deep(levels: int) -> list:
    out: list = []
    for _ in range(levels - 1):
        out = [out]
    return out


@pytest.mark.parametrize("make, message", [
    (lambda v: Forgetful(v, 3), "Forgetful cannot be built from {'vocab_size': 7}: "),
    (lambda v: Usual(v, 3), "parameter table is (7, 3), and its options build one of (7, 2)"),
    (lambda v: Usual(v, extra=False), "it has no parameter extra, unlike what its options build"),
    (Nameless, "model 'Nameless' is not known here; "),
    (Vast, "parameter vast of shape (10000000, 1) would take 40,004,096 bytes; at most "),
    (lambda v: Nested(v, deep(32)), "its configuration is nested 33 deep; 32 at most was expected"),
])
def test_what_could_not_be_loaded_is_not_saved(make, message: str, tmp_path) -> None:
    path = tmp_path / "it.fastlm"
    path.write_bytes(b"old")
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), make(len(WORDS)))
    with pytest.raises(ValueError) as caught:
        lm.save(path)
    assert str(caught.value).startswith(f"the model is not saved, since it could not be loaded: {message}")
    assert "\n" not in str(caught.value) and path.read_bytes() == b"old"


def test_lists_in_lists_are_kept_to_a_depth(tmp_path) -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), Nested(len(WORDS), deep(31)))
    lm.save(tmp_path / "it.fastlm")
    assert fastlm.load(tmp_path / "it.fastlm").model.config() == lm.model.config()


# Two classes of one name


def defined(source: str, module: str) -> type:
    """A class of a program of the user's own, which is named as the module."""
    scope = {"__name__": module, "PrefixModel": PrefixModel, "Horizon": Horizon}
    exec(source, scope)
    return next(value for name, value in scope.items() if isinstance(value, type) and value.__module__ == module)


def test_a_name_of_ours_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        defined("class LSTM(PrefixModel): pass", "users_program")
    assert str(caught.value) == "users_program.LSTM has the name of fastlm.models.lstm.LSTM, and a model file holds " \
                                "the name alone; another name was expected"
    assert PrefixModel.registry["LSTM"] is models.LSTM
    assert type(PrefixModel.build({"name": "LSTM", "vocab_size": 5, "hidden": 3})) is models.LSTM


def test_a_name_of_another_of_the_users_files_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(PrefixModel, "registry", dict(PrefixModel.registry))
    first = defined("class Mine(Horizon): pass", "users_first")
    with pytest.raises(ValueError, match=r"^users_second\.Mine has the name of users_first\.Mine, and "):
        defined("class Mine(Horizon): pass", "users_second")
    assert PrefixModel.registry["Mine"] is first
    assert defined("class Mine(Horizon, abstract=True): pass", "users_third") is not first   # has no name in files


def test_the_newer_of_a_cell_that_is_run_twice_is_taken(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(PrefixModel, "registry", dict(PrefixModel.registry))
    source = "class Cell(Horizon):\n    version = {}"
    older, newer = (defined(source.format(version), "users_notebook") for version in (1, 2))
    assert (older.version, newer.version) == (1, 2) and PrefixModel.registry["Cell"] is newer
    fastlm.LanguageModel(fastlm.Vocabulary(WORDS), older(len(WORDS))).save(tmp_path / "it.fastlm")
    assert fastlm.load(tmp_path / "it.fastlm").model.version == 2


def test_a_program_that_is_imported_too_defines_its_class_twice(monkeypatch) -> None:
    """As `__main__` and under its own name: one file, one class."""
    monkeypatch.setattr(PrefixModel, "registry", dict(PrefixModel.registry))
    for name in ("users_main", "users_imported"):
        module = types.ModuleType(name)
        module.__file__ = "program.py"
        monkeypatch.setitem(__import__("sys").modules, name, module)
    defined("class Program(Horizon): pass", "users_main")
    newer = defined("class Program(Horizon): pass", "users_imported")
    assert PrefixModel.registry["Program"] is newer


def test_a_file_names_the_class_alone(tmp_path) -> None:
    fastlm.LanguageModel(fastlm.Vocabulary(WORDS), Horizon(len(WORDS))).save(tmp_path / "it.fastlm")
    config = json.loads(modelfile.load(tmp_path / "it.fastlm")[1]["config"])
    assert config == {"name": "Horizon", "vocab_size": 7, "horizon": 50_000, "names": ["a", "b"], "limits": None,
                      "seed": 0}
