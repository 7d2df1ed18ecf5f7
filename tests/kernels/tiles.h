// The tile instructions that gemm.cpp uses, computed one number at a time: the code for tiles runs where there are none.
// Included before everything else, with __AMX_BF16__ defined.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace tiles {
struct Tile {
  unsigned char bytes[16][64];
};
inline thread_local Tile tile[8];

inline void load(int t, const void *from, long stride) {
  for (int r = 0; r < 16; r++) std::memcpy(tile[t].bytes[r], static_cast<const char *>(from) + r * stride, 64);
}
inline void store(int t, void *to, long stride) {
  for (int r = 0; r < 16; r++) std::memcpy(static_cast<char *>(to) + r * stride, tile[t].bytes[r], 64);
}
inline void zero(int t) { std::memset(&tile[t], 0, sizeof(Tile)); }
inline float bfloat(const unsigned char *at) {
  uint16_t half;
  std::memcpy(&half, at, 2);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
// c[m][n] += the sum over k of a[m][2k] b[k][2n] + a[m][2k + 1] b[k][2n + 1]
inline void products(int c, int a, int b) {
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 16; n++) {
      float sum;
      std::memcpy(&sum, &tile[c].bytes[m][4 * n], 4);
      for (int k = 0; k < 16; k++)
        for (int i = 0; i < 2; i++)
          sum += bfloat(&tile[a].bytes[m][4 * k + 2 * i]) * bfloat(&tile[b].bytes[k][4 * n + 2 * i]);
      std::memcpy(&tile[c].bytes[m][4 * n], &sum, 4);
    }
}
}  // namespace tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_loadconfig
#define _tile_loadd(T, FROM, STRIDE) tiles::load(T, FROM, STRIDE)
#define _tile_stored(T, TO, STRIDE) tiles::store(T, TO, STRIDE)
#define _tile_zero(T) tiles::zero(T)
#define _tile_dpbf16ps(C, A, B) tiles::products(C, A, B)
#define _tile_loadconfig(SHAPES) (void)(SHAPES)
