"""The record of a run of training: the plan that repeats it, and its history."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fastlm.models.rebuild import current_config

Array = np.ndarray
# {name here: name in model files of format 1}
_IN_FILE = {"batch_size": "lanes", "sequence_length": "chunk"}


@dataclass(eq=False)
class Plan:
    """Everything besides the text that decides the bytes of a trained model: the same plan gives the same weights.

    ``model``, ``optimizer``: their configurations; ``loss``: its name; ``clip``: largest norm of a gradient, 0 for no
    limit; ``batching``: "stream" or "documents", see `StreamBatches` and `DocumentBatches`; ``batch_size``,
    ``sequence_length``, ``shards``, ``seed``: as in `Trainer`.

    ``rates`` (steps,) float64: the learning rate of every step, which the clock decided where there was a time budget.
    ``kept``: the step whose weights were kept. ``held_out``: the share of the text that was held out for evaluation,
    where no other text was given. ``recounted``: whether the n-grams of a mixture counted that share in the end.
    ``dropped``: the numbers of the model's parts that were left out after training because they had no weight.
    ``folds``, ``fitted_folds``, ``network_loss_share``: how n-grams that networks correct were cross-fitted, and the
    share of the loss that is of the networks alone, see `CrossFittedLoss`; 0 folds where nothing was cross-fitted.
    ``precision``: the bits of each weight, to which `fastlm.train` rounded them in the end. ``unit``: of the text,
    empty where it is not known.
    ``ngram_bytes``: how many bytes the n-grams were pruned to, 0 where they were not.
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
    precision: int = 32
    unit: str = ""
    ngram_bytes: int = 0
    rates: Array = field(default_factory=lambda: np.zeros(0))

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Plan) and self.to_json() == other.to_json()
                and np.array_equal(self.rates, other.rates))

    __hash__ = None  # type: ignore[assignment]

    @property
    def steps(self) -> int:
        """How many steps the whole run took."""
        return len(self.rates)

    def to_json(self) -> str:
        """Return the plan as JSON text, without ``rates``, which a file keeps as an array.

        What older versions do not know is left out where it has its default value.
        """
        defaults = {"held_out": 0.05, "recounted": True, "folds": 0, "fitted_folds": 0, "network_loss_share": 0.0,
                    "dropped": [], "precision": 32, "unit": "",
                    "ngram_bytes": 0}
        values = {_IN_FILE.get(name, name): value for name, value in asdict(self).items()
                  if name != "rates" and not (name in defaults and value == defaults[name])}
        values["batching"] = "lanes" if self.batching == "stream" else self.batching
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, rates: Array | None = None) -> Plan:
        """Return the plan that `to_json` wrote, in this version or an older one. rates (steps,): None for none."""
        current = {in_file: name for name, in_file in _IN_FILE.items()}
        values = {current.get(name, name): value for name, value in json.loads(text).items()}
        values["batching"] = "stream" if values["batching"] == "lanes" else values["batching"]
        model = values["model"]
        if model.get("name") == "Corrected":   # older files keep these three in the configuration of the model
            values |= {"folds": model.get("folds", 0), "fitted_folds": model.get("done", 0),
                       "network_loss_share": model.get("own", 0.5)}
        values["model"] = current_config(model)
        return cls(**values, rates=np.zeros(0) if rates is None else np.array(rates, np.float64))


class Ended(enum.Enum):
    """The reason why a run ended, for programs to test; `History.ended` is a sentence for people."""

    FINISHED = "finished"         # after all of its steps, or at the end of its time
    INTERRUPTED = "interrupted"   # by Ctrl-C, SIGTERM or SIGHUP, or by an error of the progress function
    DIVERGED = "diverged"         # because the loss was no longer finite
    COUNTED = "counted"           # the model is n-grams alone, which are counted and not trained


@dataclass
class History:
    """The figures of a run at each of its evaluations, and why it ended.

    ``records``: dicts, oldest first, of "step", "seconds", "tokens" (targets seen so far), "loss" (mean training loss
    since the record before), "valid" (nats per token of held-out text, or None) and "rate" (the learning rate).
    ``ended``: why the run ended, as a sentence; ``reason``: the same for programs, an `Ended`, or None where a file of
    an older version does not say. ``len(history)`` and ``history[index]`` are of the records, and ``str(history)`` is a
    table of them.
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

    def plot(self, axes: Any = None, label: str = "") -> Any:
        """Draw the held-out perplexity of the evaluations against the seconds, by matplotlib; return its axes.

        axes: matplotlib's, to draw several runs in one picture; None for new ones. label: of the curve. Raises
        ValueError where nothing was evaluated on held-out text, or matplotlib, which draws the axes, is not installed.

        >>> lm.history.plot().figure.savefig("curve.png")    # doctest: +SKIP
        """
        points = [(record["seconds"], np.exp(record["valid"])) for record in self.records
                  if record["valid"] is not None]
        if not points:
            raise ValueError("the run has no evaluation on held-out text, so there is nothing to draw")
        if axes is None:
            try:
                from matplotlib.figure import Figure  # here, since few need it; no window is opened
            except ImportError:
                raise ValueError('drawing a curve needs matplotlib: pip install "fastlm[plot]"') from None
            axes = Figure(figsize=(7, 4.2), layout="constrained").subplots()
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label or None)
        axes.set_xlabel("seconds")
        axes.set_ylabel("held-out perplexity")
        axes.spines[["top", "right"]].set_visible(False)
        if label:
            axes.legend(frameon=False)
        return axes

    def to_json(self) -> str:
        """Return the history as JSON text. Without a reason it is the text that older versions wrote."""
        reason = {} if self.reason is None else {"reason": self.reason.value}
        return json.dumps({"records": self.records, "ended": self.ended} | reason)

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that `to_json` wrote. Raises ValueError for a reason that this version does not know."""
        found = json.loads(text)
        reason = found.pop("reason", None)
        return cls(**found, reason=None if reason is None else Ended(reason))
