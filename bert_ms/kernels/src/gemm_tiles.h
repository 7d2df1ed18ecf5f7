// Products of packed panels by tiles: what gemm.h has beside it where a processor has AMX.
#pragma once
#include "gemm.h"

namespace bert {

// All blocks of packed A [rows, depth] times packed B [depth, columns]; finish(row, column, c) takes each c[32 * 32].
// A task is a rectangle of blocks, which it goes through in stretches of the depth: the A panels of a stretch stay in the
// second-level cache while the B panels pass by.
template <class Finish>
void multiply(const char *a, int64_t rows, const char *b, int64_t columns, int64_t depth, const Target &,
              Finish &&finish) {
  constexpr int64_t LONGEST = 32, HIGH = 6, WIDE = 8;
  const size_t bytes = panel_bytes(depth);
  const int64_t all = steps(depth), stretch = ceil_div(all, ceil_div(all, LONGEST));
  const Rectangles rectangles(ceil_div(rows, PANEL), ceil_div(columns, PANEL), HIGH, WIDE);
  rectangles.each([&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    prepare_thread();
    const int64_t tall = i1 - i0, broad = j1 - j0;
    float *sums = reinterpret_cast<float *>(local_scratch(0, HIGH * WIDE * PANEL * PANEL * 4));
    for (int64_t s = 0; s < all; s += stretch)
      for (int64_t n = 0; n < tall * broad; n++) {
        const int64_t i = i0 + n % tall, j = j0 + n / tall;
        const bool first = s == 0, last = s + stretch >= all;
        float *c = first && last ? sums : sums + n * PANEL * PANEL;
        block(a + i * bytes + s * STEP_BYTES, b + j * bytes + s * STEP_BYTES, std::min(stretch, all - s), c, !first);
        if (last) finish(i * PANEL, j * PANEL, c);
      }
  });
}

}  // namespace bert
