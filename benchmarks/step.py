"""One more token of one document: `model.step` of a character LSTM-256 beside the same step in eager PyTorch.

Claim: at most 1/5 of PyTorch's time. One thread each, batch 1, under `inference_mode`; PyTorch both as
`nn.LSTM` on a sequence of one and as `nn.LSTMCell`. Both read a token and return the logits of the next.
"""

from __future__ import annotations

import numpy as np

from benchmarks.harness import (
    Options,
    Rival,
    Table,
    duration,
    interleave,
    one_thread,
    times,
    torch_or_skip,
    validate,
    verdict,
)
from fastlm.models import LSTM

VOCAB_SIZE, HIDDEN, WIDTH = 65, 256, 64


def run(options: Options) -> None:
    """Prints the table."""
    torch = torch_or_skip()
    from benchmarks.torch_models import TorchLSTM
    model = LSTM(VOCAB_SIZE, hidden=HIDDEN, width=WIDTH, seed=1)
    module = TorchLSTM(model).eval()
    cell = torch.nn.LSTMCell(WIDTH, HIDDEN)
    cell.load_state_dict({name: module.lstm.state_dict()[f"{name}_l0"]
                          for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    ids = np.random.default_rng(1).integers(0, VOCAB_SIZE, 50)

    def ours(ids: np.ndarray) -> list[np.ndarray]:
        state, rows = model.start(1), []
        for token in ids.tolist():
            logits, state = model.step(state, token)
            rows.append(logits[0])
        return rows

    def by_module(ids: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            state, rows = None, []
            for token in ids.tolist():
                logits, state = module(torch.tensor([[token]]), state)
                rows.append(logits[0, 0].numpy())
            return rows

    def by_cell(ids: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            state, rows = None, []
            for token in ids.tolist():
                state = cell(module.embedding(torch.tensor([token])), state)
                rows.append(module.output(state[0])[0].numpy())
            return rows
    rivals = {"fastlm": Rival(lambda: np.array(ours(ids))), "PyTorch nn.LSTM": Rival(lambda: np.array(by_module(ids))),
              "PyTorch nn.LSTMCell": Rival(lambda: np.array(by_cell(ids)))}
    with one_thread():
        validate("step", rivals, 1e-5)
        median = interleave(rivals, 3.0)
    table = Table("one step of LSTM-256, V = 65", "time", "beside fastlm", "goal")
    best = min(value for label, value in median.items() if label != "fastlm")
    for label, value in median.items():
        goal = verdict([("≤ 1/5 of PyTorch's", best / value, 5.0)]) if label == "fastlm" else ""
        table.add(label, duration(value / len(ids)), times(value / median["fastlm"]), goal)
    table.print()
