"""Without matplotlib, an optional package, a learning curve is refused in one sentence that says what to install."""

import sys
from pathlib import Path

import pytest

import fastlm
from fastlm.cli import main
from fastlm.training.history import History


def test_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)    # as where it is not installed
    lm = fastlm.train(["the cat sat on the mat\n" * 30], model="kneser-ney")
    lm.history = History([{"step": 1, "seconds": 1.0, "tokens": 9, "loss": 2.0, "valid": 2.0, "rate": 0.1}])
    with pytest.raises(ValueError, match=r'^drawing a curve needs matplotlib: pip install "fastlm\[plot\]"$'):
        lm.history.plot()
    lm.save(tmp_path / "a.fastlm")
    assert main(["plot", str(tmp_path / "a.fastlm"), "-o", str(tmp_path / "a.png")]) == 2
    assert capfd.readouterr().err.endswith('fastlm: drawing a curve needs matplotlib: pip install "fastlm[plot]"\n')
    assert not (tmp_path / "a.png").exists()
