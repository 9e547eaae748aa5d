# Part of _core.pyx: products of matrices as they lie.

ROOM = FLM_ROOM   # floats that `dense_product` packs in


def multiplies_wider():
    """Return whether `dense_product` is known to beat NumPy's BLAS on this processor, as it is used now."""
    return wider


cdef flm_strided strided(const float[:, :] x, str name) except *:
    """Return x as a matrix whose rows or columns have no gaps; the stride of an axis of one element means nothing."""
    cdef flm_strided out
    cdef Py_ssize_t size = sizeof(float)
    cdef bint empty = x.shape[0] == 0 or x.shape[1] == 0
    cdef Py_ssize_t row = size if empty or x.shape[0] < 2 else x.strides[0]
    cdef Py_ssize_t column = size if empty or x.shape[1] < 2 else x.strides[1]
    if min(row, column) != size or row % size or column % size:
        raise ValueError(f"{name} has strides of {x.strides[0]} and {x.strides[1]} bytes; {size} along rows or columns "
                         "was expected")
    out.at, out.by_row, out.by_column = &x[0, 0], <size_t> (row // size), <size_t> (column // size)
    return out


def dense_product(float[:, :] out not None, const float[:, :] a not None, const float[:, :] b not None,
                  float[::1] room not None, bint adds=False):
    """Set out (M,N) to a (M,K) @ b (K,N), or add it where `adds`; room (ROOM,): scratch. The rows of out, and the rows
    or the columns of a and of b, have no gaps."""
    cdef size_t M = <size_t> a.shape[0], N = <size_t> b.shape[1], K = <size_t> a.shape[1]
    cdef flm_strided left = strided(a, "a"), right = strided(b, "b"), into = strided(out, "out")
    shape("b", b.shape[0], b.shape[1], a.shape[1], b.shape[1])
    shape("out", out.shape[0], out.shape[1], a.shape[0], b.shape[1])
    extent("room", room.shape[0], FLM_ROOM)
    if into.by_column != 1:
        raise ValueError(f"out has strides of {out.strides[0]} and {out.strides[1]} bytes; "
                         f"{sizeof(float)} along rows was expected")
    with nogil:
        kernels.dense_product(&out[0, 0], into.by_row, &left, &right, M, N, K, adds, &room[0])
