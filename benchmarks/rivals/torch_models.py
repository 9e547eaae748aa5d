"""Build our models in PyTorch, with the same weights, for the benchmarks that train or step both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from fastlm.models import GRU, LSTM, FeedForward, PrefixModel, Transformer

RATES: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-8}   # fastlm's defaults for AdamW
WEIGHT_DECAY = 0.01


def tensor(array: np.ndarray) -> torch.Tensor:
    """Return a tensor with a copy of the array's values."""
    return torch.from_numpy(np.array(array))


class TorchLSTM(nn.Module):
    """fastlm's LSTM or GRU. PyTorch has two biases a gate where one is enough: those that are zero here stay so."""

    def __init__(self, model: LSTM | GRU) -> None:
        super().__init__()
        weights = {name: parameter.value for name, parameter in model.parameters.items()}
        vocab_size, width = weights["embedding"].shape
        self.embedding = nn.Embedding(vocab_size, width)
        kind = nn.LSTM if isinstance(model, LSTM) else nn.GRU
        self.lstm = kind(width, model.hidden, model.layers, dropout=model.dropout if model.layers > 1 else 0.0)
        self.dropout = nn.Dropout(model.dropout)
        self.output = nn.Linear(model.hidden, vocab_size)
        with torch.no_grad():
            self.embedding.weight.copy_(tensor(weights["embedding"]))
            for layer in range(model.layers):
                getattr(self.lstm, f"weight_ih_l{layer}").copy_(tensor(weights[f"input{layer}"].T))
                getattr(self.lstm, f"weight_hh_l{layer}").copy_(tensor(weights[f"recurrent{layer}"].T))
                getattr(self.lstm, f"bias_ih_l{layer}").copy_(tensor(weights[f"bias{layer}"]))
                second = getattr(self.lstm, f"bias_hh_l{layer}").zero_()
                if isinstance(model, LSTM):
                    second.requires_grad_(False)
                else:
                    second.register_hook(_last_third)
                    second[2 * model.hidden:] = tensor(weights[f"recurrent_bias{layer}"])
            self.output.bias.copy_(tensor(weights["output_bias"]))
            if not model.tied:
                self.output.weight.copy_(tensor(weights["output"].T))
        if model.tied:
            self.output.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return logits (T, S, V) and the state for ids (T, S)."""
        hidden, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.output(self.dropout(hidden)), state


def _last_third(gradient: torch.Tensor) -> torch.Tensor:
    """Return a gradient that leaves the biases alone that are zero here."""
    kept = gradient.clone()
    kept[: 2 * len(kept) // 3] = 0
    return kept


class TorchFeedForward(nn.Module):
    """fastlm's FeedForward; the state is the last n - 1 ids, V standing for none."""

    def __init__(self, model: FeedForward) -> None:
        super().__init__()
        weights = {name: parameter.value for name, parameter in model.parameters.items()}
        vocab_size, width = weights["embedding"].shape
        self.context, self.none = model.context, vocab_size
        self.embedding = nn.Embedding(vocab_size + 1, width, padding_idx=vocab_size)
        self.projection = nn.Linear(model.context * width, weights["projection"].shape[1])
        self.output = nn.Linear(weights["projection"].shape[1], vocab_size)
        with torch.no_grad():
            self.embedding.weight[:vocab_size].copy_(tensor(weights["embedding"]))
            for layer, name in ((self.projection, "projection"), (self.output, "output")):
                layer.weight.copy_(tensor(weights[name].T))
                layer.bias.copy_(tensor(weights[f"{name}_bias"]))

    def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return logits (T, S, V) and the state for ids (T, S)."""
        steps = len(ids)
        if state is None:
            state = ids.new_full((self.context - 1, ids.shape[1]), self.none)
        seen = torch.cat([state, ids])
        newest_first = [seen[self.context - 1 - back: self.context - 1 - back + steps] for back in range(self.context)]
        x = self.embedding(torch.stack(newest_first, -1)).flatten(-2)
        return self.output(torch.tanh(self.projection(x))), seen[steps:]


class TorchTransformer(nn.Module):
    """fastlm's Transformer without penalties on distance, so that PyTorch's attention needs no mask; it carries no
    state. Parameters keep their names, matrices lie as nn.functional.linear reads them."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        assert not model.slopes.any() and model.window is None and model.tied
        self.layers, self.heads = model.layers, len(model.slopes)
        for name, parameter in model.parameters.items():
            weight = parameter.value if name == "embedding" else parameter.value.T
            self.register_parameter(name, nn.Parameter(tensor(weight).contiguous()))

    def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return logits (T, S, V) and no state for ids (T, S)."""
        steps, sequences = ids.shape
        x = nn.functional.embedding(ids.T, self.embedding)
        for layer in range(self.layers):
            qkv = self._linear(self._norm(x, f"attention_norm{layer}"), f"qkv{layer}")
            q, k, v = qkv.view(sequences, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            heads = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self._linear(heads.transpose(1, 2).reshape(x.shape), f"mix{layer}")
            inner = self._linear(self._norm(x, f"mlp_norm{layer}"), f"expand{layer}")
            x = x + self._linear(nn.functional.gelu(inner, approximate="tanh"), f"contract{layer}")
        logits = nn.functional.linear(self._norm(x, "norm"), self.embedding, self.output_bias)
        return logits.transpose(0, 1), ()

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return nn.functional.linear(x, getattr(self, name), getattr(self, f"{name}_bias"))

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return nn.functional.layer_norm(x, x.shape[-1:], getattr(self, name), getattr(self, f"{name}_bias"))


def from_fastlm(model: PrefixModel) -> nn.Module:
    """Return the same model with the same weights."""
    if isinstance(model, LSTM | GRU):
        return TorchLSTM(model)
    if isinstance(model, FeedForward):
        return TorchFeedForward(model)
    if isinstance(model, Transformer):
        return TorchTransformer(model)
    raise TypeError(f"a {type(model).__name__} has no PyTorch counterpart here; an LSTM, a GRU, a FeedForward or a "
                    "Transformer was expected")


def decay_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Return the parameters in two groups, so that biases are exempt from weight decay as they are in fastlm."""
    moving = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [{"params": [p for p in moving if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in moving if p.ndim == 1], "weight_decay": 0.0}]


class TorchTrainer:
    """Take steps of truncated back-propagation; the state is carried from batch to batch."""

    def __init__(self, module: nn.Module, method: str = "adamw", clip: float = 1.0) -> None:
        groups = decay_groups(module)
        self.module, self.clip = module, clip
        self.state: Any = None
        self.moving = [parameter for group in groups for parameter in group["params"]]
        self.optimizer: torch.optim.Optimizer
        if method == "adamw":
            self.optimizer = torch.optim.AdamW(groups, fused=True, **RATES)
        else:
            self.optimizer = torch.optim.SGD([{"params": group["params"]} for group in groups], fused=True)

    def step(self, ids: torch.Tensor, targets: torch.Tensor, rate: float, fresh: bool = False) -> float:
        """Take one step on ids, targets (T, S) int64, -1 where none counts; return the mean loss in nats before it."""
        self.optimizer.zero_grad(set_to_none=True)
        logits, state = self.module(ids, None if fresh else self.state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        loss.backward()
        nn.utils.clip_grad_norm_(self.moving, self.clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        return loss.item()
