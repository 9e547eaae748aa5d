/* isa/portable.c: the kernels for any processor (SSE2 on x86-64, NEON on AArch64). Declared in fastlm.h. */
#define FLM_NAME "portable"
#define FLM_TABLE flm_kernels_portable
#include "isa/table.inc"
