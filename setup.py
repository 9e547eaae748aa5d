"""Compiles the extension fastlm._core; everything else is in pyproject.toml.

FASTLM_DEBUG=1 compiles without optimisation and with debugging symbols. FASTLM_SANITIZE=address,undefined
adds those sanitizers (run Python under LD_PRELOAD of their runtime); what they find ends the process.
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

# A .c file is compiled by itself; a .inc file is compiled as a part of the files that include it (csrc/isa/table.inc).
SOURCES = sorted(glob("csrc/*.c") + glob("csrc/ngram/*.c") + glob("csrc/isa/*.c"))
INCLUDED = sorted(glob("csrc/**/*.h", recursive=True) + glob("csrc/**/*.inc", recursive=True))

# No contraction into fused multiply-adds: every instruction set gives the same bytes (products fuse by intrinsics).
compile_flags = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
compile_flags += ["-fvisibility=hidden"]
link_flags = []
compile_flags += ["-O0", "-g", "-UNDEBUG"] if os.environ.get("FASTLM_DEBUG") else ["-O3", "-g0"]
if sanitizers := os.environ.get("FASTLM_SANITIZE"):
    compile_flags += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
    link_flags += [f"-fsanitize={sanitizers}"]

core = Extension(
    "fastlm._core",
    ["fastlm/_core.pyx", *SOURCES],
    depends=["fastlm/_core.pxd", *sorted(glob("fastlm/_core_parts/*.pxi")), *INCLUDED],
    include_dirs=["csrc"],
    extra_compile_args=compile_flags,
    extra_link_args=link_flags,
)

setup(ext_modules=cythonize([core], language_level=3))
