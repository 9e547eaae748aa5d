"""Measure what it costs to have fastlm: the time of its imports beside `import numpy`, and its size on disk.

Goal: at most 1.3 times `import numpy`, NumPy's own import included. `import fastlm` imports names when they are first
used, so what is compared is `from fastlm import load`, all that predicting with a saved model needs; with `*` come
training, ARPA files and every other public name. Fresh interpreters, turn by turn; the import statement alone is timed
inside each, so that the interpreter's own start does not flatter the ratio; medians of both are shown. fastlm is a copy
laid out as pip lays it out, bytecode included: in a checkout under PYTHONDONTWRITEBYTECODE every import would compile
fastlm's sources anew while NumPy's are ready.
"""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, duration, times

ROUNDS = 21
_STATEMENTS = ("import numpy", "import fastlm", "from fastlm import load", "from fastlm import *")
_CHILD = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def run(options: Options) -> None:
    """Print both tables."""
    inside: dict[str, list[float]] = {statement: [] for statement in _STATEMENTS}
    whole: dict[str, list[float]] = {statement: [] for statement in _STATEMENTS}
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = Path(elsewhere) / "fastlm"
        shutil.copytree(fastlm.__path__[0], folder,
                        ignore=shutil.ignore_patterns("*.c", "*.pyx", "*.pxd", "__pycache__"))
        files = [path for path in folder.rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in files)
        binary = sum(path.stat().st_size for path in files if path.suffix in (".so", ".pyd", ".dylib"))
        compileall.compile_dir(folder, quiet=1)
        bytecode = sum(path.stat().st_size for path in folder.rglob("*.pyc"))
        if not list(Path(np.__path__[0], "__pycache__").glob("__init__*.pyc")):
            raise Skipped("NumPy has no bytecode beside it here, so its import would be compiled anew every time")
        environment = dict(os.environ, PYTHONPATH=elsewhere)
        for round_ in range(ROUNDS + 1):
            for statement in _STATEMENTS:
                begin = time.perf_counter()
                child = subprocess.run((sys.executable, "-c", _CHILD.format(statement)), env=environment, cwd=elsewhere,
                                       capture_output=True, text=True, check=True)
                if round_:   # the first round brings the files into memory
                    whole[statement].append(time.perf_counter() - begin)
                    inside[statement].append(float(child.stdout))
    table = Table("statement", "time", "of NumPy's", "whole process", "of NumPy's", "goal")
    numpy_inside, numpy_whole = (statistics.median(taken[_STATEMENTS[0]]) for taken in (inside, whole))
    for statement in _STATEMENTS:
        took, process = statistics.median(inside[statement]), statistics.median(whole[statement])
        goal = f"≤ 1.3×: {'met' if took <= 1.3 * numpy_inside else 'MISSED'}" if statement.endswith("load") else ""
        table.add(statement, duration(took), times(took / numpy_inside), duration(process),
                  times(process / numpy_whole), goal)
    table.print()
    sizes = Table("installed", "size")
    sizes.add("fastlm, as a wheel unpacks it", f"{total / 1e6:.2f} MB")
    sizes.add("of it the compiled extension", f"{binary / 1e6:.2f} MB")
    sizes.add("bytecode that pip adds", f"{bytecode / 1e6:.2f} MB")
    sizes.print()
