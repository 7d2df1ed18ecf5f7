// Scaled dot-product attention: heads are read where they lie in [B, S, H]; nothing of size [B, N, S, T] is kept.
#include "gemm.h"

#if BERT_AMX
#include "attention_tiles.h"
#else
#include "attention_strips.h"
#endif

namespace bert {
namespace {

// What to add to the scores of each key: [B, padded], -inf after the last key.
const float *additive_mask(const Shape &s, const void *mask, bool integer) {
  const float lowest = std::numeric_limits<float>::lowest();
  float *out = reinterpret_cast<float *>(scratch(0, s.batch * s.padded * 4));
  for (int64_t b = 0; b < s.batch; b++)
    for (int64_t t = 0; t < s.padded; t++) {
      float v = -std::numeric_limits<float>::infinity();
      if (t < s.keys) {
        const int64_t i = b * s.keys + t;
        v = !integer ? static_cast<const float *>(mask)[i] : static_cast<const int32_t *>(mask)[i] ? 0.0f : lowest;
        if (!(v < lowest)) v = std::max(v * UNIT, lowest);  // of the least only -inf stays more than that
      }
      out[b * s.padded + t] = v;
    }
  return out;
}

// meta: site, threshold, scale of kept, heads, scale of scores, 1 if the mask is int32
Attention from_arguments(const Arguments &a) {
  const int32_t *meta = a.i(5);
  Attention at{a.shapes[0][0], meta[3], a.shapes[0][1], a.shapes[1][1], a.shapes[0][2], 0, a.data[3], meta[5] != 0,
               make_mask(a.i(4), meta)};
  std::memcpy(&at.scale, meta + 4, 4);
  return at;
}

}  // namespace

void attention(Attention a, const float *q, const float *k, const float *v, float *out) {
  const Shape s = make_shape(a);
  const float *mask = additive_mask(s, a.mask, a.has_int_mask);
  parallel(s.batch * s.heads, [&](int64_t head) {
    prepare_thread();
    attend(s, mask, a.drops, head, q, k, v, out);
  });
}

void attention_backward(Attention a, const float *q, const float *k, const float *v, const float *out,
                        const float *dout, float *dq, float *dk, float *dv) {
  const Shape s = make_shape(a);
  const float *mask = additive_mask(s, a.mask, a.has_int_mask);
  parallel(s.batch * s.heads, [&](int64_t head) {
    prepare_thread();
    attend_backward(s, mask, a.drops, head, q, k, v, out, dout, {dq, dk, dv});
  });
}

}  // namespace bert

using namespace bert;

// q [B, S, H], k, v [B, T, H], mask [B, T] int32 or float, key [2], meta -> context [B, S, H]
BERT_OPERATOR(bert_attention, { attention(from_arguments(a), a.f(0), a.f(1), a.f(2), a.f(6)); })

// q, k, v, mask, key, meta, context, dcontext -> dq, dk, dv
BERT_OPERATOR(bert_attention_backward, {
  attention_backward(from_arguments(a), a.f(0), a.f(1), a.f(2), a.f(6), a.f(7), a.f(8), a.f(9), a.f(10));
})
