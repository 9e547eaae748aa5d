# Part of _core.pyx: simple recurrent units, and what stands between them.


def relu_squared(out, x):
    """Set out to max(x, 0)^2."""
    unary(kernels.relu_squared, out, x)


def relu_squared_back(dx, dout, x):
    """Add dout * 2 max(x, 0) to dx."""
    binary(kernels.relu_squared_back, dx, dout, "dout", x, "x")


def rms_norm(float[:, ::1] out not None, float[::1] scale not None, const float[:, ::1] x not None):
    """Set out (N,D) to x (N,D) * scale (N,), and scale to 1 / sqrt(the mean of a row's squares + 1e-6)."""
    shape("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    extent("scale", scale.shape[0], x.shape[0])
    with nogil:
        kernels.rms_norm(&out[0, 0], &scale[0], &x[0, 0], <size_t> x.shape[0], <size_t> x.shape[1])


def rms_norm_back(float[:, ::1] dx not None, const float[:, ::1] dout not None, const float[:, ::1] out not None,
                  const float[::1] scale not None):
    """Add scale * (dout - out * the mean of dout * out over each row) to dx (N,D)."""
    shape("dout", dout.shape[0], dout.shape[1], dx.shape[0], dx.shape[1])
    shape("out", out.shape[0], out.shape[1], dx.shape[0], dx.shape[1])
    extent("scale", scale.shape[0], dx.shape[0])
    with nogil:
        kernels.rms_norm_back(&dx[0, 0], &dout[0, 0], &out[0, 0], &scale[0], <size_t> dx.shape[0],
                              <size_t> dx.shape[1])


def sru_forward(float[:, ::1] h not None, float[:, ::1] c not None, float[:, ::1] gates not None,
                float[:, ::1] carry not None, const uint8_t[::1] starts, const size_t[::1] size not None):
    """Run a layer along time: gates (N,3H) in the order f x r, f and r through the sigmoid in place; h, c (N,H)
    assigned; carry (S,H) in and out."""
    cdef Py_ssize_t N = h.shape[0], H = h.shape[1]
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, N, carry.shape[0])
    shape("c", c.shape[0], c.shape[1], N, H)
    shape("gates", gates.shape[0], gates.shape[1], N, 3 * H)
    shape("carry", carry.shape[0], carry.shape[1], carry.shape[0], H)
    with nogil:
        kernels.sru_forward(&h[0, 0], &c[0, 0], &gates[0, 0], &carry[0, 0], begins, &size[0], <size_t> size.shape[0],
                            <size_t> H)


def sru_backward(float[:, ::1] gates not None, float[:, ::1] dc not None, const float[:, ::1] dh not None,
                 const float[:, ::1] c not None, const float[:, ::1] first not None, const uint8_t[::1] starts,
                 const size_t[::1] size not None):
    """Run a layer backward: gates become the gradient of what they were before the sigmoids; dc (S,H) is zeros, then
    scratch; first (S,H): the carry before sru_forward."""
    cdef Py_ssize_t N = dh.shape[0], H = dh.shape[1]
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, N, dc.shape[0])
    shape("gates", gates.shape[0], gates.shape[1], N, 3 * H)
    shape("dc", dc.shape[0], dc.shape[1], dc.shape[0], H)
    shape("c", c.shape[0], c.shape[1], N, H)
    shape("first", first.shape[0], first.shape[1], dc.shape[0], H)
    with nogil:
        kernels.sru_backward(&gates[0, 0], &dc[0, 0], &dh[0, 0], &c[0, 0], &first[0, 0], begins, &size[0],
                             <size_t> size.shape[0], <size_t> H)
