"""Measure the C kernels, each beside the same work in NumPy, SciPy and PyTorch."""
