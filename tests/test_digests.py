"""What training gives is the same bytes as when these digests were recorded.

A change that alters them on purpose records them anew, and says why in its commit:

    env $(python -m tests.digest_runs --environment) python -m tests.digest_runs > tests/golden/digests.json
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.digest_runs import ENVIRONMENT

ROOT = Path(__file__).parent.parent
RECORDED = json.loads((ROOT / "tests" / "golden" / "digests.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found():
    """Run everything once, on two threads; the digests were recorded on one."""
    done = subprocess.run([sys.executable, "-m", "tests.digest_runs", "2"], cwd=ROOT, env=os.environ | ENVIRONMENT,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_run_is_recorded(found):
    assert found["digests"].keys() == RECORDED["digests"].keys()


def test_a_plan_replayed_and_a_run_resumed_give_the_bytes_of_the_first(found):
    digests = found["digests"]
    assert digests["resumed"] == digests["never stopped"]
    for name in ("word mixture", "char auto, corrected"):
        assert digests[f"replay of {name}"] == digests[name]


@pytest.mark.parametrize("name", RECORDED["digests"])
def test_training_gives_the_recorded_bytes(name, found):
    if found["arithmetic"] != RECORDED["arithmetic"]:
        pytest.skip(f"NumPy computes {found['arithmetic']} here, and {RECORDED['arithmetic']} where the digests were "
                    "recorded: another version or another kind of processor")
    assert found["digests"][name] == RECORDED["digests"][name]
