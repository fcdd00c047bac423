// Marks a function that is compiled twice, with and without AVX2, for the same numbers: elementwise
// arithmetic is the same, and sums are of the same eight parts. (A sanitizer is not there yet when
// the loader chooses.)
#pragma once

#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define MOECAST_ALSO_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define MOECAST_ALSO_AVX2
#endif
