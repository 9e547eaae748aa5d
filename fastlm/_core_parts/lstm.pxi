# Part of _core.pyx: products with gate panels, and LSTM layers.
#
# The panels of (R,GH), G = 3 or 4, are an array (ceil(H/16), R, 16G); csrc/product.c says what lies where.


cdef Py_ssize_t panels_of(Py_ssize_t H) noexcept:
    return (H + 15) // 16


cdef int panel_shape(str name, const float[:, :, ::1] panels, Py_ssize_t R, Py_ssize_t H, Py_ssize_t G=4) except -1:
    return cube(name, panels.shape[0], panels.shape[1], panels.shape[2], panels_of(H), R, 16 * G)


cdef Py_ssize_t gates_in(str name, const float[:, :, ::1] panels) except -1:
    """G of some panels."""
    if panels.shape[2] != 48 and panels.shape[2] != 64:
        raise ValueError(f"{name} has {panels.shape[2]} columns a panel, expected 48 or 64")
    return panels.shape[2] // 16


cdef Py_ssize_t units_of(str name, Py_ssize_t columns, Py_ssize_t G) except -1:
    """H of a matrix (K,GH)."""
    if G != 3 and G != 4:
        raise ValueError(f"gates = {G}, expected 3 or 4")
    if columns % G:
        raise ValueError(f"{name} has {columns} columns, expected a multiple of {G}")
    return columns // G


cdef const int64_t *inputs_of(const float[:, :, ::1] inputs, const int64_t[::1] row, Py_ssize_t N, Py_ssize_t H,
                              Py_ssize_t G) except? NULL:
    """Checks what a layer of N rows reads: panels of as many rows, or, at `row` (N,), of any number. Returns row."""
    panel_shape("inputs", inputs, N if row is None else inputs.shape[1], H, G)
    if row is None:
        return NULL
    extent("row", row.shape[0], N)
    rows_in_table(row, "row", 0, inputs.shape[1])
    return &row[0]


cdef int steps_of(const size_t[::1] size, const uint8_t[::1] starts, Py_ssize_t N) except -1:
    """Checks N rows of packed sequences, of as many sequences as the first step has."""
    return packed_sequences(size, starts, N, <Py_ssize_t> size[0] if size.shape[0] else 0)


def panel_pack(float[:, :, ::1] out not None, const float[:, ::1] w not None):
    """out = w (K,GH) as the panels of K rows that panel_product, lstm_forward and gru_forward read."""
    cdef Py_ssize_t G = gates_in("out", out), H = units_of("w", w.shape[1], G)
    panel_shape("out", out, w.shape[0], H, G)
    with nogil:
        kernels.panel_pack(&out[0, 0, 0], &w[0, 0], <size_t> w.shape[0], <size_t> H, <size_t> G)


def panel_pack_back(float[::1] out not None, const float[:, ::1] w not None, Py_ssize_t gates=4):
    """out (16 gates ceil(H/16) * 16 ceil(K/16),) = w (K, gates*H) transposed, as the ways back read it."""
    cdef Py_ssize_t H = units_of("w", w.shape[1], gates)
    extent("out", out.shape[0], 16 * gates * panels_of(H) * 16 * panels_of(w.shape[0]))
    with nogil:
        kernels.panel_pack_back(&out[0], &w[0, 0], <size_t> w.shape[0], <size_t> H, <size_t> gates)


def panel_product(float[:, :, ::1] panels not None, const float[:, ::1] x not None,
                  const float[:, :, ::1] packed not None, const float[::1] bias not None):
    """panels of (R,GH), assigned, = x (R,K) @ w + bias (GH,), w packed by panel_pack."""
    cdef Py_ssize_t G = gates_in("panels", panels), H = bias.shape[0] // G
    panel_shape("panels", panels, x.shape[0], H, G)
    panel_shape("packed", packed, x.shape[1], H, G)
    extent("bias", bias.shape[0], G * H)
    with nogil:
        kernels.panel_product(&panels[0, 0, 0], &x[0, 0], &packed[0, 0, 0], &bias[0], <size_t> x.shape[0],
                              <size_t> x.shape[1], <size_t> H, <size_t> G)


def panel_product_back(float[:, ::1] dx not None, const float[:, :, ::1] dpanels not None,
                       const float[::1] packed not None):
    """dx (R,K) += dpanels @ w.T, w packed by panel_pack_back."""
    cdef Py_ssize_t R = dx.shape[0], K = dx.shape[1], H = 16 * dpanels.shape[0], G = gates_in("dpanels", dpanels)
    panel_shape("dpanels", dpanels, R, H, G)
    extent("packed", packed.shape[0], G * H * 16 * panels_of(K))
    with nogil:
        kernels.panel_product_back(&dx[0, 0], &dpanels[0, 0, 0], &packed[0], <size_t> R, <size_t> K, <size_t> H,
                                   <size_t> G)


def panel_weights(float[:, ::1] dw not None, const float[:, ::1] x not None, const float[:, :, ::1] dpanels not None):
    """dw (K,GH) += x (R,K).T @ dpanels."""
    cdef Py_ssize_t R = x.shape[0], K = x.shape[1], G = gates_in("dpanels", dpanels)
    cdef Py_ssize_t H = units_of("dw", dw.shape[1], G)
    shape("dw", dw.shape[0], dw.shape[1], K, G * H)
    panel_shape("dpanels", dpanels, R, H, G)
    with nogil:
        kernels.panel_weights(&dw[0, 0], &x[0, 0], &dpanels[0, 0, 0], <size_t> R, <size_t> K, <size_t> H, <size_t> G)


def panel_sum(float[::1] dbias not None, const float[:, :, ::1] dpanels not None):
    """dbias (GH,) += the sum of the rows of dpanels."""
    cdef Py_ssize_t G = gates_in("dpanels", dpanels), H = dbias.shape[0] // G
    extent("dbias", dbias.shape[0], G * H)
    panel_shape("dpanels", dpanels, dpanels.shape[1], H, G)
    with nogil:
        kernels.panel_sum(&dbias[0], &dpanels[0, 0, 0], <size_t> dpanels.shape[1], <size_t> H, <size_t> G)


def panel_scatter(float[:, :, ::1] out not None, const float[:, :, ::1] panels not None, const int64_t[::1] row not None):
    """Row row[n] of out += row n of panels; row (N,)."""
    cdef Py_ssize_t G = gates_in("out", out)
    panel_shape("panels", panels, row.shape[0], 16 * out.shape[0], G)
    rows_in_table(row, "row", 0, out.shape[1])
    with nogil:
        kernels.panel_scatter(&out[0, 0, 0], &panels[0, 0, 0], &row[0], <size_t> row.shape[0],
                              <size_t> out.shape[1], <size_t> (16 * out.shape[0]), <size_t> G)


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
    """The way back: gates become the gradient of the inputs, dh (N,H) the whole gradient of h; dc (S,H) is zeros, then
    scratch; packed: the recurrent matrix by panel_pack_back."""
    cdef Py_ssize_t N = dh.shape[0], H = dh.shape[1]
    cdef const uint8_t *begins = flags(starts)
    packed_sequences(size, starts, N, dc.shape[0])
    shape("dc", dc.shape[0], dc.shape[1], dc.shape[0], H)
    shape("c", c.shape[0], c.shape[1], N, H)
    shape("c_prev", c_prev.shape[0], c_prev.shape[1], N, H)
    panel_shape("gates", gates, N, H)
    extent("packed", packed.shape[0], 64 * panels_of(H) * 16 * panels_of(H))
    with nogil:
        kernels.lstm_backward(&gates[0, 0, 0], &dh[0, 0], &dc[0, 0], &c[0, 0], &c_prev[0, 0], &packed[0], begins,
                              &size[0], <size_t> size.shape[0], <size_t> N, <size_t> H)
