// A processor with AVX-VNNI but without AVX-512, for any that has AVX2: its one instruction that int8.cpp uses, by hand.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd

// sums + products of four unsigned bytes of u with the signed ones of v, lane by lane
static inline __m256i emulated_dpbusd(__m256i sums, __m256i u, __m256i v) {
  int32_t total[8];
  uint8_t a[32];
  int8_t b[32];
  std::memcpy(total, &sums, 32);
  std::memcpy(a, &u, 32);
  std::memcpy(b, &v, 32);
  for (int i = 0; i < 32; i++) total[i / 4] += a[i] * b[i];
  std::memcpy(&sums, total, 32);
  return sums;
}
