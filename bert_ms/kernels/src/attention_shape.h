// What both ways of computing attention know of its inputs.
#pragma once
#include <limits>

#include "gemm.h"
#include "layers.h"

namespace bert {
namespace {

struct Scaled {
  Plain x;
  float factor;
  vfloat operator()(int64_t r, int64_t c, int n) const { return x(r, c, n) * factor; }
};

struct Shape {
  int64_t batch, heads, queries, keys, width, size;  // B, N, S, T, H, D
  int64_t padded;                                    // T rounded up to whole panels
  float scale;
};

Shape make_shape(const Attention &a) {
  const int64_t size = a.width / a.heads;
  const float scale = a.scale == 0.0f ? 1.0f / std::sqrt(static_cast<float>(size)) : a.scale;
  return {a.batch, a.heads, a.queries, a.keys, a.width, size, ceil_div(a.keys, PANEL) * PANEL, scale};
}

constexpr float LOG2_E = 1.44269504088896341f, UNIT = BERT_AMX ? 1.0f : LOG2_E;  // scores are so many times q * k

struct Gradients {
  float *q, *k, *v;
};

template <Side side, Layout layout, class Source>
void pack_all(const Source &source, int64_t lines, int64_t depth, char *panels) {
  for (int64_t p = 0; p * PANEL < lines; p++)
    pack_panel<side, layout>(source, p * PANEL, lines, 0, depth, panels + p * panel_bytes(depth));
}

}  // namespace
}  // namespace bert
