"""What users of small language-model tools have tripped over, where no other test has it."""

import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm import arpa

TEXT = "the cat sat on the mat\nthe dog sat\n" * 100
PROMPTS = ["?", "the ", "the\n", "", "\U0001f600 na\u00efve", "ZZZ", "the cat\t", '"quoted"', "\r\n",
           "the cat " * 12_000, "\u00e9", "<unk>", "</s>"]


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_any_prompt_is_continued(unit: str) -> None:
    lm = fastlm.train([TEXT], unit, model="kneser-ney")
    for prompt in PROMPTS:
        assert isinstance("".join(lm.generate(prompt, 5, seed=1)), str) and len(lm.next_tokens(prompt, 2)) == 2
    joined = [prompt + "".join(lm.generate(prompt, 3, temperature=0)) for prompt in ("the", "the ")]
    assert unit != "word" or joined[0] == joined[1]


def test_signs_of_other_tools_are_words_of_the_text(tmp_path: Path) -> None:
    """"<s>", "</s>" and "<unk>", as other tools' texts hold them; ARPA files keep them apart from their own."""
    text = "<s> the cat sat </s>\n<s> the dog <unk> sat </s>\n" * 30
    lm = fastlm.train([text], "word", model="kneser-ney", order=3, min_count=1)
    assert {"<s>", "</s>", "<unk>"} <= set(lm.vocabulary.tokens) and not lm.score("<s> the cat sat </s>").unknown
    arpa.save(lm, tmp_path / "m.arpa")
    assert arpa.load(tmp_path / "m.arpa").score(text).nats == pytest.approx(lm.score(text).nats, abs=1e-3)


def test_one_long_line_is_learnt_and_scored_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(5000)])
    line = " ".join(words[rng.zipf(1.3, 400_000) % 5000])
    (tmp_path / "line.txt").write_text(line)
    lm = fastlm.train(tmp_path / "line.txt", "word", model="kneser-ney", order=3)
    assert lm.card["tokens"] == 400_001 and lm.card["bytes"] == len(line)
    assert lm.score(line).tokens == 400_001 == lm.evaluate(tmp_path / "line.txt").tokens


@pytest.mark.parametrize("megabytes", [400, 550, 800])
@pytest.mark.parametrize("option", ["--model=kneser-ney", "--epochs=0.01"])
def test_a_small_container_is_a_sentence_or_a_model(megabytes: int, option: str, tmp_path: Path) -> None:
    """With one thread of NumPy's matrix library, which ends the process itself where its buffers do not fit."""
    rng = np.random.default_rng(0)
    path, limit = tmp_path / "text", (megabytes << 20, megabytes << 20)
    path.write_text("\n".join(" ".join(f"w{n}" for n in row) for row in rng.zipf(1.4, (30_000, 12)) % 80_000) + "\n")
    run = subprocess.run(
        [sys.executable, "-m", "fastlm", "train", str(path), "-o", str(tmp_path / "m"), "--unit=word", "--quiet",
         option],
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, limit), capture_output=True, text=True,
        env=dict(os.environ, OPENBLAS_NUM_THREADS="1"))
    assert run.returncode in (0, 1, 2) and "Traceback" not in run.stderr, run.stderr
    assert run.returncode == 0 or len(run.stderr.strip().splitlines()) == 1
