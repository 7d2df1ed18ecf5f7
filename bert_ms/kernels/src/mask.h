// Derived dropout masks: the same bits as bert_ms/kernels/derived_mask.py.
#pragma once
#include "vector.h"

namespace bert {

struct Mask {
  uint32_t first = 0, second = 0, threshold = 0;
  float scale = 1.0f;
  bool drops() const { return threshold != 0; }
};

static inline uint32_t mix_bits(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

// key = (seed, step); meta = (site, threshold, bits of the float 1 / (1 - p)).
static inline Mask make_mask(const int32_t *key, const int32_t *meta) {
  Mask m;
  m.threshold = static_cast<uint32_t>(meta[1]);
  std::memcpy(&m.scale, meta + 2, 4);
  m.first = mix_bits(mix_bits(static_cast<uint32_t>(key[0]) + 0x9E3779B9u * (static_cast<uint32_t>(meta[0]) + 1u)) ^
                     static_cast<uint32_t>(key[1]));
  m.second = mix_bits(m.first + 0x85EBCA6Bu);
  return m;
}

// For LANES elements from `index` on: all bits set where the element is kept.
static inline vint keep(const Mask &m, uint32_t index) {
  vuint lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  vuint x = lane + (index + m.first);
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = ((x ^ (x >> 15)) ^ m.second) * 0x846CA68Bu;
  x = x ^ (x >> 16);
  return (vint)(x >> 8) >= (vint)splat_bits(m.threshold);
}

static inline vfloat drop(const Mask &m, uint32_t index, vfloat x) {
  return keep(m, index) ? x * m.scale : splat(0.0f);
}

}  // namespace bert
