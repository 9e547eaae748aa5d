"""Every Python block of the documentation runs, in order, beside a small my.txt."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastlm

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINE = "The cat sat on the mat and the dog lay on the rug, as I am a machine and you are not.\n"


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.txt").write_text(LINE * 40, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    train, fit = fastlm.train, fastlm.Trainer.fit

    def shorter(*arguments: Any, budget: Any = None, **options: Any) -> Any:
        return train(*arguments, **options, **({} if "epochs" in options else {"budget": 0.5}))

    def shorter_fit(self: Any, *arguments: Any, budget: Any = None, **options: Any) -> Any:
        return fit(self, *arguments, budget=budget and 0.5, **options)
    monkeypatch.setattr(fastlm, "train", shorter)
    monkeypatch.setattr(fastlm.Trainer, "fit", shorter_fit)
    names: dict[str, Any] = {"__name__": "example"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {number + 1}", "exec"), names)
    capsys.readouterr()


MODULES = [name for _, name, _ in pkgutil.walk_packages(fastlm.__path__, "fastlm.") if "__main__" not in name]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_give_what_they_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlm.PrefixModel, "registry", dict(fastlm.PrefixModel.registry))   # they define models
    if name.startswith("fastlm.compat.") and not name.endswith(".kenlm"):
        pytest.importorskip(name.rpartition(".")[2], reason="an optional package")
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, report=True)
    assert not failed


def test_a_model_of_ones_own_takes_thirty_lines() -> None:
    code = blocks(ROOT / "docs" / "own_model.md")[0]
    body = code[code.index("class "):]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_the_model_of_the_page_is_loaded_from_its_file(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(blocks(ROOT / "docs" / "own_model.md")[0], names)
    lm = fastlm.train([LINE * 40], unit="char", model=names["GatedMemory"], epochs=20, threads=1,
                      optimizer=fastlm.optim.AdamW(lr=0.01))
    assert lm.perplexity(iter([LINE])) < 3 < len(lm.vocabulary)
    lm.save(tmp_path / "mine.fastlm")
    twin = fastlm.load(tmp_path / "mine.fastlm")
    assert twin.digest() == lm.digest() and type(twin.model) is names["GatedMemory"]


METHODS = [method for name, method in inspect.getmembers(fastlm.LanguageModel, inspect.isfunction)
           if not name.startswith("_")]


@pytest.mark.parametrize("documented", [fastlm.train, fastlm.load, fastlm.Trainer, fastlm.Trainer.fit,
                                        fastlm.LanguageModel, *METHODS], ids=lambda it: it.__qualname__)
def test_every_parameter_has_a_line_of_its_own(documented: Any) -> None:
    signature = inspect.signature(documented)
    text = inspect.getdoc(documented) or ""
    titles = re.split(r"^(\w+)\n-+$", text, flags=re.MULTILINE)
    sections = dict(zip(titles[1::2], titles[2::2], strict=True))
    lines = re.findall(r"^(\w[\w, ]*?)(?: : (.+))?$", sections.get("Parameters", ""), flags=re.MULTILINE)
    names = [name for line, _ in lines for name in line.split(", ")]
    assert names == [name for name in signature.parameters if name != "self"]
    for name, kind in lines:
        given = signature.parameters.get(name)
        if kind and given is not None:
            default = re.search(r", default (.+)$", kind)
            if given.default is inspect.Parameter.empty:
                assert default is None
            else:
                assert default is not None and eval(default[1]) == given.default, name
    if not inspect.isclass(documented):
        assert ("Returns" in sections) is (signature.return_annotation not in (None, "None"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_benchmark_is_listed_by_subject_and_in_the_table_of_its_page() -> None:
    listed = subprocess.run((sys.executable, "-m", "benchmarks", "--list"), cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    names = {line.split()[0] for line in listed.splitlines() if line.startswith(" ")}
    files = {path.stem: path.parent.name for path in (ROOT / "benchmarks").glob("*/*.py")
             if "def run(options" in path.read_text(encoding="utf-8")}
    assert names == files.keys() >= {"kernels", "rows", "step", "ngram", "large", "budgets", "startup"}
    assert [line for line in listed.splitlines() if not line.startswith(" ")] == list(dict.fromkeys(
        files[line.split()[0]] for line in listed.splitlines() if line.startswith(" ")))
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\|[^|]*\| `(\w+)` \|", table, flags=re.MULTILINE)) == names
