"""The same figures as PyTorch and scikit-learn, where they are installed."""

import numpy as np
import pytest

import fastlm
from fastlm import autodiff, onehot
from fastlm.autodiff import Tape
from fastlm.batch import Batch, State
from fastlm.models import GRU, LSTM, SRU, PositionalOneHot, Transformer
from fastlm.training import optim
from tests.cases import model_of


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("vocabulary, steps, sequences", [(23, 5, 3), (7, 11, 3)])   # V > N, and V < N
@pytest.mark.parametrize("layers", [1, 2])
def test_lstm_and_its_gradients_are_pytorchs(torch, layers: int, vocabulary: int, steps: int, sequences: int) -> None:
    rng = np.random.default_rng(layers)
    model = LSTM(vocabulary, hidden=9, width=5, layers=layers)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.5
    p = {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in model.parameters.items()}
    ids = rng.integers(0, vocabulary, (steps, sequences))
    targets = rng.integers(0, vocabulary, (steps, sequences))
    carried = {f"{name}{layer}": rng.normal(size=(sequences, 9)).astype(np.float32)
               for layer in range(layers) for name in ("hidden", "cell")}

    theirs = torch.nn.LSTM(5, 9, layers)
    weights = {}
    for layer in range(layers):
        weights |= {f"weight_ih_l{layer}": p[f"input{layer}"].T, f"weight_hh_l{layer}": p[f"recurrent{layer}"].T,
                    f"bias_ih_l{layer}": p[f"bias{layer}"], f"bias_hh_l{layer}": torch.zeros(36)}
    before = tuple(torch.tensor(np.stack([carried[f"{name}{layer}"] for layer in range(layers)]))
                   for name in ("hidden", "cell"))
    out, after = torch.func.functional_call(theirs, weights, (p["embedding"][torch.tensor(ids)], before))
    logits = out @ p["output"] + p["output_bias"]
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, vocabulary), torch.tensor(targets.reshape(-1)),
                                             reduction="sum")
    loss.backward()

    with Tape() as tape:
        ours, state = model.logits(Batch.rectangle(ids), State(sequences, **carried))
        rows = ours.value.copy()
        our_loss = autodiff.cross_entropy(ours, targets.reshape(-1).astype(np.int32))
        tape.backward()
        gradients = {name: tape.leaf(parameter).gradient.copy() for name, parameter in model.parameters.items()}
    np.testing.assert_allclose(rows, logits.detach().numpy().reshape(-1, vocabulary), rtol=0, atol=1e-5)
    assert our_loss == pytest.approx(loss.item(), rel=1e-6)
    for name, last in zip(("hidden", "cell"), after, strict=True):
        for layer in range(layers):
            np.testing.assert_allclose(state[f"{name}{layer}"], last[layer].detach().numpy(), rtol=0, atol=1e-5)
    for name, gradient in gradients.items():
        wanted = p[name].grad.numpy()
        assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


def ours_of(model, ids: np.ndarray, targets: np.ndarray, carried: dict[str, np.ndarray]):
    """Logits, the summed cross-entropy, the state reached and every gradient of a model of ours; ids (T, S)."""
    with Tape() as tape:
        logits, state = model.logits(Batch.rectangle(ids), State(ids.shape[1], **carried))
        rows = logits.value.copy()
        loss = autodiff.cross_entropy(logits, targets.reshape(-1).astype(np.int32))
        tape.backward()
        return rows, loss, state, {name: tape.leaf(p).gradient.copy() for name, p in model.parameters.items()}


@pytest.mark.parametrize("vocabulary, steps, sequences", [(23, 5, 3), (7, 11, 3)])   # V > N, and V < N
@pytest.mark.parametrize("layers", [1, 2])
def test_gru_and_its_gradients_are_pytorchs(torch, layers: int, vocabulary: int, steps: int, sequences: int) -> None:
    rng = np.random.default_rng(layers)
    model = GRU(vocabulary, hidden=9, width=5, layers=layers)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.5
    p = {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in model.parameters.items()}
    ids, targets = rng.integers(0, vocabulary, (2, steps, sequences))
    carried = {f"hidden{layer}": rng.normal(size=(sequences, 9)).astype(np.float32) for layer in range(layers)}

    weights = {}
    for layer in range(layers):
        second = torch.cat([torch.zeros(18), p[f"recurrent_bias{layer}"]])
        weights |= {f"weight_ih_l{layer}": p[f"input{layer}"].T, f"weight_hh_l{layer}": p[f"recurrent{layer}"].T,
                    f"bias_ih_l{layer}": p[f"bias{layer}"], f"bias_hh_l{layer}": second}
    before = torch.tensor(np.stack([carried[f"hidden{layer}"] for layer in range(layers)]))
    out, after = torch.func.functional_call(torch.nn.GRU(5, 9, layers), weights,
                                            (p["embedding"][torch.tensor(ids)], before))
    logits = (out @ p["output"] + p["output_bias"]).reshape(-1, vocabulary)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets.reshape(-1)), reduction="sum")
    loss.backward()

    rows, our_loss, state, gradients = ours_of(model, ids, targets, carried)
    np.testing.assert_allclose(rows, logits.detach().numpy(), rtol=0, atol=1e-5)
    assert our_loss == pytest.approx(loss.item(), rel=1e-6)
    for layer in range(layers):
        np.testing.assert_allclose(state[f"hidden{layer}"], after[layer].detach().numpy(), rtol=0, atol=1e-5)
    for name, gradient in gradients.items():
        wanted = p[name].grad.numpy()
        assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


def torch_sru(torch, p, layers: int, ids, cells):
    """Logits (T, S, V) and the cells reached, from the equations, one step after another."""
    def norm(x):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    x, after = p["embedding"][torch.tensor(ids)], []
    for layer in range(layers):
        f, u, r = (norm(x) @ p[f"gates{layer}"] + p[f"gates{layer}_bias"]).chunk(3, -1)
        c, out = torch.tensor(cells[layer]), []
        for f_t, u_t, r_t in zip(f.sigmoid(), u, r.sigmoid(), strict=True):
            c = f_t * c + (1 - f_t) * u_t
            out.append(r_t * c)
        after.append(c)
        x = x + torch.stack(out)
        inner = (norm(x) @ p[f"inner{layer}"] + p[f"inner{layer}_bias"]).relu().square()
        x = x + inner @ p[f"outer{layer}"] + p[f"outer{layer}_bias"]
    return norm(x) @ p["output"] + p["output_bias"], after


@pytest.mark.parametrize("layers", [1, 3])
def test_sru_and_its_gradients_are_pytorchs(torch, layers: int) -> None:
    rng = np.random.default_rng(layers)
    model = SRU(7, hidden=9, layers=layers, inner=13)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.5
    p = {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in model.parameters.items()}
    ids, targets = rng.integers(0, 7, (2, 11, 3))
    carried = {f"cell{layer}": rng.normal(size=(3, 9)).astype(np.float32) for layer in range(layers)}
    logits, after = torch_sru(torch, p, layers, ids, list(carried.values()))
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 7), torch.tensor(targets.reshape(-1)), reduction="sum")
    loss.backward()
    rows, our_loss, state, gradients = ours_of(model, ids, targets, carried)
    np.testing.assert_allclose(rows, logits.detach().numpy().reshape(-1, 7), rtol=0, atol=1e-5)
    assert our_loss == pytest.approx(loss.item(), rel=1e-6)
    for layer in range(layers):
        np.testing.assert_allclose(state[f"cell{layer}"], after[layer].detach().numpy(), rtol=0, atol=1e-5)
    for name, gradient in gradients.items():
        wanted = p[name].grad.numpy()
        assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


@pytest.mark.parametrize("ours, theirs", [
    (optim.SGD(lr=0.1, l2=0.01), lambda t, p: t.optim.SGD(p, lr=0.1, weight_decay=0.01)),
    (optim.Momentum(lr=0.1, momentum=0.9, l2=0.01),
     lambda t, p: t.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01)),
    (optim.AdaGrad(lr=0.1, epsilon=1e-8), lambda t, p: t.optim.Adagrad(p, lr=0.1, eps=1e-8)),
    (optim.AdamW(lr=0.02, weight_decay=0.1, beta2=0.95),
     lambda t, p: t.optim.AdamW(p, lr=0.02, betas=(0.9, 0.95), weight_decay=0.1)),
    (optim.AdamW(lr=0.02, weight_decay=0.0, l2=0.1),
     lambda t, p: t.optim.Adam(p, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1)),
], ids=["SGD", "Momentum", "AdaGrad", "AdamW", "Adam with L2"])
def test_optimizers_are_pytorchs(torch, ours, theirs) -> None:
    rng = np.random.default_rng(0)
    p = rng.normal(size=101).astype(np.float32)
    q = torch.tensor(p.copy(), requires_grad=True)
    their_optimizer = theirs(torch, [q])
    memory = optim.new_state(ours, p)
    for step in range(1, 51):
        gradient = (rng.normal(size=101) * 10.0 ** rng.integers(-3, 1)).astype(np.float32)
        q.grad = torch.tensor(gradient.copy())
        their_optimizer.step()
        ours.update(p, memory, gradient, ours.rate(ours.lr, 1.0, step, decays=True))
        np.testing.assert_allclose(p, q.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_clipping_is_pytorchs(torch) -> None:
    from fastlm.training.update import Update
    from fastlm.workers import Workers
    model = model_of("LSTM", 7)
    before = {name: parameter.value.copy() for name, parameter in model.parameters.items()}
    update = Update(model, optim.SGD(lr=1.0), 1, 0.3)
    with update.tapes[0] as tape:
        autodiff.cross_entropy(model.logits(Batch.of([[1, 2, 3, 4]]))[0], np.array([2, 3, 4, 5], np.int32))
        tape.backward()
        theirs = [torch.zeros(value.shape) for value in before.values()]
        for name, tensor in zip(before, theirs, strict=True):
            tensor.grad = torch.tensor(tape.leaf(model.parameters[name]).gradient.copy())
    norm = torch.nn.utils.clip_grad_norm_(theirs, 0.3).item()
    with Workers(1) as workers:
        assert update.apply(1.0, workers) == pytest.approx(norm, rel=1e-5)
    for (name, value), tensor in zip(before.items(), theirs, strict=True):
        np.testing.assert_allclose(value - model.parameters[name].value, tensor.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_positional_onehot_with_l2_is_logistic_regression() -> None:
    """Trained to convergence it reaches scikit-learn's objective on the one-hot features of every prefix."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    vocabulary, length, l2 = 7, 4, 0.01
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, vocabulary, int(n)) for n in rng.integers(2, 7, 40)]
    features, targets = [], []
    for ids in documents:
        for prefix, target in fastlm.pairs(ids):
            x = onehot.encode(prefix, vocabulary, length)
            columns = sparse.csr_array(x.to_csr(), shape=x.shape).T.reshape(1, vocabulary * length)
            assert (columns.toarray()[0] == x.to_vector()).all()
            features.append(columns)
            targets.append(target)
    features, targets = sparse.csr_matrix(sparse.vstack(features)), np.array(targets)
    n = len(targets)
    assert set(targets) == set(range(vocabulary))

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        """Mean cross-entropy + l2/2 |W|^2, in float64."""
        z = features @ weight + bias
        z -= z.max(axis=1, keepdims=True)
        nats = np.log(np.exp(z).sum(axis=1)) - z[np.arange(n), targets]
        return float(nats.mean() + 0.5 * l2 * (weight**2).sum())
    theirs = linear_model.LogisticRegression(C=1 / (l2 * n), tol=1e-10, max_iter=10_000).fit(features, targets)
    wanted = objective(theirs.coef_.T, theirs.intercept_)

    model = PositionalOneHot(vocabulary, length)
    trainer = fastlm.Trainer(model, optimizer=optim.Momentum(lr=1.0, momentum=0.9, l2=l2), clip=None,
                      batch_size=8, sequence_length=64)
    history = trainer.fit(documents, epochs=800)
    assert trainer.plan.batching == "documents" and history[-1]["step"] == 800   # every step sees every pair
    ours = objective(model.parameters["table"].value.astype(float), model.parameters["output_bias"].value.astype(float))
    print(f"\nobjective {ours:.8f}, scikit-learn's {wanted:.8f}: {ours / wanted - 1:+.1e}")
    assert abs(ours / wanted - 1) <= 1e-4
    assert wanted < objective(np.zeros((vocabulary * length, vocabulary)), np.zeros(vocabulary)) * 0.95


@pytest.mark.parametrize("window", [None, 4])
def test_transformer_and_its_gradients_are_pytorchs(torch, window: int | None) -> None:
    """Of the same blocks made from PyTorch's own attention, normalisation and GELU."""
    functional, vocabulary, steps, sequences, width, heads = torch.nn.functional, 11, 9, 3, 12, 3
    rng = np.random.default_rng(1)
    model = Transformer(vocabulary, width=width, heads=heads, layers=2, window=window)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.4
    p = {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in model.parameters.items()}
    ids, targets = rng.integers(0, vocabulary, (2, steps, sequences))

    distance = torch.arange(steps)[:, None] - torch.arange(steps)[None, :]
    seen = (distance >= 0) & (distance < (window or steps))
    slopes = torch.tensor(model.slopes)[:, None, None]
    mask = torch.where(seen, -slopes * distance, torch.tensor(-torch.inf))

    def norm(x, name):
        return functional.layer_norm(x, (width,), p[name], p[f"{name}_bias"])

    def linear(x, name):
        return x @ p[name] + p[f"{name}_bias"]
    x = p["embedding"][torch.tensor(ids.T)]
    for layer in range(2):
        q, k, v = (part.reshape(sequences, steps, heads, width // heads).transpose(1, 2)
                   for part in linear(norm(x, f"attention_norm{layer}"), f"qkv{layer}").split(width, 2))
        out = functional.scaled_dot_product_attention(q, k, v, mask)
        x = x + linear(out.transpose(1, 2).reshape(x.shape), f"mix{layer}")
        inner = functional.gelu(linear(norm(x, f"mlp_norm{layer}"), f"expand{layer}"), approximate="tanh")
        x = x + linear(inner, f"contract{layer}")
    logits = norm(x, "norm") @ p["output"] + p["output_bias"]
    loss = functional.cross_entropy(logits.reshape(-1, vocabulary), torch.tensor(targets.T.reshape(-1)),
                                    reduction="sum")
    loss.backward()

    with Tape() as tape:
        ours, _ = model.logits(Batch.rectangle(ids))
        rows = ours.value.reshape(steps, sequences, vocabulary).copy()
        our_loss = autodiff.cross_entropy(ours, targets.reshape(-1).astype(np.int32))
        tape.backward()
        gradients = {name: tape.leaf(parameter).gradient.copy() for name, parameter in model.parameters.items()}
    wanted = logits.detach().numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(rows, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert our_loss == pytest.approx(loss.item(), rel=1e-6)
    for name, gradient in gradients.items():
        wanted = p[name].grad.numpy()
        assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max(), name
