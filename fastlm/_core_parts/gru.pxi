# Part of _core.pyx: layers of gated recurrent units.


def gru_forward(float[:, ::1] h not None, float[:, :, ::1] gates not None, float[:, :, ::1] kept not None,
                float[:, ::1] h_prev not None, const float[:, :, ::1] packed not None, const float[::1] bias not None,
                const float[:, :, ::1] inputs not None, const int64_t[::1] row, const uint8_t[::1] starts,
                const size_t[::1] size not None):
    """A layer along time. inputs, row, h, h_prev, size as in lstm_forward; gates, kept: panels of N rows and 3 gates,
    gates may be inputs where row is None; bias (H,) of the third gate's recurrent product.
    """
    cdef Py_ssize_t N = h.shape[0], H = h.shape[1], R = inputs.shape[1]
    cdef const uint8_t *begins = flags(starts)
    steps_of(size, starts, N)
    shape("h_prev", h_prev.shape[0], h_prev.shape[1], N, H)
    panel_shape("gates", gates, N, H, 3)
    panel_shape("kept", kept, N, H, 3)
    panel_shape("packed", packed, H, H, 3)
    extent("bias", bias.shape[0], H)
    cdef const int64_t *from_row = inputs_of(inputs, row, N, H, 3)
    with nogil:
        kernels.gru_forward(&h[0, 0], &gates[0, 0, 0], &kept[0, 0, 0], &h_prev[0, 0], &packed[0, 0, 0], &bias[0],
                            &inputs[0, 0, 0], from_row, begins, &size[0], <size_t> size.shape[0], <size_t> N,
                            <size_t> R, <size_t> H)


def gru_backward(float[:, :, ::1] gates not None, float[:, :, ::1] kept not None, float[:, ::1] dh not None,
                 const float[:, ::1] h_prev not None, const float[::1] packed not None, const uint8_t[::1] starts,
                 const size_t[::1] size not None):
    """The backward pass: gates become the gradient of the inputs, kept that of the recurrent product with its bias, dh
    (N,H) the whole gradient of h; packed: the recurrent matrix by panel_pack_back."""
    cdef Py_ssize_t N = dh.shape[0], H = dh.shape[1]
    cdef const uint8_t *begins = flags(starts)
    steps_of(size, starts, N)
    shape("h_prev", h_prev.shape[0], h_prev.shape[1], N, H)
    panel_shape("gates", gates, N, H, 3)
    panel_shape("kept", kept, N, H, 3)
    packed_back_extent(packed, H, H, 3)
    with nogil:
        kernels.gru_backward(&gates[0, 0, 0], &kept[0, 0, 0], &dh[0, 0], &h_prev[0, 0], &packed[0], begins, &size[0],
                             <size_t> size.shape[0], <size_t> N, <size_t> H)


def gru_step(float[:, ::1] h not None, float[:, ::1] gates not None, float[:, ::1] kept not None,
             const float[:, ::1] x not None, Matrix input not None, Matrix recurrent not None,
             const float[::1] input_bias not None, const float[::1] bias not None):
    """One step of a layer: x (S,D), input (D,3H), recurrent (H,3H), input_bias (3H,), bias (H,); h (S,H) in and out,
    gates and kept (S,3H) scratch."""
    cdef Py_ssize_t S = h.shape[0], H = h.shape[1]
    shape("gates", gates.shape[0], gates.shape[1], S, 3 * H)
    shape("kept", kept.shape[0], kept.shape[1], S, 3 * H)
    step_shapes(x, input, recurrent, S, H, 3)
    extent("input_bias", input_bias.shape[0], 3 * H)
    extent("bias", bias.shape[0], H)
    with nogil:
        kernels.gru_step(&h[0, 0], &gates[0, 0], &kept[0, 0], &x[0, 0], &input.matrix, &recurrent.matrix,
                         &input_bias[0], &bias[0], &h[0, 0], <size_t> S, <size_t> H)
