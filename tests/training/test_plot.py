"""The learning curve: its points are those of the history, and it is written as a picture."""

from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm.cli import main
from fastlm.training.history import History

pytest.importorskip("matplotlib", reason="matplotlib is an optional package")

RECORDS = [{"step": n, "seconds": float(n), "tokens": 9 * n, "loss": 2.0, "valid": valid, "rate": 0.1}
           for n, valid in ((1, 2.0), (2, None), (3, 1.0))]


def test_the_points_are_those_of_the_history() -> None:
    axes = History(RECORDS).plot(label="a")
    History(RECORDS[:1]).plot(axes, "b")
    first, second = axes.get_lines()
    np.testing.assert_allclose(first.get_xydata(), [[1, np.e ** 2], [3, np.e]])
    assert len(second.get_xydata()) == 1 and [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert axes.get_ylabel() == "held-out perplexity"
    with pytest.raises(ValueError, match="no evaluation on held-out text"):
        History(RECORDS[1:2]).plot()


def test_the_command(tmp_path: Path) -> None:
    lm = fastlm.train(["the cat sat on the mat\n" * 30], model="kneser-ney")
    lm.history.records = RECORDS
    lm.save(tmp_path / "m")
    for name, head in (("c.png", b"\x89PNG"), ("c.svg", b"<?xml")):
        assert main(["plot", str(tmp_path / "m"), str(tmp_path / "m"), "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(head)
