# Part of _core.pyx: products with gate panels, and what the layers of all gated cells check.
#
# The panels of (R,GH), G = 3 or 4, are an array (ceil(H/16), R, 16G); csrc/simd/product.inc says what lies where.


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


cdef int packed_back_extent(const float[::1] packed, Py_ssize_t K, Py_ssize_t H, Py_ssize_t G) except -1:
    """Checks the size of w (K,GH) as panel_pack_back leaves it."""
    return extent("packed", packed.shape[0], 16 * G * panels_of(H) * 16 * panels_of(K))


cdef int step_shapes(const float[:, ::1] x, Matrix input, Matrix recurrent, Py_ssize_t S, Py_ssize_t H,
                     Py_ssize_t G) except -1:
    """Checks what one step of a layer multiplies: x (S,D), input (D,GH), recurrent (H,GH)."""
    shape("x", x.shape[0], x.shape[1], S, <Py_ssize_t> input.matrix.K)
    shape("input", <Py_ssize_t> input.matrix.K, <Py_ssize_t> input.matrix.N, x.shape[1], G * H)
    return shape("recurrent", <Py_ssize_t> recurrent.matrix.K, <Py_ssize_t> recurrent.matrix.N, H, G * H)


def panel_pack(float[:, :, ::1] out not None, const float[:, ::1] w not None):
    """out = w (K,GH) as the panels of K rows that panel_product, lstm_forward and gru_forward read."""
    cdef Py_ssize_t G = gates_in("out", out), H = units_of("w", w.shape[1], G)
    panel_shape("out", out, w.shape[0], H, G)
    with nogil:
        kernels.panel_pack(&out[0, 0, 0], &w[0, 0], <size_t> w.shape[0], <size_t> H, <size_t> G)


def panel_pack_back(float[::1] out not None, const float[:, ::1] w not None, Py_ssize_t gates=4):
    """out (16 gates ceil(H/16) * 16 ceil(K/16),) = w (K, gates*H) transposed, as the backward passes read it."""
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
    packed_back_extent(packed, K, H, G)
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
