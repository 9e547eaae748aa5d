# Part of _core.pyx: matrices that a few rows are multiplied by.


cdef class Matrix:
    """What rows (S,K) are multiplied by to give (S,N): the weights themselves, not a copy, or bytes laid out anew.

    weights: float32 (K,N), or (N,K) where transposed; or int8 of that shape with scale (N,) float32, the value of one
    unit of each column. shape: (K,N).
    """

    cdef flm_matrix matrix
    cdef object _held

    def __cinit__(self, weights not None, scale=None, bint transposed=False):
        if scale is not None:
            self._pack(numpy.ascontiguousarray(weights.T if transposed else weights), scale)
        else:
            self._refer(weights, transposed)

    cdef _refer(self, const float[:, ::1] weights, bint transposed):
        self.matrix.K, self.matrix.N = <size_t> weights.shape[0], <size_t> weights.shape[1]
        if transposed:
            self.matrix.K, self.matrix.N = self.matrix.N, self.matrix.K
        self.matrix.dense, self.matrix.transposed, self._held = &weights[0, 0], transposed, weights

    cdef _pack(self, const int8_t[:, ::1] weights, const float[::1] scale):
        cdef size_t K = <size_t> weights.shape[0], N = <size_t> weights.shape[1]
        cdef int8_t[::1] packed
        cdef Py_ssize_t skip
        extent("scale", scale.shape[0], weights.shape[1])
        packed = numpy.empty(64 + kernels.int8_bytes(K, N), numpy.int8)
        skip = -(<Py_ssize_t> &packed[0]) % 64                   # whole lines of the cache
        packed = packed[skip:]
        with nogil:
            kernels.int8_pack(&packed[0], &weights[0, 0], K, N)
        self.matrix.K, self.matrix.N, self.matrix.packed, self.matrix.scale = K, N, &packed[0], &scale[0]
        self._held = packed, scale

    @property
    def shape(self):
        return self.matrix.K, self.matrix.N


def int8_rows(float[:, ::1] out not None, const int8_t[:, ::1] table not None, const float[::1] scale not None,
              const int64_t[::1] row not None):
    """out (N,D) = table (R,D) at row (N,), each times its own scale (R,); zeros where row is -1."""
    shape("out", out.shape[0], out.shape[1], row.shape[0], table.shape[1])
    extent("scale", scale.shape[0], table.shape[0])
    rows_in_table(row, "row", -1, table.shape[0])
    with nogil:
        kernels.int8_rows(&out[0, 0], &table[0, 0], &scale[0], &row[0], <size_t> row.shape[0], <size_t> table.shape[1])


def product(float[:, ::1] out not None, const float[:, ::1] x not None, Matrix matrix not None, const float[::1] bias):
    """out (S,N) = bias (N,) or None + x (S,K) @ matrix (K,N): every weight is read once, whatever S is."""
    cdef size_t S = <size_t> x.shape[0], N = matrix.matrix.N, s
    cdef const float *constant = NULL
    shape("x", x.shape[0], x.shape[1], x.shape[0], <Py_ssize_t> matrix.matrix.K)
    shape("out", out.shape[0], out.shape[1], x.shape[0], <Py_ssize_t> N)
    if bias is not None:
        extent("bias", bias.shape[0], <Py_ssize_t> N)
        constant = &bias[0]
    with nogil:
        for s in range(S):
            if constant == NULL:
                memset(&out[s, 0], 0, N * sizeof(float))
            else:
                memcpy(&out[s, 0], constant, N * sizeof(float))
        kernels.add_product(&out[0, 0], &x[0, 0], &matrix.matrix, S)
