// Vectors of float and the elementary functions on them, with the compilers' vector extension (any instruction set).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace bert {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float vfloat __attribute__((vector_size(LANES * 4)));
typedef int32_t vint __attribute__((vector_size(LANES * 4)));
typedef uint32_t vuint __attribute__((vector_size(LANES * 4)));

static inline vfloat splat(float x) { return x - vfloat{}; }
static inline vuint splat_bits(uint32_t x) { return x - vuint{}; }
static inline vfloat load(const float *p) { vfloat v; std::memcpy(&v, p, sizeof v); return v; }
static inline void store(float *p, vfloat v) { std::memcpy(p, &v, sizeof v); }
static inline vfloat load_part(const float *p, int n) { vfloat v{}; std::memcpy(&v, p, 4 * n); return v; }
static inline void store_part(float *p, vfloat v, int n) { std::memcpy(p, &v, 4 * n); }
// The operand order keeps a NaN in x.
static inline vfloat at_most(vfloat x, float limit) { vfloat l = splat(limit); return x > l ? l : x; }
static inline vfloat at_least(vfloat x, float limit) { vfloat l = splat(limit); return x < l ? l : x; }
static inline vfloat larger(vfloat a, vfloat b) { return b > a ? b : a; }

static inline vfloat vsqrt(vfloat x) {
  float lane[LANES];
  std::memcpy(lane, &x, sizeof x);
  for (int i = 0; i < LANES; i++) lane[i] = std::sqrt(lane[i]);
  return load(lane);
}

static inline float sum(vfloat v) {  // a fixed tree, so that the result never depends on the compiler's mood
  float lane[LANES];
  std::memcpy(lane, &v, sizeof v);
  for (int step = LANES / 2; step; step /= 2)
    for (int i = 0; i < step; i++) lane[i] += lane[i + step];
  return lane[0];
}
static inline float largest(vfloat v) {
  float lane[LANES];
  std::memcpy(lane, &v, sizeof v);
  float m = lane[0];
  for (int i = 1; i < LANES; i++) m = (lane[i] > m || lane[i] != lane[i]) ? lane[i] : m;
  return m;
}

// exp: 2^k * exp(r) with |r| <= ln 2 / 2, a Taylor polynomial of degree 7 (error below 1e-8 relative), k in two halves so
// that results down to the denormals come out right. NaN stays NaN, overflow becomes inf.
static inline vfloat vexp(vfloat x) {
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  vfloat c = at_least(at_most(x, 89.0f), -104.0f);
  vfloat shifted = c * 1.44269504088896341f + round;
  vfloat k = shifted - round;
  vfloat r = c - k * 0.693145751953125f;
  r = r - k * 1.428606765330187e-6f;
  vfloat p = splat(1.0f / 5040) * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  vint n = __builtin_convertvector(k == k ? k : splat(0.0f), vint);
  vint half = n >> 1;
  vfloat a = (vfloat)((half + 127) << 23), b = (vfloat)((n - half + 127) << 23);
  return p * a * b;
}

static inline vfloat vsigmoid(vfloat x) { return 1.0f / (1.0f + vexp(-x)); }
static inline vfloat vtanh(vfloat x) {
  vfloat s = x * x;
  // |x| < 0.3: odd polynomial (Taylor), where the quotient would cancel.
  vfloat small = x * (1.0f + s * (-1.0f / 3 + s * (2.0f / 15 + s * (-17.0f / 315 + s * (62.0f / 2835)))));
  vfloat big = 1.0f - 2.0f / (vexp(2.0f * x) + 1.0f);
  return s < splat(0.09f) ? small : big;
}

}  // namespace bert
