# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True
"""The binding of the C kernels: checks shapes and ids once, releases the GIL, calls C, raises. No maths.

csrc/fastlm.h gives the formula and the shapes of every kernel; names and order of the arguments are the same here,
with the sizes taken from the shapes. Arrays are C-contiguous. An argument that does not fit raises ValueError, an id
or a row outside its table IndexError, each with the value and what was expected.
"""

import os

import numpy

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_GetBuffer)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

# Instruction sets ------------------------------------------------------------------------------------------------

cdef const flm_kernels *kernels = NULL
cdef tuple ALL_ISAS = ("portable", "avx2", "avx512")


def available_isas():
    """The instruction sets that this build and this processor have: a list out of portable, avx2, avx512."""
    return [name for name in ALL_ISAS if flm_kernels_for(name.encode()) != NULL]


def isa():
    """The instruction set in use."""
    return kernels.name.decode()


def use_isa(str name not None):
    """Switches every kernel to an instruction set; not while another thread is in one. RuntimeError if it is absent."""
    global kernels
    if name not in ALL_ISAS:
        raise RuntimeError(f"FASTLM_ISA = {name} is not one of {', '.join(ALL_ISAS)}")
    cdef const flm_kernels *found = flm_kernels_for(name.encode())
    if found == NULL:
        raise RuntimeError(f"FASTLM_ISA = {name} is not supported by this processor, which has "
                           + ", ".join(available_isas()))
    kernels = found


use_isa(os.environ.get("FASTLM_ISA") or max(available_isas(), key=ALL_ISAS.index))

# Checks ----------------------------------------------------------------------------------------------------------


cdef class Flat:
    """A float32 array of any shape, as one run of numbers."""
    cdef Py_buffer buffer
    cdef float *at
    cdef size_t n

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef Flat flat(object array, str name, bint write):
    cdef Flat view = Flat.__new__(Flat)
    PyObject_GetBuffer(array, &view.buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if write else 0))
    if view.buffer.format[0] != c'f' or view.buffer.format[1] != 0:
        raise ValueError(f"{name} has dtype {array.dtype}, expected float32")
    view.at = <float *> view.buffer.buf
    view.n = <size_t> view.buffer.len // sizeof(float)
    return view


cdef int same(Flat x, str name, size_t n) except -1:
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
    """lowest is -1 where a row may be absent, else 0."""
    cdef Py_ssize_t n
    for n in range(row.shape[0]):
        if row[n] < lowest or row[n] >= R:
            raise IndexError(f"{name}[{n}] = {row[n]} is outside the table of {R} rows")
    return 0


cdef int targets(const int32_t[::1] target, Py_ssize_t N, Py_ssize_t V) except -1:
    cdef Py_ssize_t n
    extent("target", target.shape[0], N)
    for n in range(N):
        if target[n] < -1 or target[n] >= V:
            raise IndexError(f"target[{n}] = {target[n]} is outside the vocabulary of {V}")
    return 0


cdef int packed(const size_t[::1] size, const uint8_t[::1] starts, Py_ssize_t N, Py_ssize_t S) except -1:
    """N rows of at most S sequences, sizes never growing."""
    cdef size_t total = 0, last = <size_t> S
    cdef Py_ssize_t t
    for t in range(size.shape[0]):
        if size[t] > last:
            raise ValueError(f"size[{t}] = {size[t]} is more than the {last} sequences before it")
        last = size[t]
        total += last
    if total != <size_t> N:
        raise ValueError(f"size adds up to {total} rows, expected {N}")
    if starts is not None:
        extent("starts", starts.shape[0], N)
    return 0


cdef inline const uint8_t *flags(const uint8_t[::1] starts) noexcept:
    if starts is None:
        return NULL
    return &starts[0]


def check_ids(const int32_t[::1] ids not None, size_t vocab_size):
    """Raises IndexError unless every id of ids (N,) lies in [0, vocab_size)."""
    cdef size_t N = <size_t> ids.shape[0], n
    with nogil:
        n = flm_first_bad_id(&ids[0], N, vocab_size)
    if n < N:
        raise IndexError(f"ids[{n}] = {ids[n]} is outside the vocabulary of {vocab_size}")


# Rows ------------------------------------------------------------------------------------------------------------


cdef int by_row(of_rows kernel, float[:, ::1] out, const float[:, ::1] x, const int64_t[::1] row) except -1:
    cdef size_t N = <size_t> row.shape[0], D = <size_t> out.shape[1]
    with nogil:
        kernel(&out[0, 0], &x[0, 0], &row[0], N, D)
    return 0


def gather(float[:, ::1] out not None, const float[:, ::1] table not None, const int64_t[::1] row not None):
    """out (N,D) = table (R,D) at row (N,), zeros where row is -1."""
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[1])
    rows_in_table(row, "row", -1, table.shape[0])
    by_row(kernels.gather, out, table, row)


def gather_add(float[:, ::1] out not None, const float[:, ::1] table not None, const int64_t[::1] row not None):
    """out (N,D) += table (R,D) at row (N,), nothing where row is -1."""
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[1])
    rows_in_table(row, "row", -1, table.shape[0])
    by_row(kernels.gather_add, out, table, row)


def scatter_add(float[:, ::1] dtable not None, const float[:, ::1] dout not None, const int64_t[::1] row not None):
    """dtable (R,D) at row (N,) += dout (N,D), nothing where row is -1."""
    shape("dout", dout.shape[0], dout.shape[1], row.shape[0], dtable.shape[1])
    rows_in_table(row, "row", -1, dtable.shape[0])
    by_row(kernels.scatter_add, dtable, dout, row)


def position_rows(int64_t[::1] row not None, int64_t[::1] position not None, const int32_t[::1] ids not None,
                  const uint8_t[::1] starts, const size_t[::1] size not None, size_t max_length, size_t vocab_size):
    """row (N,) = position * vocab_size + ids, -1 from max_length on; position (S,) int64 counts the tokens read."""
    packed(size, starts, ids.shape[0], position.shape[0])
    extent("row", row.shape[0], ids.shape[0])
    check_ids(ids, vocab_size)
    cdef const uint8_t *begins = flags(starts)
    with nogil:
        kernels.position_rows(&row[0], &position[0], &ids[0], begins, &size[0], <size_t> size.shape[0],
                              max_length, vocab_size)


def prefix_sum(float[:, ::1] out not None, float[:, ::1] carry not None, const float[:, ::1] table not None,
               const float[::1] bias, const int64_t[::1] row not None, const uint8_t[::1] starts,
               const size_t[::1] size not None):
    """carry (S,V) += table (R,V) at row (N,); out (N,V) = bias (V,) or None + carry."""
    cdef const float *constant = NULL
    cdef const uint8_t *begins = flags(starts)
    packed(size, starts, row.shape[0], carry.shape[0])
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
    """The way back of prefix_sum: adds to dtable (R,V) from dout (N,V); running (S,V) is zeros, then scratch."""
    cdef const uint8_t *begins = flags(starts)
    packed(size, starts, row.shape[0], running.shape[0])
    shape("dout", dout.shape[0], dout.shape[1], row.shape[0], dtable.shape[1])
    shape("running", running.shape[0], running.shape[1], running.shape[0], dtable.shape[1])
    rows_in_table(row, "row", -1, dtable.shape[0])
    with nogil:
        kernels.suffix_sum(&dtable[0, 0], &running[0, 0], &dout[0, 0], &row[0], begins, &size[0],
                           <size_t> size.shape[0], <size_t> dout.shape[1])


def decayed_sum(float[:, :, ::1] out not None, float[:, :, ::1] carry not None, const float[:, ::1] x not None,
                const float[::1] rate not None, const uint8_t[::1] starts, const size_t[::1] size not None):
    """carry (S,K,D) = rate (K,) * carry + x (N,D); out (N,K,D) = carry."""
    cdef const uint8_t *begins = flags(starts)
    cdef Py_ssize_t K = rate.shape[0], D = x.shape[1]
    packed(size, starts, x.shape[0], carry.shape[0])
    cube("out", out.shape[0], out.shape[1], out.shape[2], x.shape[0], K, D)
    cube("carry", carry.shape[0], carry.shape[1], carry.shape[2], carry.shape[0], K, D)
    with nogil:
        kernels.decayed_sum(&out[0, 0, 0], &carry[0, 0, 0], &x[0, 0], &rate[0], begins, &size[0],
                            <size_t> size.shape[0], <size_t> K, <size_t> D)


def decayed_sum_back(float[:, ::1] dx not None, float[:, :, ::1] running not None,
                     const float[:, :, ::1] dout not None, const float[::1] rate not None,
                     const uint8_t[::1] starts, const size_t[::1] size not None):
    """The way back of decayed_sum: adds to dx (N,D) from dout (N,K,D); running (S,K,D) is zeros, then scratch."""
    cdef const uint8_t *begins = flags(starts)
    cdef Py_ssize_t K = rate.shape[0], D = dx.shape[1]
    packed(size, starts, dx.shape[0], running.shape[0])
    cube("dout", dout.shape[0], dout.shape[1], dout.shape[2], dx.shape[0], K, D)
    cube("running", running.shape[0], running.shape[1], running.shape[2], running.shape[0], K, D)
    with nogil:
        kernels.decayed_sum_back(&dx[0, 0], &running[0, 0, 0], &dout[0, 0, 0], &rate[0], begins, &size[0],
                                 <size_t> size.shape[0], <size_t> K, <size_t> D)


def last_ids(int64_t[:, ::1] out not None, int64_t[:, ::1] carry not None, const int32_t[::1] ids not None,
             const uint8_t[::1] starts, const size_t[::1] size not None):
    """out (N,L) = the last L ids, newest first, -1 before the start; carry (S,L-1) the same before the first row."""
    cdef const uint8_t *begins = flags(starts)
    if out.shape[1] < 1:
        raise ValueError(f"out has shape ({out.shape[0]}, 0), expected at least one column")
    packed(size, starts, ids.shape[0], carry.shape[0])
    shape("out", out.shape[0], out.shape[1], ids.shape[0], out.shape[1])
    shape("carry", carry.shape[0], carry.shape[1], carry.shape[0], out.shape[1] - 1)
    with nogil:
        kernels.last_ids(&out[0, 0], &carry[0, 0], &ids[0], begins, &size[0], <size_t> size.shape[0],
                         <size_t> out.shape[1])


# Softmax and its losses ------------------------------------------------------------------------------------------


def softmax(float[:, ::1] out not None, const float[:, ::1] x not None):
    """out (N,V) = the softmax of the rows of x (N,V); out may be x."""
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax(&out[0, 0], &x[0, 0], <size_t> x.shape[0], <size_t> x.shape[1])


def log_softmax(float[:, ::1] out not None, const float[:, ::1] x not None):
    """out (N,V) = the log of the softmax of the rows of x (N,V), in nats; out may be x."""
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    with nogil:
        kernels.log_softmax(&out[0, 0], &x[0, 0], <size_t> x.shape[0], <size_t> x.shape[1])


def cross_entropy(double[::1] loss not None, const float[:, ::1] x not None, const int32_t[::1] target not None):
    """loss (N,) = -log softmax(x)[target] in nats, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.cross_entropy(&loss[0], &x[0, 0], &target[0], <size_t> x.shape[0], <size_t> x.shape[1])


def softmax_cross_entropy(float[:, ::1] x not None, double[::1] loss not None, const int32_t[::1] target not None,
                          float scale):
    """loss (N,) as cross_entropy; x (N,V) becomes scale times its gradient, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax_cross_entropy(&x[0, 0], &loss[0], &target[0], scale, <size_t> x.shape[0],
                                      <size_t> x.shape[1])


def softmax_squared(float[:, ::1] x not None, double[::1] loss not None, const int32_t[::1] target not None,
                    float scale):
    """loss (N,) = |softmax(x) - onehot(target)|^2; x (N,V) becomes scale times its gradient, 0 where target is -1."""
    extent("loss", loss.shape[0], x.shape[0])
    targets(target, x.shape[0], x.shape[1])
    with nogil:
        kernels.softmax_squared(&x[0, 0], &loss[0], &target[0], scale, <size_t> x.shape[0], <size_t> x.shape[1])


# Elementwise: arrays of any shape and equal size -----------------------------------------------------------------


cdef int unary(one_input kernel, object out, object x) except -1:
    cdef Flat o = flat(out, "out", True), a = flat(x, "x", False)
    same(a, "x", o.n)
    with nogil:
        kernel(o.at, a.at, o.n)
    return 0


cdef int binary(two_inputs kernel, object out, object a, str a_name, object b, str b_name) except -1:
    cdef Flat o = flat(out, "out", True), left = flat(a, a_name, False), right = flat(b, b_name, False)
    same(left, a_name, o.n)
    same(right, b_name, o.n)
    with nogil:
        kernel(o.at, left.at, right.at, o.n)
    return 0


def add(out, x):
    """out += x."""
    unary(kernels.add, out, x)


def scale_add(out, x, float a):
    """out += a * x."""
    cdef Flat o = flat(out, "out", True), i = flat(x, "x", False)
    same(i, "x", o.n)
    with nogil:
        kernels.scale_add(o.at, i.at, a, o.n)


def add_bias(float[:, ::1] x not None, const float[::1] bias not None):
    """x (N,D) += bias (D,) in every row."""
    extent("bias", bias.shape[0], x.shape[1])
    with nogil:
        kernels.add_bias(&x[0, 0], &bias[0], <size_t> x.shape[0], <size_t> x.shape[1])


def sum_rows(float[::1] dbias not None, const float[:, ::1] dx not None):
    """dbias (D,) += the sum of the rows of dx (N,D)."""
    extent("dbias", dbias.shape[0], dx.shape[1])
    with nogil:
        kernels.sum_rows(&dbias[0], &dx[0, 0], <size_t> dx.shape[0], <size_t> dx.shape[1])


def multiply(out, a, b):
    """out = a * b; out may be a or b."""
    binary(kernels.multiply, out, a, "a", b, "b")


def multiply_add(out, a, b):
    """out += a * b."""
    binary(kernels.multiply_add, out, a, "a", b, "b")


def tanh(out, x):
    """out = tanh(x); out may be x."""
    unary(kernels.tanh, out, x)


def tanh_back(dx, dout, out):
    """dx += dout * (1 - out^2)."""
    binary(kernels.tanh_back, dx, dout, "dout", out, "out")


def sigmoid(out, x):
    """out = 1 / (1 + exp(-x)); out may be x."""
    unary(kernels.sigmoid, out, x)


def sigmoid_back(dx, dout, out):
    """dx += dout * out * (1 - out)."""
    binary(kernels.sigmoid_back, dx, dout, "dout", out, "out")


def relu(out, x):
    """out = max(x, 0); out may be x."""
    unary(kernels.relu, out, x)


def relu_back(dx, dout, out):
    """dx += dout where out > 0."""
    binary(kernels.relu_back, dx, dout, "dout", out, "out")


def dropout(out, x, float keep, uint64_t seed, bint add):
    """out = x / keep with probability keep, else 0, the choice a function of seed and place; added to out if add."""
    cdef Flat o = flat(out, "out", True), i = flat(x, "x", False)
    same(i, "x", o.n)
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep = {keep:g} is outside (0, 1]")
    with nogil:
        kernels.dropout(o.at, i.at, keep, seed, add, o.n)


# LSTM ------------------------------------------------------------------------------------------------------------


def lstm_gates(float[:, ::1] h not None, float[:, ::1] c not None, float[:, ::1] gates not None,
               const float[:, ::1] recurrent, const float[:, ::1] c_prev):
    """gates (B,4H) in the order i f g o get their nonlinearities in place; h, c (B,H); the last two may be None."""
    cdef Py_ssize_t B = h.shape[0], H = h.shape[1]
    cdef const float *from_h = NULL
    cdef const float *from_c = NULL
    shape("c", c.shape[0], c.shape[1], B, H)
    shape("gates", gates.shape[0], gates.shape[1], B, 4 * H)
    if recurrent is not None:
        shape("recurrent", recurrent.shape[0], recurrent.shape[1], B, 4 * H)
        from_h = &recurrent[0, 0]
    if c_prev is not None:
        shape("c_prev", c_prev.shape[0], c_prev.shape[1], B, H)
        from_c = &c_prev[0, 0]
    with nogil:
        kernels.lstm_gates(&h[0, 0], &c[0, 0], &gates[0, 0], from_h, from_c, <size_t> B, <size_t> H)


def lstm_gates_back(float[:, ::1] dgates not None, float[:, ::1] dc not None, const float[:, ::1] dh not None,
                    const float[:, ::1] gates not None, const float[:, ::1] c not None, const float[:, ::1] c_prev):
    """dgates (B,4H) assigned, may be gates; dc (B,H) becomes the gradient of c_prev (B,H) or None."""
    cdef Py_ssize_t B = dh.shape[0], H = dh.shape[1]
    cdef const float *from_c = NULL
    shape("dgates", dgates.shape[0], dgates.shape[1], B, 4 * H)
    shape("dc", dc.shape[0], dc.shape[1], B, H)
    shape("gates", gates.shape[0], gates.shape[1], B, 4 * H)
    shape("c", c.shape[0], c.shape[1], B, H)
    if c_prev is not None:
        shape("c_prev", c_prev.shape[0], c_prev.shape[1], B, H)
        from_c = &c_prev[0, 0]
    with nogil:
        kernels.lstm_gates_back(&dgates[0, 0], &dc[0, 0], &dh[0, 0], &gates[0, 0], &c[0, 0], from_c, <size_t> B,
                                <size_t> H)


# Optimisers ------------------------------------------------------------------------------------------------------


cdef class Rate:
    """One step's constants: learning rate, gradient scale, coefficient of l2/2 |p|^2, decoupled decay, and the rest."""
    cdef flm_rate rate

    def __init__(self, *, float lr, float scale=1.0, float l2=0.0, float decay=0.0, float momentum=0.0,
                 double beta1=0.9, double beta2=0.999, float epsilon=1e-8, float correct1=1.0, float correct2=1.0):
        self.rate = flm_rate(lr=lr, scale=scale, l2=l2, decay=decay, momentum=momentum, beta1=beta1, beta2=beta2,
                             epsilon=epsilon, correct1=correct1, correct2=correct2)


cdef enum Method:
    SGD, MOMENTUM, ADAGRAD, ADAMW


cdef int step(Method method, object p, object first, str first_name, object second, object g, Rate rate,
              const int64_t[::1] rows) except -1:
    """One optimiser step over all of p, or over some rows of a table p. The arrays a method has not are p again."""
    cdef Flat a = flat(p, "p", True), b = flat(first, first_name, True), c = flat(second, "v", True)
    cdef Flat z = flat(g, "g", True)
    cdef size_t D = a.n, count = 1, i, at = 0
    same(b, first_name, a.n)
    same(c, "v", a.n)
    same(z, "g", a.n)
    if rows is not None:
        if a.buffer.ndim != 2:
            raise ValueError(f"p has {a.buffer.ndim} dimensions, expected 2")
        rows_in_table(rows, "rows", 0, a.buffer.shape[0])
        count = <size_t> rows.shape[0]
        D = <size_t> a.buffer.shape[1]
    with nogil:
        for i in range(count):
            if rows is not None:
                at = <size_t> rows[i] * D
            if method == SGD:
                kernels.sgd(a.at + at, z.at + at, D, &rate.rate)
            elif method == MOMENTUM:
                kernels.momentum(a.at + at, b.at + at, z.at + at, D, &rate.rate)
            elif method == ADAGRAD:
                kernels.adagrad(a.at + at, b.at + at, z.at + at, D, &rate.rate)
            else:
                kernels.adamw(a.at + at, b.at + at, c.at + at, z.at + at, D, &rate.rate)
    return 0


def sgd(p, g, Rate rate not None):
    """p -= lr * (scale * g + l2 * p) + lr * decay * p; g = 0."""
    step(SGD, p, p, "p", p, g, rate, None)


def momentum(p, v, g, Rate rate not None):
    """v = momentum * v + gradient; p -= lr * v; g = 0."""
    step(MOMENTUM, p, v, "v", p, g, rate, None)


def adagrad(p, a, g, Rate rate not None):
    """a += gradient^2; p -= lr * gradient / (sqrt(a) + epsilon); g = 0."""
    step(ADAGRAD, p, a, "a", p, g, rate, None)


def adamw(p, m, v, g, Rate rate not None):
    """AdamW with the moments m and v, corrected by correct1 and correct2; g = 0."""
    step(ADAMW, p, m, "m", v, g, rate, None)


def sgd_rows(p, g, const int64_t[::1] rows not None, Rate rate not None):
    """sgd on the rows (R,) of p (N,D) only; each row at most once, here and below."""
    step(SGD, p, p, "p", p, g, rate, rows)


def momentum_rows(p, v, g, const int64_t[::1] rows not None, Rate rate not None):
    """momentum on the rows (R,) of p (N,D) only."""
    step(MOMENTUM, p, v, "v", p, g, rate, rows)


def adagrad_rows(p, a, g, const int64_t[::1] rows not None, Rate rate not None):
    """adagrad on the rows (R,) of p (N,D) only."""
    step(ADAGRAD, p, a, "a", p, g, rate, rows)


def adamw_rows(p, m, v, g, const int64_t[::1] rows not None, Rate rate not None):
    """adamw on the rows (R,) of p (N,D) only."""
    step(ADAMW, p, m, "m", v, g, rate, rows)


def sum_squares(x):
    """The sum of the squares of x, any shape, in double."""
    cdef Flat a = flat(x, "x", False)
    cdef double total
    with nogil:
        total = kernels.sum_squares(a.at, a.n)
    return total


def sum_squares_rows(const float[:, ::1] x not None, const int64_t[::1] rows not None):
    """The sum of the squares of the rows (R,) of x (N,D), in double."""
    cdef double total = 0.0
    cdef size_t i
    rows_in_table(rows, "rows", 0, x.shape[0])
    with nogil:
        for i in range(<size_t> rows.shape[0]):
            total += kernels.sum_squares(&x[rows[i], 0], <size_t> x.shape[1])
    return total


def add_rows(float[:, ::1] out not None, float[:, ::1] x not None, const int64_t[::1] rows not None):
    """out[rows] += x[rows], then x[rows] = 0; out and x (N,D), rows (R,) each at most once."""
    cdef size_t i, D = <size_t> out.shape[1]
    shape("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    rows_in_table(rows, "rows", 0, out.shape[0])
    with nogil:
        for i in range(<size_t> rows.shape[0]):
            kernels.add(&out[rows[i], 0], &x[rows[i], 0], D)
            memset(&x[rows[i], 0], 0, D * sizeof(float))


# Choosing ids ----------------------------------------------------------------------------------------------------


def sample(const float[::1] x not None, double temperature, size_t top_k, double top_p, double u,
           double[::1] scratch_p not None, int32_t[::1] scratch_order not None):
    """An id from softmax(x (V,) / temperature) cut to the top_k likeliest (0: all), then to mass top_p (1: all).

    u in [0, 1) is the draw; temperature 0 takes the largest. scratch_p (V,) float64, scratch_order (V,) int32.
    """
    cdef Py_ssize_t V = x.shape[0]
    cdef int32_t drawn
    if V == 0:
        raise ValueError("x has 0 elements, expected at least 1")
    extent("scratch_p", scratch_p.shape[0], V)
    extent("scratch_order", scratch_order.shape[0], V)
    if not 0.0 <= temperature <= 1e300:
        raise ValueError(f"temperature = {temperature:g} is not a finite number from 0 on")
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p = {top_p:g} is outside (0, 1]")
    if not 0.0 <= u < 1.0:
        raise ValueError(f"u = {u:g} is outside [0, 1)")
    with nogil:
        drawn = flm_sample(&scratch_p[0], &scratch_order[0], &x[0], temperature, top_k, top_p, u, <size_t> V)
    if drawn < 0:
        raise ValueError("x has a NaN or no finite largest element")
    return drawn


def top_k(const float[::1] x not None, size_t k):
    """The ids of the k largest of x (V,), largest first, ties to the lower id: int32 (min(k, V),)."""
    cdef int32_t[::1] order = numpy.empty(x.shape[0], dtype=numpy.int32)
    with nogil:
        flm_top_k(&order[0], &x[0], k, <size_t> x.shape[0])
    return order.base[:k].copy()


# Words -----------------------------------------------------------------------------------------------------------


cdef class WordTable:
    """Words numbered in a hash table (csrc/words.c): `learn` adds the unseen ones, `find` leaves the table as it is.

    blob (uint8) and offsets (int64, V+1): word i is blob[offsets[i]:offsets[i+1]], empty where id i has no word.
    Raises ValueError where two ids have the same word.
    """

    cdef flm_words words
    cdef object _blob, _offset, _slot

    def __init__(self, blob, offsets):
        cdef size_t duplicate
        blob, offsets = numpy.array(blob, numpy.uint8), numpy.array(offsets, numpy.int64)
        if not len(offsets) or offsets[0] != 0 or offsets[len(offsets) - 1] != len(blob) or (numpy.diff(offsets) < 0).any():
            raise ValueError(f"offsets do not rise from 0 to the {len(blob)} bytes of the blob")
        self.words.size = len(offsets) - 1
        self._store(blob, offsets.astype(numpy.uintp), 1 << max(4, int(4 * self.words.size).bit_length()))
        with nogil:
            duplicate = flm_words_index(&self.words)
        if duplicate != self.words.size:
            word = blob[offsets[duplicate]:offsets[duplicate + 1]].tobytes().decode("utf-8", "replace")
            raise ValueError(f"the token {word!r} has two ids, the second {duplicate}")

    cdef _store(self, blob, offset, slots):
        """Hands the arrays to C, a fresh slot array where `slots` is not 0; an empty array still needs an address."""
        cdef uint8_t[::1] blob_view
        cdef size_t[::1] offset_view = offset
        cdef uint64_t[::1] slot_view
        if len(blob) == 0:
            blob = numpy.zeros(1, numpy.uint8)
        blob_view = blob
        if slots:
            self._slot = numpy.empty(slots, numpy.uint64)
            slot_view = self._slot
            self.words.slot = &slot_view[0]
            self.words.slots = slots
        self._blob, self._offset = blob, offset
        self.words.blob, self.words.bytes = &blob_view[0], len(blob)
        self.words.offset, self.words.capacity = &offset_view[0], len(offset) - 1

    def __len__(self):
        return self.words.size

    def learn(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None, int newline):
        """Ids of the words of text[position:], unseen ones becoming new words; "\\n" has the id newline, or -1: none.

        Returns (position, written): position is len(text) unless ids was too short to hold them all.
        """
        return self._walk(True, text, position, ids, newline)

    def find(self, const uint8_t[::1] text not None, size_t position, int32_t[::1] ids not None, int newline):
        """The same against the table as it is: an unseen word has the id -1. Threads may share a table."""
        return self._walk(False, text, position, ids, newline)

    cdef _walk(self, bint learn, const uint8_t[::1] text, size_t position, int32_t[::1] ids, int newline):
        cdef size_t written = 0, n = <size_t> text.shape[0], room = <size_t> ids.shape[0]
        cdef const uint8_t *first = &text[0] if n else NULL
        cdef int32_t *id = &ids[0] if room else NULL
        cdef int status
        if position > n:
            raise ValueError(f"position = {position} is past the {n} bytes of the text")
        while True:
            with nogil:
                if learn:
                    status = flm_words_learn(&self.words, id, &written, room, first, &position, n, newline)
                else:
                    status = flm_words_find(&self.words, id, &written, room, first, &position, n, newline)
            if status == FLM_WORDS_WORDS_FULL:
                self._store(self._blob, longer(self._offset), 0)
            elif status == FLM_WORDS_BLOB_FULL:
                self._store(longer(self._blob), self._offset, 0)
            elif status == FLM_WORDS_SLOTS_FULL:
                self._store(self._blob, self._offset, 2 * self.words.slots)
                with nogil:
                    flm_words_index(&self.words)
            else:
                return position, written

    def arrays(self):
        """Copies of (blob uint8, offsets int64 (V+1)), as the constructor takes them."""
        cdef size_t size = self.words.size
        offsets = self._offset[:size + 1].astype(numpy.int64)
        return self._blob[:offsets[size]].copy(), offsets


cdef longer(array):
    grown = numpy.empty(2 * len(array) + 62, array.dtype)
    if array.dtype == numpy.uintp and len(grown) > 2**31:
        raise OverflowError(f"there are {len(array) - 1} different words; a table holds fewer than {2**31}")
    grown[:len(array)] = array
    return grown
