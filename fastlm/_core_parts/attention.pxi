# Part of _core.pyx: attention, layer normalisation and GELU.


def layer_norm(float[:, ::1] out not None, float[:, ::1] moments not None, const float[:, ::1] x not None,
               const float[::1] gain not None, const float[::1] bias not None):
    """Set out (N,D) to the rows of x (N,D) scaled to mean 0 and variance 1, * gain (D,) + bias (D,); moments (N,2):
    mean and 1 / standard deviation."""
    cdef Py_ssize_t N = x.shape[0], D = x.shape[1]
    shape("out", out.shape[0], out.shape[1], N, D)
    shape("moments", moments.shape[0], moments.shape[1], N, 2)
    extent("gain", gain.shape[0], D)
    extent("bias", bias.shape[0], D)
    with nogil:
        kernels.layer_norm(&out[0, 0], &moments[0, 0], &x[0, 0], &gain[0], &bias[0], <size_t> N, <size_t> D)


def layer_norm_back(float[:, ::1] dx not None, float[::1] dgain not None, float[::1] dbias not None,
                    const float[:, ::1] dout not None, const float[:, ::1] x not None,
                    const float[:, ::1] moments not None, const float[::1] gain not None):
    """Add the gradients of layer_norm to dx (N,D), dgain and dbias (D,)."""
    cdef Py_ssize_t N = x.shape[0], D = x.shape[1]
    cdef double[::1] sums = numpy.empty(2 * D)
    shape("dx", dx.shape[0], dx.shape[1], N, D)
    shape("dout", dout.shape[0], dout.shape[1], N, D)
    shape("moments", moments.shape[0], moments.shape[1], N, 2)
    extent("gain", gain.shape[0], D)
    extent("dgain", dgain.shape[0], D)
    extent("dbias", dbias.shape[0], D)
    with nogil:
        kernels.layer_norm_back(&dx[0, 0], &dgain[0], &dbias[0], &sums[0], &dout[0, 0], &x[0, 0], &moments[0, 0],
                                &gain[0], <size_t> N, <size_t> D)


def gelu(float[:, ::1] out not None, float[:, ::1] slope, const float[:, ::1] x not None,
         const float[::1] bias not None):
    """Set out (N,D) to gelu(x (N,D) + bias (D,)), and slope (N,D), unless None, to its derivative; both may be x."""
    cdef float *derivative = NULL
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    extent("bias", bias.shape[0], x.shape[1])
    if slope is not None:
        shape("slope", slope.shape[0], slope.shape[1], x.shape[0], x.shape[1])
        derivative = &slope[0, 0]
    with nogil:
        kernels.gelu(&out[0, 0], derivative, &x[0, 0], &bias[0], <size_t> x.shape[0], <size_t> x.shape[1])


def multiply_sum(float[:, ::1] dx not None, float[::1] dbias not None, const float[:, ::1] slope not None):
    """Multiply dx (N,D) by slope (N,D), and add the sum of its rows to dbias (D,)."""
    shape("slope", slope.shape[0], slope.shape[1], dx.shape[0], dx.shape[1])
    extent("dbias", dbias.shape[0], dx.shape[1])
    with nogil:
        kernels.multiply_sum(&dx[0, 0], &dbias[0], &slope[0, 0], <size_t> dx.shape[0], <size_t> dx.shape[1])


def residual(float[:, ::1] out not None, const float[:, ::1] x not None, const float[::1] bias not None):
    """Add x (N,D) + bias (D,) to out (N,D)."""
    shape("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    extent("bias", bias.shape[0], out.shape[1])
    with nogil:
        kernels.residual(&out[0, 0], &x[0, 0], &bias[0], <size_t> out.shape[0], <size_t> out.shape[1])


def attention_spans(int64_t[::1] first not None, int64_t[::1] kept not None, const int64_t[::1] length not None,
                    const uint8_t[::1] starts, const size_t[::1] size not None, size_t window):
    """Set first (N,) to the first key that each row sees, of `window` keys at most (0: all), and kept (S,) to the
    entries that a sequence leaves behind; length (S,): those it begins with."""
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, first.shape[0], length.shape[0])
    extent("kept", kept.shape[0], length.shape[0])
    with nogil:
        kernels.attention_spans(&first[0], &kept[0], &length[0], begins, &size[0], <size_t> size.shape[0],
                                <size_t> length.shape[0], window)


cdef class Attention:
    """Attention over packed sequences; csrc/fastlm.h says what the arrays hold.

    qkv (N,3HD); past (S,L,2HD); slope (H,) float32; length (S,), first (N,), offset (T+1,) int64. They are referred to.
    """

    cdef flm_attention of
    cdef Py_ssize_t N
    cdef object _held

    def __cinit__(self, const float[:, ::1] qkv not None, const float[:, :, ::1] past not None,
                 const float[::1] slope not None, const int64_t[::1] length not None,
                 const int64_t[::1] first not None, const int64_t[::1] offset not None):
        cdef Py_ssize_t N = qkv.shape[0], S = length.shape[0], T = offset.shape[0] - 1, H = slope.shape[0], s
        cdef Py_ssize_t D = qkv.shape[1] // (3 * H) if H else 0
        if D == 0 or qkv.shape[1] != 3 * H * D:
            raise ValueError(f"qkv has {qkv.shape[1]} columns, expected a multiple of 3 for each of {H} heads")
        cube("past", past.shape[0], past.shape[1], past.shape[2], S, past.shape[1], 2 * H * D)
        extent("first", first.shape[0], N)
        if T < 0 or offset[0] != 0 or offset[T] != N:
            raise ValueError(f"offset goes to {offset[T] if T >= 0 else None}, expected 0 to {N}")
        for s in range(S):
            if not 0 <= length[s] <= past.shape[1]:
                raise ValueError(f"length[{s}] = {length[s]} is outside the past of {past.shape[1]}")
        self.N = N
        self._check_spans(length, first, offset, T, S)
        self.of.qkv, self.of.past, self.of.slope = &qkv[0, 0], &past[0, 0, 0], &slope[0]
        self.of.length, self.of.first, self.of.offset = &length[0], &first[0], &offset[0]
        self.of.T, self.of.S, self.of.L = <size_t> T, <size_t> S, <size_t> past.shape[1]
        self.of.H, self.of.D = <size_t> H, <size_t> D
        self._held = qkv, past, slope, length, first, offset

    cdef int _check_spans(self, const int64_t[::1] length, const int64_t[::1] first, const int64_t[::1] offset,
                          Py_ssize_t T, Py_ssize_t S) except -1:
        cdef Py_ssize_t t, s, rows, before = S
        cdef int64_t lowest
        for t in range(T):
            rows = offset[t + 1] - offset[t]
            if offset[t + 1] > self.N:
                raise ValueError(f"offset[{t + 1}] = {offset[t + 1]} is beyond the {self.N} rows")
            if not 0 <= rows <= before:
                raise ValueError(f"step {t} has {rows} rows, expected at most the {before} before it")
            before = rows
            for s in range(rows):
                lowest = first[offset[t - 1] + s] if t else 0
                if not lowest <= first[offset[t] + s] <= length[s] + t:
                    raise ValueError(f"first[{offset[t] + s}] = {first[offset[t] + s]}, expected {lowest} to "
                                     f"{length[s] + t}")
        return 0

    @property
    def scratch(self):
        """The floats of scratch that both passes need."""
        return kernels.attention_scratch(&self.of)

    def forward(self, float[:, ::1] out not None, float[:, ::1] log_sum not None, float[::1] scratch not None):
        """Set out (N,HD) to the attention, and log_sum (N,H) to the log of the exponentials' sums."""
        shape("out", out.shape[0], out.shape[1], self.N, <Py_ssize_t> (self.of.H * self.of.D))
        shape("log_sum", log_sum.shape[0], log_sum.shape[1], self.N, <Py_ssize_t> self.of.H)
        extent("scratch", scratch.shape[0], <Py_ssize_t> self.scratch)
        with nogil:
            kernels.attention_forward(&out[0, 0], &log_sum[0, 0], &scratch[0], &self.of)

    def backward(self, float[:, ::1] dqkv not None, float[::1] scratch not None, const float[:, ::1] dout not None,
                 const float[:, ::1] out not None, const float[:, ::1] log_sum not None):
        """Add the gradient to dqkv (N,3HD), given what forward gave and the gradient dout of out."""
        cdef Py_ssize_t width = <Py_ssize_t> (self.of.H * self.of.D)
        shape("dqkv", dqkv.shape[0], dqkv.shape[1], self.N, 3 * width)
        shape("dout", dout.shape[0], dout.shape[1], self.N, width)
        shape("out", out.shape[0], out.shape[1], self.N, width)
        shape("log_sum", log_sum.shape[0], log_sum.shape[1], self.N, <Py_ssize_t> self.of.H)
        extent("scratch", scratch.shape[0], <Py_ssize_t> self.scratch)
        with nogil:
            kernels.attention_backward(&dqkv[0, 0], &scratch[0], &dout[0, 0], &out[0, 0], &log_sum[0, 0], &self.of)

    def carry(self, float[:, :, ::1] after not None, const int64_t[::1] kept not None):
        """Set after (S,L',2HD) to the last kept (S,) entries of every sequence, zeros after them."""
        cdef Py_ssize_t s, S = <Py_ssize_t> self.of.S
        cube("after", after.shape[0], after.shape[1], after.shape[2], S, after.shape[1],
             <Py_ssize_t> (2 * self.of.H * self.of.D))
        extent("kept", kept.shape[0], S)
        for s in range(S):
            if not 0 <= kept[s] <= min(after.shape[1], self.of.length[s] + <int64_t> self.of.T):
                raise ValueError(f"kept[{s}] = {kept[s]} is more than after holds or the sequence has")
        with nogil:
            kernels.attention_carry(&after[0, 0, 0], &kept[0], <size_t> after.shape[1], &self.of)


def attention_step_scratch(size_t places):
    """Return how many floats of scratch `attention_step` needs for keys and values of so many places."""
    return kernels.attention_step_scratch(places)


def attention_step(float[:, ::1] out not None, float[::1] score not None, const float[:, ::1] qkv not None,
                   const float[:, :, :, ::1] keys not None, const float[:, :, :, ::1] values not None,
                   const float[::1] slope not None, const int64_t[::1] length not None, Py_ssize_t end):
    """Set out (S,HD) to the attention of one more row of every sequence, its key and value in place already.

    qkv (S,3HD), of which the queries are read; keys, values (S,H,P,D), where row s sees the length (S,) entries before
    place `end`; slope (H,); score: attention_step_scratch(P) floats of scratch.
    """
    cdef Py_ssize_t S = keys.shape[0], H = keys.shape[1], P = keys.shape[2], D = keys.shape[3], s
    if values.shape[0] != S or values.shape[1] != H or values.shape[2] != P or values.shape[3] != D:
        raise ValueError(f"values has shape ({values.shape[0]}, {values.shape[1]}, {values.shape[2]}, "
                         f"{values.shape[3]}), expected ({S}, {H}, {P}, {D})")
    shape("out", out.shape[0], out.shape[1], S, H * D)
    shape("qkv", qkv.shape[0], qkv.shape[1], S, 3 * H * D)
    extent("slope", slope.shape[0], H)
    extent("length", length.shape[0], S)
    extent("score", score.shape[0], <Py_ssize_t> kernels.attention_step_scratch(<size_t> P))
    if not 0 <= end <= P:
        raise ValueError(f"end = {end}, expected 0 to the {P} places there are")
    for s in range(S):
        if not 1 <= length[s] <= end:
            raise ValueError(f"length[{s}] = {length[s]}, expected 1 to {end}")
    with nogil:
        kernels.attention_step(&out[0, 0], &score[0], &qkv[0, 0], &keys[0, 0, 0, 0], &values[0, 0, 0, 0], &slope[0],
                               &length[0], <size_t> end, <size_t> S, <size_t> P, <size_t> H, <size_t> D)
