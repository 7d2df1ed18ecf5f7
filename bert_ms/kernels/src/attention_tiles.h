// One head's attention by blocks of 32 x 32, which tiles multiply.
#pragma once
#include "attention_shape.h"

namespace bert {
namespace {

// s[0, padded) += mask; then exp(s - largest); returns 1 / sum.
inline float softmax_row(float *s, const float *mask, int64_t padded) {
  vfloat top = splat(-std::numeric_limits<float>::infinity());
  for (int64_t t = 0; t < padded; t += LANES) {
    vfloat v = load(s + t) + load(mask + t);
    store(s + t, v);
    top = larger(top, v);
  }
  const float m = largest(top);
  vfloat total{};
  for (int64_t t = 0; t < padded; t += LANES) {
    vfloat v = vexp(load(s + t) - m);
    store(s + t, v);
    total += v;
  }
  return 1.0f / sum(total);
}

// One row of blocks: out[32, 32 * panels] = a * b; rows of out are `stride` apart.
void row_of_blocks(const char *a, const char *b, int64_t columns, int64_t depth, float *out, int64_t stride) {
  alignas(64) float c[PANEL * PANEL];
  for (int64_t j = 0; j * PANEL < columns; j++) {
    block(a, b + j * panel_bytes(depth), steps(depth), c, false);
    for (int64_t r = 0; r < PANEL; r++)
      for (int k = 0; k < PANEL; k += LANES) store(out + r * stride + j * PANEL + k, load(c + r * PANEL + k));
  }
}

// out[rows, size] = source * b, where the source is packed panel by panel.
template <Layout layout>
void product(Plain source, int64_t rows, int64_t depth, const char *b, int64_t size, char *panel, float *out,
             int64_t stride) {
  alignas(64) float c[PANEL * PANEL];
  for (int64_t r = 0; r < rows; r += PANEL) {
    pack_panel<A_SIDE, layout>(source, r, rows, 0, depth, panel);
    for (int64_t j = 0; j < size; j += PANEL) {
      block(panel, b + j / PANEL * panel_bytes(depth), steps(depth), c, false);
      each_vector(r, j, rows, size, c,
                  [&](int64_t i, int64_t k, vfloat v, int n) { store_n(out + i * stride + k, v, n); });
    }
  }
}

void attend(const Shape &s, const float *mask, const Mask &drops, int64_t head, const float *q, const float *k,
            const float *v, float *out) {
  const int64_t n = head % s.heads, b = head / s.heads;
  const int64_t at_q = b * s.queries * s.width + n * s.size, at_k = b * s.keys * s.width + n * s.size;
  char *keys = local_scratch(0, packed_bytes(s.keys, s.size));
  char *values = local_scratch(1, packed_bytes(s.size, s.keys));
  char *panel = local_scratch(2, panel_bytes(std::max(s.size, s.keys)));
  float *scores = reinterpret_cast<float *>(local_scratch(3, PANEL * s.padded * 4));
  pack_all<B_SIDE, ALONG>(Plain{k + at_k, s.width}, s.keys, s.size, keys);
  pack_all<B_SIDE, ACROSS>(Plain{v + at_k, s.width}, s.size, s.keys, values);
  alignas(64) float c[PANEL * PANEL];
  for (int64_t i = 0; i < s.queries; i += PANEL) {
    const int64_t rows = std::min(PANEL, s.queries - i);
    pack_panel<A_SIDE, ALONG>(Scaled{{q + at_q, s.width}, s.scale}, i, s.queries, 0, s.size, panel);
    row_of_blocks(panel, keys, s.keys, s.size, scores, s.padded);
    float inverse[PANEL];
    for (int64_t r = 0; r < rows; r++) {
      float *row = scores + r * s.padded;
      inverse[r] = softmax_row(row, mask + b * s.padded, s.padded);
      if (drops.drops()) {
        const uint32_t index = static_cast<uint32_t>((head * s.queries + i + r) * s.keys);
        for (int64_t t = 0; t < s.padded; t += LANES)
          store(row + t, drop(drops, index + static_cast<uint32_t>(t), load(row + t)));
      }
    }
    pack_panel<A_SIDE, ALONG>(Plain{scores, s.padded}, 0, rows, 0, s.keys, panel);
    for (int64_t j = 0; j < s.size; j += PANEL) {
      block(panel, values + j / PANEL * panel_bytes(s.keys), steps(s.keys), c, false);
      each_vector(0, j, rows, s.size, c, [&](int64_t r, int64_t d, vfloat x, int m) {
        store_n(out + at_q + (i + r) * s.width + d, x * inverse[r], m);
      });
    }
  }
}

void attend_backward(const Shape &s, const float *mask, const Mask &drops, int64_t head, const float *q,
                     const float *k, const float *v, const float *out, const float *dout, const Gradients &d) {
  const int64_t n = head % s.heads, b = head / s.heads;
  const int64_t at_q = b * s.queries * s.width + n * s.size, at_k = b * s.keys * s.width + n * s.size;
  const Plain query{q + at_q, s.width}, key{k + at_k, s.width}, value{v + at_k, s.width}, dcontext{dout + at_q, s.width};
  char *keys = local_scratch(0, packed_bytes(s.keys, s.size));
  char *values = local_scratch(1, packed_bytes(s.keys, s.size));
  char *panel = local_scratch(2, panel_bytes(std::max({s.size, s.keys, s.queries})));
  float *probs = reinterpret_cast<float *>(local_scratch(3, (s.queries + PANEL) * s.padded * 4));
  float *dscores = reinterpret_cast<float *>(local_scratch(4, (s.queries + PANEL) * s.padded * 4));
  char *right = local_scratch(5, packed_bytes(s.size, std::max(s.queries, s.keys)));
  pack_all<B_SIDE, ALONG>(key, s.keys, s.size, keys);
  pack_all<B_SIDE, ALONG>(value, s.keys, s.size, values);
  for (int64_t i = 0; i < s.queries; i += PANEL) {
    const int64_t rows = std::min(PANEL, s.queries - i);
    pack_panel<A_SIDE, ALONG>(Scaled{query, s.scale}, i, s.queries, 0, s.size, panel);
    row_of_blocks(panel, keys, s.keys, s.size, probs + i * s.padded, s.padded);
    pack_panel<A_SIDE, ALONG>(dcontext, i, s.queries, 0, s.size, panel);
    row_of_blocks(panel, values, s.keys, s.size, dscores + i * s.padded, s.padded);
    for (int64_t r = i; r < i + rows; r++) {
      float *p = probs + r * s.padded, *ds = dscores + r * s.padded;
      const float inverse = softmax_row(p, mask + b * s.padded, s.padded);
      vfloat total{};
      for (int64_t c = 0; c < s.size; c += LANES) {
        const int m = static_cast<int>(std::min<int64_t>(LANES, s.size - c));
        total += dcontext(r, c, m) * load_n(out + at_q + r * s.width + c, m);
      }
      const float delta = sum(total);
      const uint32_t index = static_cast<uint32_t>((head * s.queries + r) * s.keys);
      for (int64_t t = 0; t < s.padded; t += LANES) {
        vfloat prob = load(p + t) * inverse, dprob = load(ds + t), kept = prob;
        if (drops.drops()) {
          vint kept_bits = keep(drops, index + static_cast<uint32_t>(t));
          kept = kept_bits ? prob * drops.scale : splat(0.0f);
          dprob = kept_bits ? dprob * drops.scale : splat(0.0f);
        }
        store(p + t, kept);
        store(ds + t, prob * (dprob - delta) * s.scale);
      }
    }
  }
  pack_all<B_SIDE, ACROSS>(dcontext, s.size, s.queries, right);
  product<ACROSS>(Plain{probs, s.padded}, s.keys, s.queries, right, s.size, panel, d.v + at_k, s.width);
  pack_all<B_SIDE, ACROSS>(query, s.size, s.queries, right);
  product<ACROSS>(Plain{dscores, s.padded}, s.keys, s.queries, right, s.size, panel, d.k + at_k, s.width);
  pack_all<B_SIDE, ACROSS>(key, s.size, s.keys, right);
  product<ALONG>(Plain{dscores, s.padded}, s.queries, s.keys, right, s.size, panel, d.q + at_q, s.width);
}

}  // namespace
}  // namespace bert
