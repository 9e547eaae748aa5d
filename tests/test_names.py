"""Public names: found when they are first used, and imported no earlier."""

import subprocess
import sys

import pytest

import fastlm
import fastlm.text
import fastlm.training


def in_a_fresh_interpreter(code):
    return subprocess.run((sys.executable, "-W", "error", "-c", code), capture_output=True, text=True,
                          check=True).stdout.split()


@pytest.mark.parametrize("package", [fastlm, fastlm.text, fastlm.training], ids=lambda package: package.__name__)
def test_every_public_name_is_found_and_listed_before_its_first_use(package):
    name = package.__name__
    code = (f"import {name} as package\nlisted = dir(package)\n"
            "print(*(name for name in package.__all__ if name in listed and getattr(package, name) is not None))")
    assert in_a_fresh_interpreter(code) == package.__all__


def test_names_are_what_their_modules_define():
    from fastlm.autodiff.attention import one_later
    from fastlm.autodiff.sequence import lstm
    from fastlm.loading import load
    from fastlm.text.pairs import pairs
    from fastlm.training import optim
    assert (fastlm.load, fastlm.pairs, fastlm.optim) == (load, pairs, optim)
    assert fastlm.training.Trainer is fastlm.Trainer and fastlm.text.Corpus is fastlm.Corpus
    assert fastlm.attention.one_later is one_later and fastlm.recurrence.lstm is lstm
    assert fastlm.models.__name__ == "fastlm.models" and fastlm.onehot.__name__ == "fastlm.text.onehot"


def test_importing_fastlm_imports_nothing_large_and_loading_a_model_nothing_that_trains():
    late = ("numpy", "fastlm._core", "fastlm.training.trainer", "fastlm.training.optim", "fastlm.text.onehot")
    shown = f"import sys; print(*(name for name in {late} if name in sys.modules))"
    assert in_a_fresh_interpreter(f"import fastlm; {shown}") == []
    assert in_a_fresh_interpreter(f"from fastlm import load; {shown}") == ["numpy", "fastlm._core"]


def test_an_unknown_name_is_an_attribute_error_that_says_which():
    with pytest.raises(AttributeError, match=r"^module 'fastlm' has no attribute 'lod'$"):
        fastlm.lod  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'lod'"):
        from fastlm import lod  # noqa: F401
