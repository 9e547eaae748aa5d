# Part of _core.pyx: LSTM layers.


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


def lstm_forward(float[:, ::1] h not None, float[:, ::1] c not None, float[:, :, ::1] gates not None,
                 float[:, ::1] h_prev not None, float[:, ::1] c_prev not None, const float[:, :, ::1] packed not None,
                 const float[:, :, ::1] inputs not None, const int64_t[::1] row, const uint8_t[::1] starts,
                 const size_t[::1] size not None):
    """A layer along time. inputs: panels of R rows, of which row n reads row[n], or its own where row is None; gates:
    panels of N rows, may be inputs then; h, c (N,H); h_prev, c_prev the same before each row, their first size[0] given.
    """
    cdef Py_ssize_t N = h.shape[0], H = h.shape[1], R = inputs.shape[1]
    cdef const uint8_t *begins = flags(starts)
    steps_of(size, starts, N)
    shape("c", c.shape[0], c.shape[1], N, H)
    shape("h_prev", h_prev.shape[0], h_prev.shape[1], N, H)
    shape("c_prev", c_prev.shape[0], c_prev.shape[1], N, H)
    panel_shape("gates", gates, N, H)
    panel_shape("packed", packed, H, H)
    cdef const int64_t *from_row = inputs_of(inputs, row, N, H, 4)
    with nogil:
        kernels.lstm_forward(&h[0, 0], &c[0, 0], &gates[0, 0, 0], &h_prev[0, 0], &c_prev[0, 0], &packed[0, 0, 0],
                             &inputs[0, 0, 0], from_row, begins, &size[0], <size_t> size.shape[0], <size_t> N,
                             <size_t> R, <size_t> H)


def lstm_backward(float[:, :, ::1] gates not None, float[:, ::1] dh not None, float[:, ::1] dc not None,
                  const float[:, ::1] c not None, const float[:, ::1] c_prev not None,
                  const float[::1] packed not None, const uint8_t[::1] starts, const size_t[::1] size not None):
    """The backward pass: gates become the gradient of the inputs, dh (N,H) the whole gradient of h; dc (S,H) is zeros,
    then scratch; packed: the recurrent matrix by panel_pack_back."""
    cdef Py_ssize_t N = dh.shape[0], H = dh.shape[1]
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, N, dc.shape[0])
    shape("dc", dc.shape[0], dc.shape[1], dc.shape[0], H)
    shape("c", c.shape[0], c.shape[1], N, H)
    shape("c_prev", c_prev.shape[0], c_prev.shape[1], N, H)
    panel_shape("gates", gates, N, H)
    packed_back_extent(packed, H, H, 4)
    with nogil:
        kernels.lstm_backward(&gates[0, 0, 0], &dh[0, 0], &dc[0, 0], &c[0, 0], &c_prev[0, 0], &packed[0], begins,
                              &size[0], <size_t> size.shape[0], <size_t> N, <size_t> H)


def lstm_step(float[:, ::1] h not None, float[:, ::1] c not None, float[:, ::1] gates not None,
              const float[:, ::1] x not None, Matrix input not None, Matrix recurrent not None,
              const float[::1] bias not None):
    """One step of a layer: x (S,D), input (D,4H), recurrent (H,4H), bias (4H,); h, c (S,H) in and out, gates scratch."""
    cdef Py_ssize_t S = h.shape[0], H = h.shape[1]
    shape("c", c.shape[0], c.shape[1], S, H)
    shape("gates", gates.shape[0], gates.shape[1], S, 4 * H)
    step_shapes(x, input, recurrent, S, H, 4)
    extent("bias", bias.shape[0], 4 * H)
    with nogil:
        kernels.lstm_step(&h[0, 0], &c[0, 0], &gates[0, 0], &x[0, 0], &input.matrix, &recurrent.matrix, &bias[0],
                          &h[0, 0], &c[0, 0], <size_t> S, <size_t> H)
