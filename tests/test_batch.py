"""Packing sequences and handling states, on paper first."""

import numpy as np
import pytest

from fastlm.batch import Batch, State
from tests import oracle


def test_packing_by_hand() -> None:
    batch = Batch.of([[5, 6], [], [7, 8, 9], [4]])
    assert batch.ids.tolist() == [7, 5, 4, 8, 6, 9]
    assert batch.size.tolist() == [3, 2, 1]
    assert batch.order.tolist() == [2, 0, 3, 1]
    assert batch.offset.tolist() == [0, 3, 5, 6]
    assert list(batch.steps()) == [(0, 3), (3, 5), (5, 6)]
    assert batch.last_rows().tolist() == [5, 4, 2, -1]   # lane by lane, longest first
    assert [part.tolist() for part in batch.unpack(batch.ids)] == [[5, 6], [], [7, 8, 9], [4]]
    assert (batch.sequences, len(batch), batch.starts) == (4, 6, None)
    assert (batch.ids.dtype, batch.size.dtype) == (np.int32, np.uintp)


def test_lanes_by_hand() -> None:
    batch = Batch.rectangle(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 0, 0], [0, 1, 0]]))
    assert batch.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.size.tolist() == [3, 3]
    assert batch.starts.tolist() == [0, 0, 0, 0, 1, 0]
    assert batch.last_rows().tolist() == [3, 4, 5]
    assert [part.tolist() for part in batch.unpack(batch.ids)] == [[1, 4], [2, 5], [3, 6]]
    assert Batch.rectangle(np.zeros((2, 2)), np.zeros((2, 2))).starts is None


def test_one_sequence_by_hand() -> None:
    ids = np.array([4, 5, 6], np.int32)
    batch = Batch.one(ids)
    assert batch.ids is ids and batch.size.tolist() == [1, 1, 1] and batch.size.dtype == np.uintp
    assert (batch.sequences, batch.starts, batch.order) == (1, None, None)
    assert batch.lengths().tolist() == [3] and batch.last_rows().tolist() == [2]
    empty = Batch.one(ids[:0])
    assert len(empty) == 0 and empty.sequences == 1 and empty.lengths().tolist() == [0]


def test_lengths_by_hand() -> None:
    assert Batch.of([[5, 6], [], [7, 8, 9], [4]]).lengths().tolist() == [3, 2, 1, 0]
    assert Batch.rectangle(np.zeros((2, 3), np.int32)).lengths().tolist() == [2, 2, 2]
    assert Batch.of([]).lengths().tolist() == [] and Batch.of([[], []]).lengths().tolist() == [0, 0]


@pytest.mark.parametrize("sequences", [[], [[]], [[], []]])
def test_nothing_to_pack(sequences) -> None:
    batch = Batch.of(sequences)
    assert len(batch) == 0 and batch.size.tolist() == [] and batch.sequences == len(sequences)
    assert batch.last_rows().tolist() == [-1] * len(sequences)
    assert [part.tolist() for part in batch.unpack(batch.ids)] == sequences


def test_random_batches_are_laid_out_as_said() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        sequences = [rng.integers(0, 100, int(n)) for n in rng.integers(0, 8, int(rng.integers(1, 7)))]
        batch = Batch.of(sequences)
        lengths = [len(ids) for ids in sequences]
        steps = oracle.layout(lengths)
        assert batch.size.tolist() == [len(rows) for rows, _ in steps]
        for t, (rows, which) in enumerate(steps):
            assert batch.ids[rows].tolist() == [sequences[s][t] for s in which]
        for part, ids in zip(batch.unpack(batch.ids), sequences, strict=True):
            np.testing.assert_array_equal(part, ids)


def test_orders_of_lanes_and_of_the_caller() -> None:
    batch = Batch.of([[1], [2, 3, 4], [5, 6]])
    values = np.array([[10.0], [20.0], [30.0]])
    lanes = batch.to_packed(values)
    assert lanes.tolist() == [[20.0], [30.0], [10.0]]
    assert batch.from_packed(lanes).tolist() == values.tolist()
    lanes[:] = 0
    assert values.tolist() == [[10.0], [20.0], [30.0]]   # to_packed copies
    rectangle = Batch.rectangle(np.zeros((2, 3)))
    copied = rectangle.to_packed(values)
    copied[:] = 0
    assert values[0, 0] == 10.0 and rectangle.from_packed(values) is values


def test_states_without_arrays_keep_their_number() -> None:
    state = State.stack([State(2), State(1)])
    assert len(state) == 3 and len(state.select([0, 2])) == 2
    assert state == State(3) and state != State(2)


def test_states_with_other_names_differ() -> None:
    assert State(1, a=np.zeros(1)) != State(1, b=np.zeros(1))


def test_growing_arrays_are_as_long_as_their_longest_sequence() -> None:
    """Of two sequences of 1 and 3 entries, also under the names of a mixture's parts."""
    for prefix in ("", "1/"):
        past = np.array([[[5], [0], [0]], [[1], [2], [3]]])
        state = State(2, **{f"{prefix}length": np.array([1, 3]), f"{prefix}past0": past})
        first = state.select([0])
        assert first[f"{prefix}past0"].tolist() == [[[5]]]
        assert state.select([])[f"{prefix}past0"].shape == (0, 0, 1)
        assert State.stack([first, state.select([1])]) == state
        assert State.stack([state, first])[f"{prefix}past0"].tolist() == [[[5], [0], [0]], [[1], [2], [3]],
                                                                          [[5], [0], [0]]]
        assert state.select([1, 0]).select([1]) == first
