"""Every tuned number has a unit, a reason and a source."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import fastlm
from benchmarks.quality.calibrate import MEASURES
from fastlm.auto.policy import Policy, numbers
from fastlm.auto.unit_policy import UnitPolicy
from fastlm.training.loop_settings import LoopSettings

ROOT = Path(__file__).parent.parent.parent
NUMBERS = list(numbers())


def headings() -> set[str]:
    text = (ROOT / "docs" / "tried.md").read_text(encoding="utf-8")
    return set(re.findall(r"^#+ (.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_every_number_has_unit_reason_and_source(number) -> None:
    assert len(number.unit) > 3 and len(number.why.split()) > 3 and not number.why.endswith(".")
    kind, _, name = number.source.partition(": ")
    assert kind in ("calibrate", "tried", "assumption") and bool(name) == (kind != "assumption")
    if kind == "tried":
        assert name in headings()
    if kind == "calibrate":
        assert name in MEASURES


def test_every_measure_that_calibrates_a_number_is_named() -> None:
    assert {number.source.partition(": ")[2] for number in NUMBERS if number.source.startswith("calibrate")} \
        == MEASURES.keys()


def test_a_number_that_is_named_twice_is_found_once() -> None:
    names = [number.name for number in NUMBERS]
    assert len(names) == len(set(names)) == len(fields(Policy)) - 3 + 3 * len(fields(UnitPolicy))


def test_words_characters_and_pieces() -> None:
    policy = Policy()
    assert policy.of("piece") is policy.pieces and policy.pieces.order == 6
    assert policy.of("word") is policy.words and policy.of("char") is policy.of("byte") is policy.characters
    found = {number.name: number.value for number in NUMBERS}
    assert found["words.order"] == 5 and found["characters.order"] == 8 and found["most_passes"] == 60
    changed = replace(policy, words=replace(policy.words, order=3))
    assert {number.name: number.value for number in numbers(changed)} == found | {"words.order": 3}
    assert policy == Policy() != changed and hash(policy) == hash(Policy())


def test_the_training_loop_goes_by_the_policy() -> None:
    assert Policy().loop() == LoopSettings()
    other = LoopSettings(3, 0.5, 77, 1.5, 0.9, 0.25, 9, 1000)
    policy = Policy(evaluations=3, evaluation_share=0.5, evaluation_tokens=77, report_every=1.5, usable_share=0.9,
                    warm_up=0.25, warm_up_steps=9, evaluation_logits=1000)
    assert policy.loop() == other


def test_something_else_than_a_policy_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        fastlm.train(["a b\n"], policy=3)   # type: ignore[arg-type]
    assert str(caught.value) == "policy = 3; a fastlm.auto.policy.Policy was expected"
