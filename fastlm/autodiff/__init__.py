"""Automatic differentiation: reverse mode over a handful of primitives.

Outside a tape the primitives only compute. Inside ``with Tape() as tape:`` each of them also leaves behind a function
that, given the gradient of its result, adds the gradients of its inputs; ``tape.backward()`` calls these functions in
reverse. Values are float32 arrays of shape (rows, width). `ops` holds the primitives that treat every row alike,
`sequence` and `attention` those that look back in time, `tape` the bookkeeping.

>>> import numpy as np
>>> weight = Parameter("weight", np.array([[1.0], [2.0]], np.float32))
>>> with Tape() as tape:
...     loss = cross_entropy(gather(weight, [1, 1]), np.array([0, 0], np.int32))
...     tape.backward()
"""

from fastlm.autodiff.ops import (
    add,
    add_bias,
    concatenate,
    cross_entropy,
    dropout,
    gather,
    linear,
    matmul,
    multiply,
    relu,
    relu_squared,
    reshape,
    rms_norm,
    sigmoid,
    squared_error,
    tanh,
)
from fastlm.autodiff.tape import Leaf, Parameter, Tape, Variable, empty, record, variable

__all__ = ["Leaf", "Parameter", "Tape", "Variable", "add", "add_bias", "concatenate", "cross_entropy", "dropout",
           "empty", "gather", "linear", "matmul", "multiply", "record", "relu", "relu_squared", "reshape", "rms_norm",
           "sigmoid", "squared_error", "tanh", "variable"]
