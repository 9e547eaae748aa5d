"""A CTC decoder with a model of fastlm in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.compat.kenlm import LN10, Model

pyctcdecode = pytest.importorskip("pyctcdecode", reason="pyctcdecode is not installed")
FastlmLanguageModel: Any = pytest.importorskip("fastlm.compat.pyctcdecode").FastlmLanguageModel

LABELS = ["", *" abcdefghijklmnopqrstuvwxyz"]
TEXT = "the cat sat on the mat\na dog ran to the house\nthe dog sat\n" * 40


def logits(text: str, confused: dict[str, str], seed: int = 0) -> np.ndarray:
    """What a recogniser might give for a text: each letter in two frames, a blank frame between them, and some letters
    as likely as another one."""
    rows = []
    for letter in text:
        p = np.full(len(LABELS), 1e-4)
        p[LABELS.index(letter)] = 0.5
        p[LABELS.index(confused.get(letter, letter))] += 0.52
        blank = np.full(len(LABELS), 1e-4)
        blank[0] = 1
        rows += [p / p.sum(), p / p.sum(), blank / blank.sum()]
    return np.log(np.array(rows) * np.random.default_rng(seed).uniform(0.97, 1.03, (len(rows), len(LABELS))))


@pytest.mark.parametrize("options", [{"model": "kneser-ney"}, {"unit": "char", "model": "kneser-ney"},
                                     {"unit": "piece", "model": "kneser-ney"}, {"model": "lstm", "epochs": 2}])
def test_the_decoder_hears_what_the_model_knows(options: dict[str, Any], tmp_path: Path) -> None:
    lm = fastlm.train([TEXT], documents="line", **options)
    lm.save(tmp_path / "m.fastlm")
    alphabet = pyctcdecode.Alphabet.build_alphabet(LABELS)
    heard = logits("the cat sat on the mat", {"c": "k", "m": "n"})
    without = pyctcdecode.BeamSearchDecoderCTC(alphabet).decode(heard)
    model = FastlmLanguageModel(tmp_path / "m.fastlm")
    decoder = pyctcdecode.BeamSearchDecoderCTC(alphabet, model)
    assert without == "the kat sat on the nat"
    assert decoder.decode(heard) == "the cat sat on the mat"
    decoder.cleanup()


def test_scores_are_those_of_the_model() -> None:
    lm = fastlm.train([TEXT], documents="line", model="kneser-ney")
    model, plain = FastlmLanguageModel(lm, alpha=0.7, beta=0.2), Model(lm)
    state = model.get_start_state()
    first, state = model.score(state, "the")
    second, state = model.score(state, "zebra")
    last, _ = model.score(state, "sat", is_last_word=True)
    log10_p = [p for p, _, _ in plain.full_scores("the zebra sat")]
    assert first == pytest.approx(0.7 * LN10 * log10_p[0] + 0.2)
    assert second == pytest.approx(0.7 * LN10 * (log10_p[1] - 10) + 0.2)
    assert last == pytest.approx(0.7 * LN10 * (log10_p[2] + log10_p[3]) + 0.2) and model.order == 5
    assert model.score_partial_token("ca") == 0 and model.score_partial_token("cx") == -10
    assert model.score_partial_token("cxxxxxxxxxxx") == -20
    assert FastlmLanguageModel(fastlm.train([TEXT], "char", model="kneser-ney")).score_partial_token("cx") == 0


def test_it_is_kept_in_a_folder(tmp_path: Path) -> None:
    model = FastlmLanguageModel(fastlm.train([TEXT], documents="line", model="kneser-ney"), score_boundary=False)
    model.reset_params(alpha=0.3, beta=None, other=5)
    model.save_to_dir(str(tmp_path))
    twin = FastlmLanguageModel.load_from_dir(str(tmp_path))
    assert (twin.alpha, twin.beta, twin.score_boundary) == (0.3, 1.5, False)
    assert twin.score(twin.get_start_state(), "the") == model.score(model.get_start_state(), "the")
