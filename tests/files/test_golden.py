"""Models saved by released formats load for ever, with the same bytes and the same figures."""

from pathlib import Path

import pytest

import fastlm
from fastlm.files import modelfile

GOLDEN = Path(__file__).parents[1] / "golden"
# name, nats of one line when it was saved (format 1, version 0.1.0), and the start of the model's digest
SAVED = [
    ("word-lstm", 13.419614341216066, "54c6fa3e2055603b"),
    ("char-bag", 23.105033129464378, "e4a4c643330bba6c"),
    ("char-onehot", 51.11638040413837, "3c84e427395222eb"),
    ("byte-feed-forward", 34.84295154108818, "734948b1be8b460a"),
]


@pytest.mark.parametrize(("name", "nats", "digest"), SAVED)
def test_a_saved_model_predicts_what_it_did(name, nats, digest, tmp_path):
    path = GOLDEN / f"{name}.fastlm"
    lm = fastlm.load(path)
    assert lm.score("the cat sat on the log").nats == pytest.approx(nats, rel=1e-5)
    assert lm.digest().startswith(digest)
    lm.save(tmp_path / "again.fastlm")
    assert fastlm.load(tmp_path / "again.fastlm").digest() == lm.digest()
    assert lm.plan.kept == 30 * (lm.plan.steps // 30) and lm.history.records


# The same of format 2; and the dtype of an array: weights that were rounded, weights that were not, and n-grams.
SAVED_IN_FORMAT_2 = [
    ("format2-word-lstm", 13.753655739929107, "d5952600ec7c87a2", "model/output", "float16"),
    ("format2-byte-bag", 51.5538225296007, "4d0ce27f9d2b8e3b", "model/output", "float32"),
    ("format2-char-kneser-ney", 7.668891087174416, "b1f1f13deb9570d2", "model/grams", "uint8"),
]


@pytest.mark.parametrize(("name", "nats", "digest", "array", "dtype"), SAVED_IN_FORMAT_2)
def test_a_model_of_format_2_predicts_what_it_did(name, nats, digest, array, dtype, tmp_path):
    path = GOLDEN / f"{name}.fastlm"
    assert modelfile.load(path)[0][array].dtype == dtype
    for lm in (fastlm.load(path), fastlm.load(path, verify=False), fastlm.load(path.read_bytes())):
        assert lm.score("the cat sat on the log").nats == pytest.approx(nats, rel=1e-5)
        assert lm.digest().startswith(digest)
        assert lm.plan is None or lm.plan.precision == (16 if dtype == "float16" else 32)
        lm.save(tmp_path / "again.fastlm")
        assert fastlm.load(tmp_path / "again.fastlm").digest() == lm.digest()


# Of classes that have other names by now: file, nats of a line, the same adapting, and the sum of log p after a prefix,
# as version 0.1.0 gave them.
RENAMED = [
    ("char-corrected", 12.422117079718314, 12.961329934250108, -67.44325),
    ("word-ensemble-int8", 9.615323494437238, None, -28.019405),
    ("word-adaptive", 4.1183224100757325, 4.1183224100757325, -40.898552),
]


@pytest.mark.parametrize(("name", "nats", "adapting", "after"), RENAMED)
def test_a_model_of_an_older_class_predicts_what_it_did(name, nats, adapting, after, tmp_path):
    lm = fastlm.load(GOLDEN / f"{name}.fastlm")
    lm.save(tmp_path / "again.fastlm")
    for one in (lm, fastlm.load(tmp_path / "again.fastlm")):
        assert one.score("the cat sat on the log\n").nats == pytest.approx(nats, rel=1e-5)
        if adapting is not None:   # an ensemble of words has no cache of its own: the default depends on the unit now
            assert one.score("the cat sat on the log\n", adapt=True).nats == pytest.approx(adapting, rel=1e-5)
        assert float(one.start().read("the cat").sum()) == pytest.approx(after, rel=1e-5)
        assert one.digest() == lm.digest()


def test_how_an_older_model_was_trained_is_in_its_plan():
    lm = fastlm.load(GOLDEN / "char-corrected.fastlm")
    plan = lm.plan
    assert (plan.batch_size, plan.sequence_length, plan.batching) == (2, 8, "documents")
    assert (plan.folds, plan.fitted_folds, plan.network_loss_share) == (4, 2, 0.3)
    assert plan.model == lm.model.config() and plan.model["residual"] is True
    assert fastlm.Plan.from_json(plan.to_json(), plan.rates) == plan
