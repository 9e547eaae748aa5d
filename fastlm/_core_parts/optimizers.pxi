# Part of _core.pyx: the optimisers' steps, whole arrays or touched rows of tables.


cdef class Rate:
    """Return the constants of a step: learning rate, gradient scale, l2 of l2/2 |p|^2, decoupled decay, the rest."""
    cdef flm_rate rate

    def __cinit__(self, *, float lr, float scale=1.0, float l2=0.0, float decay=0.0, float momentum=0.0,
                 double beta1=0.9, double beta2=0.999, float epsilon=1e-8, float correct1=1.0, float correct2=1.0):
        self.rate = flm_rate(lr=lr, scale=scale, l2=l2, decay=decay, momentum=momentum, beta1=beta1, beta2=beta2,
                             epsilon=epsilon, correct1=correct1, correct2=correct2)


cdef enum Method:
    SGD, MOMENTUM, ADAGRAD, ADAMW


cdef int step(Method method, object p, object first, str first_name, object second, object g, Rate rate,
              const int64_t[::1] rows) except -1:
    """Take one optimiser step over all of p, or some rows of a table p; arrays that a method lacks are p again."""
    cdef _Flat a = flat(p, "p", True), b = flat(first, first_name, True), c = flat(second, "v", True)
    cdef _Flat z = flat(g, "g", True)
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
    """Take an SGD step: p -= lr * (scale * g + l2 * p) + lr * decay * p; g = 0."""
    step(SGD, p, p, "p", p, g, rate, None)


def momentum(p, v, g, Rate rate not None):
    """Take a step with momentum: v = momentum * v + gradient; p -= lr * v; g = 0."""
    step(MOMENTUM, p, v, "v", p, g, rate, None)


def adagrad(p, a, g, Rate rate not None):
    """Take an Adagrad step: a += gradient^2; p -= lr * gradient / (sqrt(a) + epsilon); g = 0."""
    step(ADAGRAD, p, a, "a", p, g, rate, None)


def adamw(p, m, v, g, Rate rate not None):
    """Take an AdamW step with the moments m and v, corrected by correct1 and correct2; g = 0."""
    step(ADAMW, p, m, "m", v, g, rate, None)


def sgd_rows(p, g, const int64_t[::1] rows not None, Rate rate not None):
    """Take the step of sgd on the rows (R,) of p (N,D) only; each row at most once, here and below."""
    step(SGD, p, p, "p", p, g, rate, rows)


def momentum_rows(p, v, g, const int64_t[::1] rows not None, Rate rate not None):
    """Take the step of momentum on the rows (R,) of p (N,D) only."""
    step(MOMENTUM, p, v, "v", p, g, rate, rows)


def adagrad_rows(p, a, g, const int64_t[::1] rows not None, Rate rate not None):
    """Take the step of adagrad on the rows (R,) of p (N,D) only."""
    step(ADAGRAD, p, a, "a", p, g, rate, rows)


def adamw_rows(p, m, v, g, const int64_t[::1] rows not None, Rate rate not None):
    """Take the step of adamw on the rows (R,) of p (N,D) only."""
    step(ADAMW, p, m, "m", v, g, rate, rows)


def sum_squares(x):
    """Return the sum of the squares of x, any shape, in double."""
    cdef _Flat a = flat(x, "x", False)
    cdef double total
    with nogil:
        total = kernels.sum_squares(a.at, a.n)
    return total


def add_sum_squares(out, x):
    """Add x to out, and return the sum of the squares of the new out as sum_squares would, all in one pass."""
    cdef _Flat o = flat(out, "out", True), a = flat(x, "x", False)
    cdef double total
    same(a, "x", o.n)
    with nogil:
        total = kernels.add_sum_squares(o.at, a.at, o.n)
    return total


def sum_squares_rows(const float[:, ::1] x not None, const int64_t[::1] rows not None):
    """Return the sum of the squares of the rows (R,) of x (N,D), in double."""
    cdef double total = 0.0
    cdef size_t i
    rows_in_table(rows, "rows", 0, x.shape[0])
    with nogil:
        for i in range(<size_t> rows.shape[0]):
            total += kernels.sum_squares(&x[rows[i], 0], <size_t> x.shape[1])
    return total


def add_rows(float[:, ::1] out not None, float[:, ::1] x not None, const int64_t[::1] rows not None):
    """Add x[rows] to out[rows], then set x[rows] to 0; out and x (N,D), rows (R,) each at most once."""
    cdef size_t i, D = <size_t> out.shape[1]
    shape("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    rows_in_table(rows, "rows", 0, out.shape[0])
    with nogil:
        for i in range(<size_t> rows.shape[0]):
            kernels.add(&out[rows[i], 0], &x[rows[i], 0], D)
            memset(&x[rows[i], 0], 0, D * sizeof(float))
