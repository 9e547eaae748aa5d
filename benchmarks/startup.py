"""What it costs to have fastlm: the time of `import fastlm` beside `import numpy`, and its size on disk.

Claim: at most 1.3 times `import numpy`. Fresh interpreters, turn by turn; the import statement alone is timed
inside each, so that the interpreter's own start does not flatter the ratio; medians of both are shown. fastlm
is a copy laid out as pip lays it out, bytecode included: in a checkout under PYTHONDONTWRITEBYTECODE every
import would compile fastlm's sources anew while NumPy's are ready.
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
_CHILD = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def run(options: Options) -> None:
    """Prints both tables."""
    names = ("fastlm", "numpy")
    inside: dict[str, list[float]] = {name: [] for name in names}
    whole: dict[str, list[float]] = {name: [] for name in names}
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
            for name in names:
                begin = time.perf_counter()
                child = subprocess.run((sys.executable, "-c", _CHILD.format(name)), env=environment, cwd=elsewhere,
                                       capture_output=True, text=True, check=True)
                if round_:   # the first round brings the files into memory
                    whole[name].append(time.perf_counter() - begin)
                    inside[name].append(float(child.stdout))
    table = Table("import", "statement", "whole process", "goal")
    ratio = statistics.median(inside["fastlm"]) / statistics.median(inside["numpy"])
    for name in names:
        table.add(name, duration(statistics.median(inside[name])), duration(statistics.median(whole[name])), "")
    table.add("fastlm / numpy", times(ratio),
              times(statistics.median(whole["fastlm"]) / statistics.median(whole["numpy"])),
              f"≤ 1.3×: {'met' if ratio <= 1.3 else 'MISSED'}")
    table.print()
    sizes = Table("installed", "size")
    sizes.add("fastlm, as a wheel unpacks it", f"{total / 1e6:.2f} MB")
    sizes.add("of it the compiled extension", f"{binary / 1e6:.2f} MB")
    sizes.add("bytecode that pip adds", f"{bytecode / 1e6:.2f} MB")
    sizes.print()
