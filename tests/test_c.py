"""Builds and runs the C tests (tests/c) through csrc/Makefile, plainly and under every sanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
TESTS = sorted(path.stem.removeprefix("test_") for path in (CSRC.parent / "tests" / "c").glob("test_*.c"))


@pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("target", ["check", "asan", "ubsan", "tsan"])
def test_c(target: str, tmp_path: Path) -> None:
    command = ["make", "-s", "-C", str(CSRC), target, f"BUILD={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.split()) == sorted(word for name in TESTS for word in (f"{name}:", "ok"))
