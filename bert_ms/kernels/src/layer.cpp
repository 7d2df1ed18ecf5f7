// A whole Transformer layer as one operator: few operators make MindSpore's graphs small and quick to compile.
#include "layers.h"

#include <cstring>

namespace bert {
namespace {

// Inputs of every layer operator, in their order.
enum Input { X, MASK, KEY, META, WQ, BQ, WK, BK, WV, BV, WO, BO, G1, C1, W1, B1, W2, B2, G2, C2, INPUTS };
// meta: heads, act, 1 if the mask is int32, eps, scale of scores, then site, threshold and scale of kept elements for
// the probabilities, the attention's output and the feed-forward block's output, then the frozen weights, whose gradient
// is not computed but 0: bit 0 is WQ's, bit 1 BQ's and so on (those of LayerNorms are always computed)
struct Layer {
  const Arguments &a;
  int64_t rows, width, wide;
  int32_t act;
  float eps;
  const int32_t *meta;

  explicit Layer(const Arguments &a)
      : a(a), rows(a.rows(X)), width(a.last(X)), wide(a.last(B1)), act(a.i(META)[1]), meta(a.i(META)) {
    std::memcpy(&eps, meta + 3, 4);
  }
  int64_t elements() const { return rows * width; }
  Mask mask(int dropout) const { return make_mask(a.i(KEY), meta + 5 + 3 * dropout); }
  Attention attend() const {
    Attention at{a.shapes[X][0], meta[0], a.shapes[X][1], a.shapes[X][1], width, 0, a.data[MASK], meta[2] != 0, mask(0)};
    std::memcpy(&at.scale, meta + 4, 4);
    return at;
  }
  Norm norm(int which, const float *x, const float *residual) const {
    return {x, residual, a.f(which == 1 ? G1 : G2), mask(which), rows, width, eps};
  }
  FeedForward through(const float *x) const {
    return {x, a.f(W1), a.f(B1), a.f(W2), a.f(B2), act, rows, width, wide, width};
  }
};

// What the gradient needs beside the input: q, k, v, context, out1 (attention's dense layer), hidden (after the first
// LayerNorm), u (before the activation), out2 (feed-forward block).
struct Kept {
  float *q, *k, *v, *context, *out1, *hidden, *u, *out2;
};

void forward(const Layer &l, const Kept &t, float *y) {
  const Arguments &a = l.a;
  const float *w[3] = {a.f(WQ), a.f(WK), a.f(WV)}, *b[3] = {a.f(BQ), a.f(BK), a.f(BV)};
  float *qkv[3] = {t.q, t.k, t.v};
  query_key_value(a.f(X), w, b, l.rows, l.width, l.width, qkv);
  attention(l.attend(), t.q, t.k, t.v, t.context);
  dense(t.context, a.f(WO), a.f(BO), l.rows, l.width, l.width, t.out1);
  layer_norm(l.norm(1, t.out1, a.f(X)), a.f(C1), t.hidden);
  feed_forward(l.through(t.hidden), t.out2, t.u);
  layer_norm(l.norm(2, t.out2, t.hidden), a.f(C2), y);
}

float *floats(int slot, int64_t count) { return reinterpret_cast<float *>(scratch(LAYER_SLOT + slot, count * 4)); }

// forward() that keeps nothing. What is no longer needed makes room: out1 takes q's place, hidden k's, out2 v's.
void lean(const Layer &l, float *y) {
  const int64_t n = l.elements();
  float *q = floats(0, n), *k = floats(1, n), *v = floats(2, n), *context = floats(3, n);
  forward(l, {q, k, v, context, q, k, nullptr, v}, y);
}

}  // namespace
}  // namespace bert

using namespace bert;

// the inputs -> y
BERT_OPERATOR(bert_layer, { lean(Layer(a), a.f(INPUTS)); })

// x, mask, key, meta, the weights of each layer -> y of the last one
BERT_OPERATOR(bert_layers, {
  const int weights = INPUTS - WQ;
  const int layers = (count - 1 - WQ) / weights;
  float *y = a.f(WQ + layers * weights);
  void *inputs[INPUTS];
  int ranks[INPUTS];
  int64_t *shapes[INPUTS];
  for (int layer = 0; layer < layers; layer++) {
    for (int k = 0; k < INPUTS; k++) {
      const int from = k < WQ ? k : k + layer * weights;
      inputs[k] = a.data[from], ranks[k] = a.ranks[from], shapes[k] = a.shapes[from];
    }
    if (layer > 0) inputs[X] = y;  // a layer's last step alone writes y, when its input is no longer needed
    const Arguments one{inputs, ranks, shapes};
    lean(Layer(one), y);
  }
})

// the inputs -> y, q, k, v, context, out1, hidden, u, out2
BERT_OPERATOR(bert_layer_kept, {
  forward(Layer(a),
          {a.f(INPUTS + 1), a.f(INPUTS + 2), a.f(INPUTS + 3), a.f(INPUTS + 4), a.f(INPUTS + 5), a.f(INPUTS + 6),
           a.f(INPUTS + 7), a.f(INPUTS + 8)},
          a.f(INPUTS));
})

// the inputs, q, k, v, context, out1, hidden, u, out2, dy -> dx, then the gradient of each weight, in the inputs' order
BERT_OPERATOR(bert_layer_backward, {
  const Layer l(a);
  const int64_t n = l.elements();
  const Kept t{a.f(INPUTS),     a.f(INPUTS + 1), a.f(INPUTS + 2), a.f(INPUTS + 3),
               a.f(INPUTS + 4), a.f(INPUTS + 5), a.f(INPUTS + 6), a.f(INPUTS + 7)};
  float **out = reinterpret_cast<float **>(data) + INPUTS + 9;
  const auto gradient = [&](int input) { return out[input - WQ + 1]; };
  const auto wanted = [&](int input) -> float * {
    if (!(l.meta[14] >> (input - WQ) & 1)) return gradient(input);
    std::memset(gradient(input), 0, a.size(input) * 4);
    return nullptr;
  };
  float *dx = out[0], *dhidden = floats(0, n), *dout = floats(1, n), *dcontext = floats(2, n);
  layer_norm_backward(l.norm(2, t.out2, t.hidden), a.f(INPUTS + 8), dhidden, gradient(G2), gradient(C2), dout);
  feed_forward_backward(l.through(t.hidden), t.u, dout, dhidden, true, wanted(W1), wanted(B1), wanted(W2), wanted(B2));
  layer_norm_backward(l.norm(1, t.out1, a.f(X)), dhidden, dx, gradient(G1), gradient(C1), dout);
  const float *wo = a.f(WO), *dy = dout;
  float *dwo = wanted(WO), *dbo = wanted(BO);
  dense_backward(1, t.context, &wo, &dy, l.rows, l.width, l.width, dcontext, false, &dwo, &dbo);
  float *dq = dhidden, *dk = dout, *dv = floats(3, n);
  attention_backward(l.attend(), t.q, t.k, t.v, t.context, dcontext, dq, dk, dv);
  const float *w[3] = {a.f(WQ), a.f(WK), a.f(WV)}, *d[3] = {dq, dk, dv};
  float *dw[3] = {wanted(WQ), wanted(WK), wanted(WV)}, *db[3] = {wanted(BQ), wanted(BK), wanted(BV)};
  dense_backward(3, a.f(X), w, d, l.rows, l.width, l.width, dx, true, dw, db);
})
