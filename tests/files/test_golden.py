"""Models saved by released formats load for ever, with the same bytes and the same figures."""

from pathlib import Path

import pytest

import fastlm

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
    assert (tmp_path / "again.fastlm").read_bytes() == path.read_bytes()
    assert lm.plan.kept == 30 * (lm.plan.steps // 30) and lm.history.records
