"""Builds and runs the C tests (tests/c) through csrc/Makefile, plainly and under every sanitizer.

Every file that is included compiles on its own, too."""

import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"
TESTS = sorted(path.stem.removeprefix("test_") for path in (CSRC.parent / "tests" / "c").glob("test_*.c"))
INCLUDED = sorted(path.relative_to(CSRC).as_posix() for kind in ("h", "inc") for path in CSRC.rglob(f"*.{kind}")
                  if path.name != "table.inc")


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("name", INCLUDED)
def test_a_file_that_is_included_includes_what_it_uses(name: str) -> None:
    """It compiles whatever was included before it, also twice; table.inc is the body of the files of csrc/isa."""
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsyntax-only", f"-I{CSRC}",
               "-x", "c", "-"]
    done = subprocess.run(command, input=f'#include "{name}"\n' * 2, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("target", ["check", "asan", "ubsan", "tsan"])
def test_c(target: str, tmp_path: Path) -> None:
    command = ["make", "-s", "-C", str(CSRC), target, f"BUILD={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.split()) == sorted(word for name in TESTS for word in (f"{name}:", "ok"))
