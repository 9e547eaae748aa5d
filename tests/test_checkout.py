"""In a checkout whose fastlm/ is not compiled, `import fastlm` takes the installed one, or says what to do.

Packages are simulated in temporary folders, with a copy of the redirect and an empty file as compiled _core.
"""

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fastlm import _checkout

ASK = "import fastlm, fastlm.where; print(fastlm.where.PLACE, *fastlm.__spec__.submodule_search_locations)"


def package(folder, compiled):
    """A small fastlm in `folder`, whose module `where` tells the folder's name."""
    inside = folder / "fastlm"
    inside.mkdir(parents=True)
    (inside / "__init__.py").write_text("from fastlm import _checkout\n\n_checkout.redirect(__path__)\n")
    shutil.copy(_checkout.__file__, inside / "_checkout.py")
    (inside / "where.py").write_text(f"PLACE = {folder.name!r}\n")
    (inside / "__main__.py").write_text("from fastlm.where import PLACE\n\nprint(PLACE)\n")
    if compiled:
        (inside / f"_core{EXTENSION_SUFFIXES[0]}").write_bytes(b"")


def python(folder, *arguments, path=()):
    """Runs Python without site-packages in `folder`, with the folders of `path` after it on sys.path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": ""}
    return subprocess.run([sys.executable, "-S", "-B", *arguments], cwd=folder, env=environment, check=False,
                          capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path):
    package(tmp_path / "checkout", compiled=False)
    (tmp_path / "checkout" / "benchmarks").mkdir()
    (tmp_path / "checkout" / "benchmarks" / "__main__.py").write_text(ASK)
    return tmp_path / "checkout"


@pytest.fixture
def installed(tmp_path):
    package(tmp_path / "installed", compiled=True)
    return tmp_path / "installed"


@pytest.mark.parametrize("arguments", [("-c", ASK), ("-m", "benchmarks")])
def test_an_uncompiled_checkout_takes_the_installed_package(checkout, installed, arguments):
    done = python(checkout, *arguments, path=[checkout.parent / "absent", installed])
    assert (done.stdout, done.stderr) == (f"installed {installed}/fastlm\n", "")


def test_its_commands_are_the_installed_ones(checkout, installed):
    assert python(checkout, "-m", "fastlm", path=[installed]).stdout == "installed\n"
    assert python(checkout, "-m", "fastlm.where", path=[installed]).returncode == 0


def test_a_compiled_checkout_is_itself(checkout, installed, tmp_path):
    package(tmp_path / "inplace", compiled=True)
    done = python(tmp_path / "inplace", "-c", ASK, path=[installed])
    assert done.stdout == f"inplace {tmp_path}/inplace/fastlm\n"


def test_another_uncompiled_checkout_is_passed_over(checkout, installed, tmp_path):
    package(tmp_path / "another", compiled=False)
    done = python(checkout, "-c", ASK, path=[tmp_path / "another", installed])
    assert done.stdout == f"installed {installed}/fastlm\n"


def test_without_an_installed_package_one_sentence_says_what_to_do(checkout):
    done = python(checkout, "-c", ASK)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: fastlm is not compiled here: pip install . first"


def test_every_module_under_test_comes_from_one_place():
    import fastlm
    from fastlm import _core
    from fastlm.files import modelfile
    assert Path(_core.__file__).parent == Path(modelfile.__file__).parent.parent == Path(fastlm.__path__[0])
