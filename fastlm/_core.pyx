# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True
"""The binding of the C kernels: checks shapes and ids once, releases the GIL, calls C, raises; it does no maths.

csrc/fastlm.h gives the formula and the shapes of every kernel; names and order of the arguments are the same here,
with the sizes taken from the shapes. Arrays are C-contiguous. An argument that does not fit raises ValueError, an id
or a row outside its table IndexError, each with the value and what was expected.
"""

import os

import numpy

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_GetBuffer)
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

# Instruction sets ------------------------------------------------------------------------------------------------

cdef const flm_kernels *kernels = NULL
cdef bint wider = False   # flm_multiplies_wider(kernels), which asks the processor: that takes too long for every product
cdef tuple ALL_ISAS = ("portable", "avx2", "avx512")


def available_isas():
    """Return the instruction sets that this build and this processor have, out of portable, avx2 and avx512."""
    return [name for name in ALL_ISAS if flm_kernels_for(name.encode()) != NULL]


def isa():
    """Return the instruction set in use."""
    return kernels.name.decode()


def use_isa(str name not None):
    """Switch every kernel to an instruction set, while no other thread is in a kernel; RuntimeError if it is absent."""
    global kernels, wider
    if name not in ALL_ISAS:
        raise RuntimeError(f"FASTLM_ISA = {name} is not one of {', '.join(ALL_ISAS)}")
    cdef const flm_kernels *found = flm_kernels_for(name.encode())
    if found == NULL:
        raise RuntimeError(f"FASTLM_ISA = {name} is not supported by this processor, which has "
                           + ", ".join(available_isas()))
    kernels, wider = found, flm_multiplies_wider(found)


use_isa(os.environ.get("FASTLM_ISA") or max(available_isas(), key=ALL_ISAS.index))

# Checks ----------------------------------------------------------------------------------------------------------


cdef class _Flat:
    """A float32 array of any shape, as one run of numbers."""
    cdef Py_buffer buffer
    cdef float *at
    cdef size_t n

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef _Flat flat(object array, str name, bint write):
    cdef _Flat view = _Flat.__new__(_Flat)
    PyObject_GetBuffer(array, &view.buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if write else 0))
    if view.buffer.format[0] != c'f' or view.buffer.format[1] != 0:
        if <size_t> view.buffer.buf % sizeof(float):
            raise ValueError(f"{name} does not begin at a multiple of {sizeof(float)} bytes in memory")
        raise ValueError(f"{name} has dtype {array.dtype}, expected float32")
    view.at = <float *> view.buffer.buf
    view.n = <size_t> view.buffer.len // sizeof(float)
    return view


cdef int same(_Flat x, str name, size_t n) except -1:
    if x.n != n:
        raise ValueError(f"{name} has {x.n} elements, expected {n}")
    return 0


cdef int extent(str name, Py_ssize_t n, Py_ssize_t expected) except -1:
    if n != expected:
        raise ValueError(f"{name} has {n} elements, expected {expected}")
    return 0


cdef int shape(str name, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t N, Py_ssize_t D) except -1:
    if rows != N or columns != D:
        raise ValueError(f"{name} has shape ({rows}, {columns}), expected ({N}, {D})")
    return 0


cdef int cube(str name, Py_ssize_t a, Py_ssize_t b, Py_ssize_t c, Py_ssize_t A, Py_ssize_t B, Py_ssize_t C) except -1:
    if a != A or b != B or c != C:
        raise ValueError(f"{name} has shape ({a}, {b}, {c}), expected ({A}, {B}, {C})")
    return 0


cdef int rows_in_table(const int64_t[::1] row, str name, Py_ssize_t lowest, Py_ssize_t R) except -1:
    """Raise IndexError for a row outside a table of R rows; lowest: -1 where a row may be absent, else 0."""
    cdef size_t N = <size_t> row.shape[0], n = kernels.first_bad_row(&row[0], lowest, N, <size_t> R)
    if n < N:
        raise IndexError(f"{name}[{n}] = {row[n]} is outside the table of {R} rows")
    return 0


cdef int targets(const int32_t[::1] target, Py_ssize_t N, Py_ssize_t V) except -1:
    extent("target", target.shape[0], N)
    cdef size_t n = kernels.first_bad_id(&target[0], -1, <size_t> N, <size_t> V)
    if n < <size_t> N:
        raise IndexError(f"target[{n}] = {target[n]} is outside the vocabulary of {V}")
    return 0


cdef int packed_sequences(const size_t[::1] size, const uint8_t[::1] starts, Py_ssize_t N, Py_ssize_t S) except -1:
    """Check the sizes of packed sequences: N rows of at most S sequences, sizes never growing."""
    cdef size_t total, T = <size_t> size.shape[0], t = kernels.first_bad_size(&total, &size[0], T, <size_t> S)
    if t < T:
        raise ValueError(f"size[{t}] = {size[t]} is more than the {size[t - 1] if t else S} sequences before it")
    if total != <size_t> N:
        raise ValueError(f"size adds up to {total} rows, expected {N}")
    if T and size[0] > total:                               # the sum did not fit 64 bits
        raise ValueError(f"size[0] = {size[0]} is more than the {N} rows there are")
    if starts is not None:
        extent("starts", starts.shape[0], N)
    return 0


cdef inline const uint8_t *flags(const uint8_t[::1] starts) noexcept:
    if starts is None:
        return NULL
    return &starts[0]


def check_ids(const int32_t[::1] ids not None, size_t vocab_size):
    """Raise IndexError unless every id of ids (N,) lies in [0, vocab_size)."""
    cdef size_t N = <size_t> ids.shape[0], n
    with nogil:
        n = kernels.first_bad_id(&ids[0], 0, N, vocab_size)
    if n < N:
        raise IndexError(f"ids[{n}] = {ids[n]} is outside the vocabulary of {vocab_size}")


# Rows ------------------------------------------------------------------------------------------------------------


cdef int by_row(of_rows kernel, float[:, ::1] out, const float[:, ::1] x, const int64_t[::1] row) except -1:
    cdef size_t N = <size_t> row.shape[0], D = <size_t> out.shape[1]
    with nogil:
        kernel(&out[0, 0], &x[0, 0], &row[0], N, D)
    return 0


def gather(float[:, ::1] out not None, const float[:, ::1] table not None, const int64_t[::1] row not None):
    """Set out (N,D) to table (R,D) at row (N,), zeros where row is -1."""
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[1])
    rows_in_table(row, "row", -1, table.shape[0])
    by_row(kernels.gather, out, table, row)


def scatter_add(float[:, ::1] dtable not None, const float[:, ::1] dout not None, const int64_t[::1] row not None):
    """Add dout (N,D) to dtable (R,D) at row (N,), nothing where row is -1."""
    shape("dout", dout.shape[0], dout.shape[1], row.shape[0], dtable.shape[1])
    rows_in_table(row, "row", -1, dtable.shape[0])
    by_row(kernels.scatter_add, dtable, dout, row)


def position_rows(int64_t[::1] row not None, int64_t[::1] position not None, const int32_t[::1] ids not None,
                  const uint8_t[::1] starts, const size_t[::1] size not None, size_t max_length, size_t vocab_size):
    """Set row (N,) to position * vocab_size + ids, -1 from max_length on; position (S,): tokens read so far."""
    packed_sequences(size, starts, ids.shape[0], position.shape[0])
    extent("row", row.shape[0], ids.shape[0])
    check_ids(ids, vocab_size)
    cdef const uint8_t *begins = flags(starts)
    with nogil:
        kernels.position_rows(&row[0], &position[0], &ids[0], begins, &size[0], <size_t> size.shape[0],
                              max_length, vocab_size)


def prefix_sum(float[:, ::1] out not None, float[:, ::1] carry not None, const float[:, ::1] table not None,
               const float[::1] bias, const int64_t[::1] row not None, const uint8_t[::1] starts,
               const size_t[::1] size not None):
    """Add table (R,V) at row (N,) to carry (S,V), and set out (N,V) to bias (V,), if not None, + carry."""
    cdef const float *constant = NULL
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, row.shape[0], carry.shape[0])
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[1])
    shape("carry", carry.shape[0], carry.shape[1], carry.shape[0], table.shape[1])
    rows_in_table(row, "row", -1, table.shape[0])
    if bias is not None:
        extent("bias", bias.shape[0], table.shape[1])
        constant = &bias[0]
    with nogil:
        kernels.prefix_sum(&out[0, 0], &carry[0, 0], &table[0, 0], constant, &row[0], begins, &size[0],
                           <size_t> size.shape[0], <size_t> out.shape[1])


def suffix_sum(float[:, ::1] dtable not None, float[:, ::1] running not None, const float[:, ::1] dout not None,
               const int64_t[::1] row not None, const uint8_t[::1] starts, const size_t[::1] size not None):
    """Add the gradient of prefix_sum to dtable (R,V), given dout (N,V); running (S,V) is zeros, then scratch."""
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, row.shape[0], running.shape[0])
    shape("dout", dout.shape[0], dout.shape[1], row.shape[0], dtable.shape[1])
    shape("running", running.shape[0], running.shape[1], running.shape[0], dtable.shape[1])
    rows_in_table(row, "row", -1, dtable.shape[0])
    with nogil:
        kernels.suffix_sum(&dtable[0, 0], &running[0, 0], &dout[0, 0], &row[0], begins, &size[0],
                           <size_t> size.shape[0], <size_t> dout.shape[1])


def decayed_sum(float[:, :, ::1] out not None, float[:, :, ::1] carry not None, const float[:, ::1] x not None,
                const float[::1] rate not None, const uint8_t[::1] starts, const size_t[::1] size not None):
    """Set carry (S,K,D) to rate (K,) * carry + x (N,D), and out (N,K,D) to carry."""
    cdef const uint8_t *begins = flags(starts)
    cdef Py_ssize_t K = rate.shape[0], D = x.shape[1]
    packed_sequences(size, starts, x.shape[0], carry.shape[0])
    cube("out", out.shape[0], out.shape[1], out.shape[2], x.shape[0], K, D)
    cube("carry", carry.shape[0], carry.shape[1], carry.shape[2], carry.shape[0], K, D)
    with nogil:
        kernels.decayed_sum(&out[0, 0, 0], &carry[0, 0, 0], &x[0, 0], &rate[0], begins, &size[0],
                            <size_t> size.shape[0], <size_t> K, <size_t> D)


def decayed_sum_back(float[:, ::1] dx not None, float[:, :, ::1] running not None,
                     const float[:, :, ::1] dout not None, const float[::1] rate not None,
                     const uint8_t[::1] starts, const size_t[::1] size not None):
    """Add the gradient of decayed_sum to dx (N,D), given dout (N,K,D); running (S,K,D) is zeros, then scratch."""
    cdef const uint8_t *begins = flags(starts)
    cdef Py_ssize_t K = rate.shape[0], D = dx.shape[1]
    packed_sequences(size, starts, dx.shape[0], running.shape[0])
    cube("dout", dout.shape[0], dout.shape[1], dout.shape[2], dx.shape[0], K, D)
    cube("running", running.shape[0], running.shape[1], running.shape[2], running.shape[0], K, D)
    with nogil:
        kernels.decayed_sum_back(&dx[0, 0], &running[0, 0, 0], &dout[0, 0, 0], &rate[0], begins, &size[0],
                                 <size_t> size.shape[0], <size_t> K, <size_t> D)


def last_ids(int64_t[:, ::1] out not None, int64_t[:, ::1] carry not None, const int32_t[::1] ids not None,
             const uint8_t[::1] starts, const size_t[::1] size not None):
    """Set out (N,L) to the last L ids, newest first, -1 before the start; carry (S,L-1): those before the first row."""
    cdef const uint8_t *begins = flags(starts)
    if out.shape[1] < 1:
        raise ValueError(f"out has shape ({out.shape[0]}, 0), expected at least one column")
    packed_sequences(size, starts, ids.shape[0], carry.shape[0])
    shape("out", out.shape[0], out.shape[1], ids.shape[0], out.shape[1])
    shape("carry", carry.shape[0], carry.shape[1], carry.shape[0], out.shape[1] - 1)
    with nogil:
        kernels.last_ids(&out[0, 0], &carry[0, 0], &ids[0], begins, &size[0], <size_t> size.shape[0],
                         <size_t> out.shape[1])


def add_bytes(float[:, ::1] out not None, const float[:, ::1] scale not None, const uint8_t[:, :, ::1] table not None,
              const int64_t[::1] row not None, float unit):
    """Add unit * sum over k of scale (N,K) at k times table (K,R,V) at k, row (N,) to out (N,V)."""
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[2])
    shape("scale", scale.shape[0], scale.shape[1], row.shape[0], table.shape[0])
    rows_in_table(row, "row", 0, table.shape[1])
    with nogil:
        kernels.add_bytes(&out[0, 0], &scale[0, 0], &table[0, 0, 0], &row[0], unit, <size_t> row.shape[0],
                          <size_t> table.shape[0], <size_t> table.shape[1], <size_t> table.shape[2])


def add_bytes_back(float[:, ::1] dscale not None, const float[:, ::1] dout not None,
                   const uint8_t[:, :, ::1] table not None, const int64_t[::1] row not None, float unit):
    """Add unit * dout (N,V) . table (K,R,V) at k, row (N,) to dscale (N,K)."""
    shape("dout", dout.shape[0], dout.shape[1], row.shape[0], table.shape[2])
    shape("dscale", dscale.shape[0], dscale.shape[1], row.shape[0], table.shape[0])
    rows_in_table(row, "row", 0, table.shape[1])
    with nogil:
        kernels.add_bytes_back(&dscale[0, 0], &dout[0, 0], &table[0, 0, 0], &row[0], unit, <size_t> row.shape[0],
                               <size_t> table.shape[0], <size_t> table.shape[1], <size_t> table.shape[2])


# Softmax and its losses ------------------------------------------------------------------------------------------


def softmax(float[:, ::1] out not None, const float[:, ::1] x not None):
    """Set out (N,V) to the softmax of the rows of x (N,V); out may be x."""
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax(&out[0, 0], &x[0, 0], <size_t> x.shape[0], <size_t> x.shape[1])


def log_softmax(float[:, ::1] out not None, const float[:, ::1] x not None):
    """Set out (N,V) to the log of the softmax of the rows of x (N,V), in nats; out may be x."""
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    with nogil:
        kernels.log_softmax(&out[0, 0], &x[0, 0], <size_t> x.shape[0], <size_t> x.shape[1])


def cross_entropy(double[::1] loss not None, const float[:, ::1] x not None, const int32_t[::1] target not None):
    """Set loss (N,) to -log softmax(x)[target] in nats, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.cross_entropy(&loss[0], &x[0, 0], &target[0], <size_t> x.shape[0], <size_t> x.shape[1])


def softmax_cross_entropy(float[:, ::1] x not None, double[::1] loss not None, const int32_t[::1] target not None,
                          float scale):
    """Set loss (N,) as cross_entropy does, and x (N,V) to scale times its gradient, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax_cross_entropy(&x[0, 0], &loss[0], &target[0], scale, <size_t> x.shape[0],
                                      <size_t> x.shape[1])


def softmax_squared(float[:, ::1] x not None, double[::1] loss not None, const int32_t[::1] target not None,
                    float scale):
    """Set loss (N,) to |softmax(x) - onehot(target)|^2, x (N,V) to scale times its gradient, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax_squared(&x[0, 0], &loss[0], &target[0], scale, <size_t> x.shape[0], <size_t> x.shape[1])


# Elementwise: arrays of any shape and equal size -----------------------------------------------------------------


cdef int unary(one_input kernel, object out, object x) except -1:
    cdef _Flat o = flat(out, "out", True), a = flat(x, "x", False)
    same(a, "x", o.n)
    with nogil:
        kernel(o.at, a.at, o.n)
    return 0


cdef int binary(two_inputs kernel, object out, object a, str a_name, object b, str b_name) except -1:
    cdef _Flat o = flat(out, "out", True), left = flat(a, a_name, False), right = flat(b, b_name, False)
    same(left, a_name, o.n)
    same(right, b_name, o.n)
    with nogil:
        kernel(o.at, left.at, right.at, o.n)
    return 0


def add(out, x):
    """Add x to out."""
    unary(kernels.add, out, x)


def add_bias(float[:, ::1] x not None, const float[::1] bias not None):
    """Add bias (D,) to every row of x (N,D)."""
    extent("bias", bias.shape[0], x.shape[1])
    with nogil:
        kernels.add_bias(&x[0, 0], &bias[0], <size_t> x.shape[0], <size_t> x.shape[1])


def sum_rows(float[::1] dbias not None, const float[:, ::1] dx not None):
    """Add the sum of the rows of dx (N,D) to dbias (D,)."""
    extent("dbias", dbias.shape[0], dx.shape[1])
    with nogil:
        kernels.sum_rows(&dbias[0], &dx[0, 0], <size_t> dx.shape[0], <size_t> dx.shape[1])


def multiply(out, a, b):
    """Set out to a * b; out may be a or b."""
    binary(kernels.multiply, out, a, "a", b, "b")


def multiply_add(out, a, b):
    """Add a * b to out."""
    binary(kernels.multiply_add, out, a, "a", b, "b")


def tanh(out, x):
    """Set out to tanh(x); out may be x."""
    unary(kernels.tanh, out, x)


def tanh_back(dx, dout, out):
    """Add dout * (1 - out^2) to dx."""
    binary(kernels.tanh_back, dx, dout, "dout", out, "out")


def sigmoid(out, x):
    """Set out to 1 / (1 + exp(-x)); out may be x."""
    unary(kernels.sigmoid, out, x)


def sigmoid_back(dx, dout, out):
    """Add dout * out * (1 - out) to dx."""
    binary(kernels.sigmoid_back, dx, dout, "dout", out, "out")


def relu(out, x):
    """Set out to max(x, 0); out may be x."""
    unary(kernels.relu, out, x)


def relu_back(dx, dout, out):
    """Add dout to dx where out > 0."""
    binary(kernels.relu_back, dx, dout, "dout", out, "out")


def dropout(out, x, float keep, uint64_t seed, bint add):
    """Set out to x / keep with probability keep, else 0, by seed and position; if add, add to out instead."""
    cdef _Flat o = flat(out, "out", True), i = flat(x, "x", False)
    same(i, "x", o.n)
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep = {keep:g} is outside (0, 1]")
    with nogil:
        kernels.dropout(o.at, i.at, keep, seed, add, o.n)


include "_core_parts/optimizers.pxi"
include "_core_parts/ids.pxi"
include "_core_parts/coding.pxi"
include "_core_parts/pieces.pxi"
include "_core_parts/ngram.pxi"
include "_core_parts/runs.pxi"
include "_core_parts/prune.pxi"
include "_core_parts/arpa.pxi"
include "_core_parts/matrix.pxi"
include "_core_parts/dense.pxi"
include "_core_parts/cache.pxi"
include "_core_parts/factor.pxi"
include "_core_parts/attention.pxi"
include "_core_parts/panels.pxi"
include "_core_parts/lstm.pxi"
include "_core_parts/gru.pxi"
include "_core_parts/sru.pxi"
