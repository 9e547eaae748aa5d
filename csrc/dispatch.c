/* dispatch.c: which table of kernels serves this processor. Declared in fastlm.h. */
#include "fastlm.h"

#include <string.h>

extern const flm_kernels flm_kernels_portable;
#if defined __x86_64__
#include <cpuid.h>

extern const flm_kernels flm_kernels_avx2, flm_kernels_avx512;

static int has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const flm_kernels *flm_kernels_for(const char *isa)
{
    const int any = isa == NULL || *isa == '\0';
#if defined __x86_64__
    if ((any || strcmp(isa, "avx512") == 0) && has_avx512()) return &flm_kernels_avx512;
    if ((any || strcmp(isa, "avx2") == 0) && has_avx2()) return &flm_kernels_avx2;
#endif
    if (any || strcmp(isa, "portable") == 0) return &flm_kernels_portable;
    return NULL;
}

int flm_multiplies_wider(const flm_kernels *kernels)
{
#if defined __x86_64__
    unsigned eax = 0, ebx, ecx, edx;
    __builtin_cpu_init();
    if (kernels != &flm_kernels_avx512 || !__builtin_cpu_is("amd") || !__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    return (eax >> 8 & 15) + (eax >> 20 & 255) >= 26;
#else
    (void)kernels;
    return 0;
#endif
}
