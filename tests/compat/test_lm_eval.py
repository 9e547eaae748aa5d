"""A model of fastlm in lm-evaluation-harness: what it is asked, and a task of our own."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fastlm

lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed")
FastlmLM: Any = pytest.importorskip("fastlm.compat.lm_eval").FastlmLM
TEXT = "the cat sleeps\nthe cats sleep\nthe dog runs\nthe dogs run\n" * 40


def asked(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


@pytest.mark.parametrize("unit", ["word", "char", "piece"])
def test_what_the_harness_asks(unit: Any) -> None:
    lm = fastlm.train([TEXT], unit, documents="line", model="kneser-ney")
    model = FastlmLM(lm)
    (good, greedy), (bad, other), empty = model.loglikelihood(
        [asked("the cats", " sleep"), asked("the cats", " sleeps"), asked("the cats", "")])
    assert good > bad and greedy and not other and empty == (0.0, True)
    assert good == pytest.approx(-lm.score(" sleep", context="the cats", end=False).total_nats)
    assert model.loglikelihood([asked("", "the cat")])[0][0] == pytest.approx(
        model.loglikelihood_rolling([asked("the cat")])[0])
    (written,) = model.generate_until([asked("the dogs ", {"until": ["\n"], "max_gen_toks": 20})])
    assert written.strip() == "run"


def test_a_task_of_our_own(tmp_path: Path) -> None:
    lm = fastlm.train([TEXT], "word", documents="line", model="kneser-ney")
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"q": q, "a": ["runs", "run"], "label": n}) + "\n"
                                              for q, n in (("the dog", 0), ("the dogs", 1)) * 5))
    (tmp_path / "agreement.yaml").write_text(
        "task: agreement\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {tmp_path / 'q.jsonl'}\ntest_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{q}}"\ndoc_to_choice: "{{a}}"\ndoc_to_target: label\n'
        "metric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n")
    manager = pytest.importorskip("lm_eval.tasks").TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = lm_eval.simple_evaluate(model=FastlmLM(lm), tasks=["agreement"], task_manager=manager, bootstrap_iters=0)
    assert found["results"]["agreement"]["acc,none"] == 1.0
