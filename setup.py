"""Compiles the extension fastlm._core; everything else is in pyproject.toml.

FASTLM_DEBUG=1 compiles without optimisation and with debugging symbols. FASTLM_SANITIZE=address,undefined
adds those sanitizers (run Python under LD_PRELOAD of their runtime).
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = ["isa_portable.c", "isa_avx2.c", "isa_avx512.c", "dispatch.c", "sample.c", "words.c",
           "ngram_sort.c", "ngram_build.c", "ngram_score.c", "ngram_left_out.c",
           "cache.c", "factor.c", "ngram_top.c"]
HEADERS = ["fastlm.h", "counts.h", "vec.h", "log.h", "kernels.h", "checks.c", "rows.c", "softmax.c", "activation.c",
           "product.c", "dense.c", "lstm.c", "hash.c", "gru.c", "sru.c", "optimizer.c", "int8.c", "matrix.c", "norm.c",
           "attention_lane.c", "attention.c"]

# No contraction into fused multiply-adds: every instruction set gives the same bytes (products fuse by intrinsics).
compile_flags = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
compile_flags += ["-fvisibility=hidden"]
link_flags = []
compile_flags += ["-O0", "-g", "-UNDEBUG"] if os.environ.get("FASTLM_DEBUG") else ["-O3", "-g0"]
if sanitizers := os.environ.get("FASTLM_SANITIZE"):
    compile_flags += [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    link_flags += [f"-fsanitize={sanitizers}"]

core = Extension(
    "fastlm._core",
    ["fastlm/_core.pyx", *(f"csrc/{name}" for name in SOURCES)],
    depends=["fastlm/_core.pxd", "fastlm/_optimizers.pxi", "fastlm/_ids.pxi", "fastlm/_lstm.pxi", "fastlm/_ngram.pxi",
             "fastlm/_matrix.pxi", "fastlm/_gru.pxi", "fastlm/_sru.pxi", "fastlm/_cache.pxi", "fastlm/_factor.pxi",
             "fastlm/_attention.pxi", "fastlm/_dense.pxi",
             *(f"csrc/{name}" for name in HEADERS)],
    include_dirs=["csrc"],
    extra_compile_args=compile_flags,
    extra_link_args=link_flags,
)

setup(ext_modules=cythonize([core], language_level=3))
