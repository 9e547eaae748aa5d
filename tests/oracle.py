"""float64 NumPy forms of every primitive, model and loss, written from their equations.

Arrays may carry leading axes before the ones named, so that one call evaluates many perturbed copies of a tensor. A
`layout` says which rows of a packed batch each time step holds and whose they are.
"""

from itertools import pairwise

import numpy as np

from fastlm.heads import AdaptiveSoftmax, SampledSoftmax


def layout(lengths):
    """Per time step (rows, sequences) of a packed batch: longest sequences first, step after step."""
    order = sorted(range(len(lengths)), key=lambda s: -lengths[s])
    steps, row = [], 0
    for t in range(max(lengths, default=0)):
        live = [s for s in order if lengths[s] > t]
        steps.append((np.arange(row, row + len(live)), np.array(live)))
        row += len(live)
    return steps


# primitives ----------------------------------------------------------------------------------------------------------

def gather(table, rows):
    rows = np.asarray(rows).reshape(-1)
    return np.where((rows >= 0)[:, None], table[..., np.maximum(rows, 0), :], 0.0)


def add_bias(x, bias):
    return x + bias[..., None, :]


def linear(x, weight, bias):
    return add_bias(x @ weight, bias)


def transposed(weight):
    return np.swapaxes(weight, -1, -2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def concatenate(parts):
    lead = np.broadcast_shapes(*(part.shape[:-2] for part in parts))
    return np.concatenate([np.broadcast_to(part, lead + part.shape[-2:]) for part in parts], axis=-1)


def reshape(x, shape):
    return x.reshape(x.shape[:-2] + shape)


def _reset(carry, starts, rows, sequences):
    """carry (..., S, ...) with zeros for the sequences whose row begins a document."""
    fresh = np.zeros(carry.shape[-2], bool)
    fresh[sequences] = starts[rows] != 0
    return np.where(fresh[:, None], 0.0, carry)


def prefix_sum(table, bias, ids, steps, starts, max_length, carry, position):
    """z[n] = bias + sum over the prefix's tokens at position p < max_length of table[p*V + id]."""
    vocab = table.shape[-2] // max_length
    position = position.copy()
    lead = np.broadcast_shapes(table.shape[:-2], bias.shape[:-1])
    total = np.broadcast_to(carry.astype(float), lead + carry.shape)
    out = np.zeros((*lead, len(ids), table.shape[-1]))
    for rows, sequences in steps:
        total = _reset(total, starts, rows, sequences)
        for row, s in zip(rows, sequences, strict=True):
            position[s] = 0 if starts[row] else position[s]
            if position[s] < max_length:
                total[..., s, :] += table[..., position[s] * vocab + ids[row], :]
            position[s] += 1
            out[..., row, :] = bias + total[..., s, :]
    return out, total, position


def decayed_sum(x, rates, steps, starts, carry):
    """s_k = rate_k s_k + x, K of them side by side; carry (S, K, D)."""
    sequences_in_all, count, width = carry.shape[-3:]
    lead = x.shape[:-2]
    state = np.broadcast_to(carry.astype(float), lead + carry.shape[-3:])
    state = state.reshape((*lead, sequences_in_all, count * width))
    out = np.zeros((*x.shape[:-1], count * width))
    for rows, sequences in steps:
        state = _reset(state, starts, rows, sequences)
        state[..., sequences, :] = state[..., sequences, :] * np.repeat(rates, width) + np.tile(x[..., rows, :], count)
        out[..., rows, :] = state[..., sequences, :]
    return out, state.reshape(lead + carry.shape[-3:])


def last_ids(ids, count, steps, starts, carry):
    """Newest first, -1 before the document's start; carry (S, count - 1)."""
    past = [list(row) for row in carry]
    out = np.full((len(ids), count), -1)
    for rows, sequences in steps:
        for row, s in zip(rows, sequences, strict=True):
            past[s] = [-1] * (count - 1) if starts[row] else past[s]
            out[row] = [ids[row], *past[s]]
            past[s] = out[row, :count - 1].tolist()
    return out, np.array(past, np.int64).reshape(len(carry), count - 1)


def hashed_rows(ids, orders, buckets, steps, starts, carry):
    """Row k * buckets + hash mod buckets of the last orders[k] ids, newest first, mixed by SplitMix64's finaliser."""
    last, carry = last_ids(ids, orders[-1], steps, starts, carry)
    out = np.full((len(ids), len(orders)), -1)
    for n, newest_first in enumerate(last.tolist()):
        for k, order in enumerate(orders):
            if newest_first[order - 1] < 0:
                continue
            z = 0
            for i in newest_first[:order]:
                z = (z + (i + 1) * 0x9E3779B97F4A7C15) % 2**64
                z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
                z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
                z ^= z >> 31
            out[n, k] = k * buckets + z % buckets
    return out, carry


def lstm(x, recurrent, steps, starts, hidden, cell):
    """i f o = sigmoid, g = tanh of x + h U; c = f c + i g; h = o tanh(c); x (N, 4H)."""
    width = recurrent.shape[-2]
    lead = np.broadcast_shapes(x.shape[:-2], recurrent.shape[:-2])
    h, c = (np.broadcast_to(carry.astype(float), lead + carry.shape) for carry in (hidden, cell))
    out = np.zeros((*lead, x.shape[-2], width))
    for rows, live in steps:
        h, c = _reset(h, starts, rows, live), _reset(c, starts, rows, live)
        gates = x[..., rows, :] + h[..., live, :] @ recurrent
        i, f, g, o = np.split(gates, 4, axis=-1)
        c[..., live, :] = sigmoid(f) * c[..., live, :] + sigmoid(i) * np.tanh(g)
        h[..., live, :] = out[..., rows, :] = sigmoid(o) * np.tanh(c[..., live, :])
    return out, h, c


def layer_norm(x, gain, bias):
    centred = x - x.mean(-1, keepdims=True)
    return add_bias(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain[..., None, :], bias)


def gelu(u):
    return u * sigmoid(2 * np.sqrt(2 / np.pi) * (u + 0.044715 * u**3))


def attention(qkv, slopes, window, steps, starts, past, length):
    """Every row looks at the entries of its lane, one after another: those of the past, then the rows before it."""
    width, heads = qkv.shape[-1] // 3, len(slopes)
    deep = width // heads
    lead = qkv.shape[:-2]
    out = np.zeros((*lead, qkv.shape[-2], width))
    lanes = [[np.broadcast_to(entry, (*lead, 2 * width)) for entry in past[s, :length[s]].astype(float)]
             for s in range(len(length))]
    for rows, live in steps:
        for n, s in zip(rows, live, strict=True):
            lanes[s] = [*([] if starts[n] else lanes[s]), qkv[..., n, width:]]
            seen = np.stack(lanes[s][-window:] if window else lanes[s], axis=-2)
            distance = np.arange(seen.shape[-2])[::-1]
            for h in range(heads):
                own = slice(h * deep, (h + 1) * deep)
                scores = (seen[..., :width][..., own] @ qkv[..., n, own][..., None])[..., 0] / np.sqrt(deep)
                weights = np.exp(log_softmax(scores - slopes[h] * distance))
                out[..., n, own] = (weights[..., None, :] @ seen[..., width:][..., own])[..., 0, :]
    return out


def gru(x, recurrent, bias, steps, starts, hidden):
    """r z = sigmoid, n = tanh of x + h U, the third of h U + bias scaled by r; h = (1 - z) n + z h; x (N, 3H)."""
    width = recurrent.shape[-2]
    lead = np.broadcast_shapes(x.shape[:-2], recurrent.shape[:-2], bias.shape[:-1])
    h = np.broadcast_to(hidden.astype(float), lead + hidden.shape)
    out = np.zeros((*lead, x.shape[-2], width))
    for rows, live in steps:
        h = _reset(h, starts, rows, live)
        (r, z, n), (r_h, z_h, n_h) = (np.split(part, 3, axis=-1) for part in (x[..., rows, :],
                                                                              h[..., live, :] @ recurrent))
        z = sigmoid(z + z_h)
        n = np.tanh(n + sigmoid(r + r_h) * (n_h + bias[..., None, :]))
        h[..., live, :] = out[..., rows, :] = (1 - z) * n + z * h[..., live, :]
    return out, h


def sru(gates, steps, starts, cell):
    """f r = sigmoid; c = f c + (1 - f) u; h = r c; gates (N, 3H): f, u, r."""
    f, u, r = np.split(gates, 3, axis=-1)
    f, r = sigmoid(f), sigmoid(r)
    c = np.broadcast_to(cell.astype(float), gates.shape[:-2] + cell.shape)
    out = np.zeros(f.shape)
    for rows, live in steps:
        c = _reset(c, starts, rows, live)
        c[..., live, :] = f[..., rows, :] * c[..., live, :] + (1 - f[..., rows, :]) * u[..., rows, :]
        out[..., rows, :] = r[..., rows, :] * c[..., live, :]
    return out, c


def rms_norm(x):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)


# losses --------------------------------------------------------------------------------------------------------------

def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(logits, targets):
    """-log p(target), summed over the rows that have a target."""
    counted = np.flatnonzero(targets >= 0)
    return -log_softmax(logits)[..., counted, targets[counted]].sum(-1)


def squared_error(logits, targets):
    """|onehot(target) - p|^2, summed over the rows that have a target."""
    counted = np.flatnonzero(targets >= 0)
    wanted = np.eye(logits.shape[-1])[targets[counted]]
    return ((wanted - np.exp(log_softmax(logits[..., counted, :]))) ** 2).sum((-1, -2))


# output layers -------------------------------------------------------------------------------------------------------

def output(model, p, x, tied=False):
    """What a model's output layer makes of rows x: logits, or log p where it is adaptive."""
    layer = model.head
    weights = transposed(p["embedding"]) if tied else p["output"]
    if isinstance(layer, AdaptiveSoftmax):
        return adaptive(p, x, weights, layer.edges.tolist())
    if isinstance(layer, SampledSoftmax) and not tied:
        weights = transposed(weights)
    return linear(x, weights, p["output_bias"])


def adaptive(p, x, weights, edges):
    """log p: the head's of frequent words, the cluster's plus the tail's of rare ones; weights (D, .)."""
    first, bias = edges[0], p["output_bias"]
    head = log_softmax(concatenate([linear(x, weights[..., :first], bias[..., :first]),
                                    linear(x, p["clusters"], p["cluster_bias"])]))
    parts = [head[..., :first]]
    for i, (a, b) in enumerate(pairwise(edges)):
        inner = x @ p[f"projection_to_tail{i}"] if f"tail{i}" in p else x
        tail = linear(inner, p[f"tail{i}"] if f"tail{i}" in p else weights[..., a:b], bias[..., a:b])
        parts.append(head[..., first + i: first + i + 1] + log_softmax(tail))
    return concatenate(parts)


# models: p maps the parameters' names to arrays, state the carried arrays' --------------------------------------

def positional_onehot(model, p, ids, steps, starts, state):
    z, _, _ = prefix_sum(p["table"], p["output_bias"], ids, steps, starts, model.max_length, state["sums"],
                         state["position"])
    return z


def ngrams(model, p, ids, steps, starts, state):
    """The rows of hashed n-grams side by side, or None."""
    if not model.ngrams.width:
        return None
    rows, _ = hashed_rows(ids, model.ngrams.orders.tolist(), model.ngrams.buckets, steps, starts, state["ngram_ids"])
    return reshape(gather(p["ngrams"], rows), (len(ids), model.ngrams.width))


def projected(model, p, ids, steps, starts, state):
    """Embeddings, and beside them n-grams brought to their width."""
    x = gather(p["embedding"], ids)
    if not model.ngrams.width:
        return x
    return x + ngrams(model, p, ids, steps, starts, state) @ p["ngram_projection"]


def beside(x, rows):
    return x if rows is None else concatenate([x, rows])


def lookback(model, p, x, steps, starts, state):
    """x, and what attention finds at the rows whose forerunners are like the last ones, whose keys thus come late."""
    if not model.lookback.width:
        return x
    q, k, v = np.split(x @ p["lookback"], 3, axis=-1)
    before = np.broadcast_to(state["key"].astype(float), k.shape[:-2] + state["key"].shape)
    late = np.zeros(k.shape)
    for rows, live in steps:
        before = _reset(before, starts, rows, live)
        late[..., rows, :] = before[..., live, :]
        before[..., live, :] = k[..., rows, :]
    window = model.lookback.window
    found = attention(concatenate([q, late, v]), [1 / window], window, steps, starts, state["past"], state["length"])
    return x + found @ p["lookback_mix"]


def decayed_bag(model, p, ids, steps, starts, state):
    bags, _ = decayed_sum(gather(p["embedding"], ids), model.rates.astype(float), steps, starts, state["bags"])
    bags = beside(bags, ngrams(model, p, ids, steps, starts, state))
    hidden = np.tanh(linear(bags, p["projection"], p["projection_bias"]))
    return output(model, p, hidden)


def feed_forward(model, p, ids, steps, starts, state):
    rows, _ = last_ids(ids, model.context, steps, starts, state["ids"])
    x = reshape(gather(p["embedding"], rows), (len(ids), model.context * model.width))
    x = beside(x, ngrams(model, p, ids, steps, starts, state))
    return output(model, p, np.tanh(linear(x, p["projection"], p["projection_bias"])))


def lstm_model(model, p, ids, steps, starts, state):
    x = beside(gather(p["embedding"], ids), ngrams(model, p, ids, steps, starts, state))
    for layer in range(model.layers):
        gates = linear(x, p[f"input{layer}"], p[f"bias{layer}"])
        x, _, _ = lstm(gates, p[f"recurrent{layer}"], steps, starts, state[f"hidden{layer}"], state[f"cell{layer}"])
    return output(model, p, lookback(model, p, x, steps, starts, state), tied=model.tied)


def transformer(model, p, ids, steps, starts, state):
    x = projected(model, p, ids, steps, starts, state)
    for layer in range(model.layers):
        def pair(name, layer=layer):
            return p[f"{name}{layer}"], p[f"{name}{layer}_bias"]
        qkv = linear(layer_norm(x, *pair("attention_norm")), *pair("qkv"))
        heads = attention(qkv, model.slopes.astype(float), model.window, steps, starts, state[f"past{layer}"],
                          state["length"])
        x = x + linear(heads, *pair("mix"))
        inner = gelu(linear(layer_norm(x, *pair("mlp_norm")), *pair("expand")))
        x = x + linear(inner, *pair("contract"))
    return output(model, p, layer_norm(x, p["norm"], p["norm_bias"]), tied=model.tied)


def gru_model(model, p, ids, steps, starts, state):
    x = beside(gather(p["embedding"], ids), ngrams(model, p, ids, steps, starts, state))
    for layer in range(model.layers):
        gates = linear(x, p[f"input{layer}"], p[f"bias{layer}"])
        x, _ = gru(gates, p[f"recurrent{layer}"], p[f"recurrent_bias{layer}"], steps, starts, state[f"hidden{layer}"])
    return output(model, p, lookback(model, p, x, steps, starts, state), tied=model.tied)


def sru_model(model, p, ids, steps, starts, state):
    x = projected(model, p, ids, steps, starts, state)
    for layer in range(model.layers):
        gates = linear(rms_norm(x), p[f"gates{layer}"], p[f"gates{layer}_bias"])
        x = x + sru(gates, steps, starts, state[f"cell{layer}"])[0]
        inner = linear(rms_norm(x), p[f"inner{layer}"], p[f"inner{layer}_bias"])
        x = x + linear(relu(inner) ** 2, p[f"outer{layer}"], p[f"outer{layer}_bias"])
    return output(model, p, rms_norm(x), tied=model.tied)


def gated_bag(model, p, ids, steps, starts, state):
    """The user's own f of tests/cases.py."""
    x = gather(p["embedding"], ids)
    bags, _ = decayed_sum(x, model.rates.astype(float), steps, starts, state["bags"])
    gate = sigmoid(linear(x, p["gate"], p["gate_bias"]))
    hidden = relu(concatenate([gate * (bags @ p["mix"]), x]))
    return linear(hidden, p["output"], p["output_bias"])
