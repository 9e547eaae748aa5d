"""What happened during a run: the plan it followed and the figures along the way."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fastlm.models.base import current_config

Array = np.ndarray
# What model files of format 1 call what has another name here.
_IN_FILE = {"batch_size": "lanes", "sequence_length": "chunk"}


@dataclass(eq=False)
class Plan:
    """Everything that decides the bytes of a trained model, besides the text: the same plan gives the same weights.

    ``rates`` (steps,) float64: the learning rate of every step, as the clock set them when there was a time budget;
    ``kept``: after how many steps the weights that were kept were reached. ``held_out``: the share of the text that was
    held out, where no other text was; ``recounted``: whether a mixture's n-grams have counted it in the end;
    ``dropped``: which of the model's parts were left out after training, since they had no weight. ``folds``,
    ``fitted_folds``, ``network_loss_share``: how n-grams that networks correct were cross-fitted, and which share of
    the loss was the networks' own, see `CrossFittedLoss`; 0 folds where they were not.
    """

    model: dict[str, Any]
    optimizer: dict[str, Any]
    loss: str
    clip: float
    batching: str
    batch_size: int
    sequence_length: int
    shards: int
    seed: int
    kept: int = 0
    held_out: float = 0.05
    recounted: bool = True
    folds: int = 0
    fitted_folds: int = 0
    network_loss_share: float = 0.0
    dropped: list[int] = field(default_factory=list)
    rates: Array = field(default_factory=lambda: np.zeros(0))

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Plan) and self.to_json() == other.to_json()
                and np.array_equal(self.rates, other.rates))

    __hash__ = None  # type: ignore[assignment]

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return len(self.rates)

    def to_json(self) -> str:
        """The plan but for its rates, which are kept as an array, and what a mixture alone needs, where it is usual."""
        usual = {"held_out": 0.05, "recounted": True, "folds": 0, "fitted_folds": 0, "network_loss_share": 0.0,
                 "dropped": []}
        values = {_IN_FILE.get(name, name): value for name, value in asdict(self).items()
                  if name != "rates" and not (name in usual and value == usual[name])}
        values["batching"] = "lanes" if self.batching == "stream" else self.batching
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, rates: Array | None = None) -> Plan:
        """The plan `to_json` wrote, in this version or an older one."""
        here = {in_file: name for name, in_file in _IN_FILE.items()}
        values = {here.get(name, name): value for name, value in json.loads(text).items()}
        values["batching"] = "stream" if values["batching"] == "lanes" else values["batching"]
        model = values["model"]
        if model.get("name") == "Corrected":   # whose configuration held what is the plan's now
            values |= {"folds": model.get("folds", 0), "fitted_folds": model.get("done", 0),
                       "network_loss_share": model.get("own", 0.5)}
        values["model"] = current_config(model)
        return cls(**values, rates=np.zeros(0) if rates is None else np.array(rates, np.float64))


class Ended(enum.Enum):
    """Why a run ended, for programs; the sentence for people is `History.ended`."""

    FINISHED = "finished"         # all steps, or all of the time
    INTERRUPTED = "interrupted"   # by Ctrl-C, SIGTERM or SIGHUP
    DIVERGED = "diverged"         # the loss was no longer finite
    COUNTED = "counted"           # n-grams alone: there is nothing to train


@dataclass
class History:
    """Records of a run, oldest first, and why it ended.

    ``ended``: the reason as a sentence; ``reason``: the same for programs, None where a file of an older version does
    not tell. A record holds step, seconds, tokens (targets seen), loss (mean training loss since the record before),
    valid (held-out nats a token, or None) and rate (the learning rate). ``str(history)`` is a table of them.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    ended: str = ""
    reason: Ended | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.records[index]

    def __str__(self) -> str:
        names = zip(("step", "seconds", "tokens", "loss", "held-out", "perplexity", "rate"), (8, 9, 11, 8, 9, 11, 9),
                    strict=True)
        lines = [" ".join(name.rjust(width) for name, width in names)]
        for record in self.records:
            valid = record["valid"]
            tail = f"{valid:9.4f} {np.exp(valid):11.2f}" if valid is not None else f"{'-':>9} {'-':>11}"
            lines.append(f"{record['step']:8d} {record['seconds']:9.1f} {record['tokens']:11,d} {record['loss']:8.4f} "
                         f"{tail} {record['rate']:9.2e}")
        return "\n".join([*(lines if self.records else []), *([self.ended] if self.ended else [])])

    def to_json(self) -> str:
        """Return the history as JSON text; without a reason it is that of older versions."""
        reason = {} if self.reason is None else {"reason": self.reason.value}
        return json.dumps({"records": self.records, "ended": self.ended} | reason)

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that `to_json` wrote; ValueError for a reason that this version does not know."""
        found = json.loads(text)
        reason = found.pop("reason", None)
        return cls(**found, reason=None if reason is None else Ended(reason))
