"""What the tests of kernels share: random arrays, closeness, and gate panels written from their definition."""

import numpy as np

from fastlm import _core

F = np.float32


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(F)


def close(got: np.ndarray, wanted: np.ndarray, tolerance: float = 2e-6) -> None:
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max(initial=0)))


class Panels:
    """Panels of so many gates: 16 units' values for each gate, row after row."""

    def __init__(self, gates: int) -> None:
        self.gates, self.lanes = gates, 16 * gates

    def of(self, matrix: np.ndarray, filler: float = 0.0) -> np.ndarray:
        """(R, gates * H) as panels; lanes beyond H hold `filler`."""
        rows, width = len(matrix), matrix.shape[1] // self.gates
        out = np.full((-(-width // 16), rows, self.lanes), filler, F)
        for unit in range(width):
            for gate in range(self.gates):
                out[unit // 16, :, gate * 16 + unit % 16] = matrix[:, gate * width + unit]
        return out

    def matrix(self, panels: np.ndarray, width: int) -> np.ndarray:
        """What `of` made panels of."""
        out = np.empty((panels.shape[1], self.gates * width), panels.dtype)
        for unit in range(width):
            for gate in range(self.gates):
                out[:, gate * width + unit] = panels[unit // 16, :, gate * 16 + unit % 16]
        return out

    def packed(self, weight: np.ndarray) -> np.ndarray:
        """By the kernel."""
        out = np.full((-(-weight.shape[1] // self.lanes), len(weight), self.lanes), np.nan, F)
        _core.panel_pack(out, weight)
        return out

    def packed_back(self, weight: np.ndarray) -> np.ndarray:
        """By the kernel, for the way back."""
        out = np.full(self.lanes * -(-weight.shape[1] // self.lanes) * 16 * -(-len(weight) // 16), np.nan, F)
        _core.panel_pack_back(out, weight, self.gates)
        return out
