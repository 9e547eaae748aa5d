/* isa/avx2.c: the kernels for x86-64 with AVX2 and FMA. Declared in fastlm.h. */
#if defined __x86_64__
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define FLM_AVX2
#define FLM_NAME "avx2"
#define FLM_TABLE flm_kernels_avx2
#include "isa/table.inc"
#if defined __clang__
#pragma clang attribute pop
#endif
#else
typedef int flm_no_avx2;
#endif
