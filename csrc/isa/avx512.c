/* isa/avx512.c: the kernels for x86-64 with AVX-512 F, BW, DQ and VL. Declared in fastlm.h. */
#if defined __x86_64__
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif
#define FLM_AVX512
#define FLM_NAME "avx512"
#define FLM_TABLE flm_kernels_avx512
#include "isa/table.inc"
#if defined __clang__
#pragma clang attribute pop
#endif
#else
typedef int flm_no_avx512;
#endif
