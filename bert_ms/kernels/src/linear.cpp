// Dense layers: forward with bias and activation, backward to input, weight and bias.
#include "activation.h"
#include "gemm.h"

namespace bert {
namespace {

enum Slot { WEIGHT, WEIGHT2, ROWS, ROWS2, WIDE, WIDE2 };

// Rows that are packed at a time: enough for the caches to pay, few enough for little memory.
int64_t chunk_rows(int64_t depth) { return std::clamp<int64_t>((8 << 20) / (6 * depth) / PANEL * PANEL, 128, 1024); }

template <int A>
struct Activated {
  Plain u;
  vfloat operator()(int64_t r, int64_t c, int n) const { return act<A>(u(r, c, n)); }
};

template <int A>
struct TimesSlope {
  Plain dy, u;
  vfloat operator()(int64_t r, int64_t c, int n) const { return dy(r, c, n) * slope<A>(u(r, c, n)); }
};

// out[column] (+)= sums of the columns of rows [0, rows), in blocks of 64 rows so that the error stays small.
template <class Source>
void column_sums(const Source &source, int64_t rows, int64_t columns, float *out, bool add) {
  constexpr int64_t STRIP = 8 * LANES;
  parallel(ceil_div(columns, STRIP), [&](int64_t task) {
    for (int64_t c = task * STRIP; c < std::min(columns, (task + 1) * STRIP); c += LANES) {
      const int n = static_cast<int>(std::min<int64_t>(LANES, columns - c));
      vfloat total = add ? load_n(out + c, n) : vfloat{};
      for (int64_t r = 0; r < rows; r += 64) {
        vfloat part{};
        for (int64_t k = r; k < std::min(rows, r + 64); k++) part += source(k, c, n);
        total += part;
      }
      store_n(out + c, total, n);
    }
  });
}

// y[rows, outputs] = act(x weight^T + bias); u, if wanted, gets what goes into act.
template <int A>
void forward(Plain x, const char *weight, const float *bias, int64_t rows, int64_t inputs, int64_t outputs, float *y,
             float *u, char *packed) {
  pack<A_SIDE, ALONG>(x, rows, 0, inputs, packed);
  multiply(packed, rows, weight, outputs, inputs, [&](int64_t row, int64_t column, const float *c) {
    each_vector(row, column, rows, outputs, c, [&](int64_t r, int64_t k, vfloat v, int n) {
      if (bias) v += load_n(bias + k, n);
      if (u) store_n(u + r * outputs + k, v, n);
      if (y) store_n(y + r * outputs + k, act<A>(v), n);
    });
  });
}

// dx[rows, inputs] = dy[rows, outputs] weight[outputs, inputs], the weight packed ACROSS.
template <class Source>
void to_input(const Source &dy, const char *weight, int64_t rows, int64_t inputs, int64_t outputs, float *dx,
              char *packed) {
  pack<A_SIDE, ALONG>(dy, rows, 0, outputs, packed);
  multiply(packed, rows, weight, inputs, outputs, [&](int64_t row, int64_t column, const float *c) {
    each_vector(row, column, rows, inputs, c,
                [&](int64_t r, int64_t k, vfloat v, int n) { store_n(dx + r * inputs + k, v, n); });
  });
}

// dw[outputs, inputs] (+)= dy^T x over the rows; x comes packed (B, ACROSS).
template <class Source>
void to_weight(const Source &dy, const char *x, int64_t rows, int64_t inputs, int64_t outputs, float *dw, bool add,
               char *packed) {
  pack<A_SIDE, ACROSS>(dy, outputs, 0, rows, packed);
  multiply(packed, outputs, x, inputs, rows, [&](int64_t row, int64_t column, const float *c) {
    each_vector(row, column, outputs, inputs, c, [&](int64_t r, int64_t k, vfloat v, int n) {
      float *p = dw + r * inputs + k;
      store_n(p, add ? load_n(p, n) + v : v, n);
    });
  });
}

char *packed_weight(int slot, const float *w, int64_t outputs, int64_t inputs) {
  char *p = scratch(slot, packed_bytes(outputs, inputs));
  pack<B_SIDE, ALONG>(Plain{w, inputs}, outputs, 0, inputs, p);
  return p;
}
char *packed_weight_across(int slot, const float *w, int64_t outputs, int64_t inputs) {
  char *p = scratch(slot, packed_bytes(inputs, outputs));
  pack<B_SIDE, ACROSS>(Plain{w, inputs}, inputs, 0, outputs, p);
  return p;
}

// forward of one dense layer, in chunks of rows
template <int A>
void linear(const float *x, const float *w, const float *b, int64_t rows, int64_t inputs, int64_t outputs, float *y) {
  const char *weight = packed_weight(WEIGHT, w, outputs, inputs);
  const int64_t chunk = chunk_rows(inputs);
  char *packed = scratch(ROWS, packed_bytes(std::min(chunk, rows), inputs));
  for (int64_t r = 0; r < rows; r += chunk)
    forward<A>({x + r * inputs, inputs}, weight, b, std::min(chunk, rows - r), inputs, outputs, y + r * outputs,
               nullptr, packed);
}

// backward of dense layers that share their input: dx is the sum
template <class MakeSource>
void linear_backward(const float *x, const float *const *w, const MakeSource &make, int layers, int64_t rows,
                     int64_t inputs, int64_t outputs, float *dx, float *const *dw, float *const *db) {
  const int64_t depth = layers * steps(outputs) * DEPTH;  // the layers lie one after the other along the depth
  const size_t bytes = panel_bytes(depth), part = panel_bytes(outputs);
  char *weight = scratch(WEIGHT, ceil_div(inputs, PANEL) * bytes);
  parallel(ceil_div(inputs, PANEL), [&](int64_t p) {
    for (int k = 0; k < layers; k++)
      pack_panel<B_SIDE, ACROSS>(Plain{w[k], inputs}, p * PANEL, inputs, 0, outputs, weight + p * bytes + k * part);
  });
  const int64_t chunk = std::min(rows, chunk_rows(std::max(inputs, outputs)));
  char *x_packed = scratch(ROWS, packed_bytes(inputs, chunk));
  char *dy_packed = scratch(ROWS2, std::max(packed_bytes(outputs, chunk), ceil_div(chunk, PANEL) * bytes));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    parallel(ceil_div(n, PANEL), [&](int64_t p) {
      for (int k = 0; k < layers; k++)
        pack_panel<A_SIDE, ALONG>(make(k, r), p * PANEL, n, 0, outputs, dy_packed + p * bytes + k * part);
    });
    multiply(dy_packed, n, weight, inputs, depth, [&](int64_t row, int64_t column, const float *c) {
      each_vector(row, column, n, inputs, c,
                  [&](int64_t i, int64_t k, vfloat v, int m) { store_n(dx + (r + i) * inputs + k, v, m); });
    });
    pack<B_SIDE, ACROSS>(Plain{x + r * inputs, inputs}, inputs, 0, n, x_packed);
    for (int k = 0; k < layers; k++) {
      to_weight(make(k, r), x_packed, n, inputs, outputs, dw[k], r > 0, dy_packed);
      column_sums(make(k, r), n, outputs, db[k], r > 0);
    }
  }
}

// kept [rows, I] gets what goes into the activation, if it is not null
void feed_forward(const Arguments &a, float *kept) {
  const int64_t rows = a.rows(0);
  const int64_t inputs = a.last(0);
  const int64_t wide = a.last(2);
  const int64_t outputs = a.last(4);
  const char *w1 = packed_weight(WEIGHT, a.f(1), wide, inputs);
  const char *w2 = packed_weight(WEIGHT2, a.f(3), outputs, wide);
  const int64_t chunk = std::min(rows, chunk_rows(wide));
  char *x_packed = scratch(ROWS, packed_bytes(chunk, inputs));
  char *a_packed = scratch(ROWS2, packed_bytes(chunk, wide));
  float *spare = kept ? nullptr : reinterpret_cast<float *>(scratch(WIDE, chunk * wide * 4));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    float *u = kept ? kept + r * wide : spare;
    forward<IDENTITY>({a.f(0) + r * inputs, inputs}, w1, a.f(2), n, inputs, wide, u, nullptr, x_packed);
    with_act(a.i(5)[0], [&](auto k) {
      pack<A_SIDE, ALONG>(Activated<k.value>{{u, wide}}, n, 0, wide, a_packed);
    });
    float *y = a.f(6) + r * outputs;
    const float *bias = a.f(4);
    multiply(a_packed, n, w2, outputs, wide, [&](int64_t row, int64_t column, const float *c) {
      each_vector(row, column, n, outputs, c, [&](int64_t i, int64_t j, vfloat v, int m) {
        store_n(y + i * outputs + j, v + load_n(bias + j, m), m);
      });
    });
  }
}

}  // namespace
}  // namespace bert

using namespace bert;

// x [.., I], weight [O, I], bias [O], meta (act) -> y [.., O]
BERT_OPERATOR(bert_linear, {
  with_act(a.i(3)[0], [&](auto k) {
    linear<k.value>(a.f(0), a.f(1), a.f(2), a.rows(0), a.last(0), a.last(4), a.f(4));
  });
})

// x, weight, bias, meta, dy -> dx, dweight, dbias; what goes into the activation is computed again
BERT_OPERATOR(bert_linear_backward, {
  const int64_t rows = a.rows(0);
  const int64_t inputs = a.last(0);
  const int64_t outputs = a.last(4);
  const float *x = a.f(0);
  const float *w = a.f(1);
  const float *dy = a.f(4);
  float *dw = a.f(6);
  float *db = a.f(7);
  if (a.i(3)[0] == IDENTITY) {
    linear_backward(x, &w, [&](int, int64_t r) { return Plain{dy + r * outputs, outputs}; }, 1, rows, inputs, outputs,
                    a.f(5), &dw, &db);
  } else {
    float *u = reinterpret_cast<float *>(scratch(WIDE, rows * outputs * 4));
    linear<IDENTITY>(x, w, a.f(2), rows, inputs, outputs, u);
    with_act(a.i(3)[0], [&](auto k) {
      linear_backward(
          x, &w,
          [&](int, int64_t r) {
            return TimesSlope<k.value>{{dy + r * outputs, outputs}, {u + r * outputs, outputs}};
          },
          1, rows, inputs, outputs, a.f(5), &dw, &db);
    });
  }
})

// x [.., H], three weights [O, H] each with its bias -> q, k, v [.., O]
BERT_OPERATOR(bert_qkv, {
  const int64_t rows = a.rows(0);
  const int64_t inputs = a.last(0);
  const int64_t outputs = a.last(7);
  const char *weight[3];
  const int slots[3] = {WEIGHT, WEIGHT2, WIDE};
  for (int k = 0; k < 3; k++) weight[k] = packed_weight(slots[k], a.f(1 + 2 * k), outputs, inputs);
  const int64_t chunk = chunk_rows(inputs);
  char *packed = scratch(ROWS, packed_bytes(std::min(chunk, rows), inputs));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    pack<A_SIDE, ALONG>(Plain{a.f(0) + r * inputs, inputs}, n, 0, inputs, packed);
    for (int k = 0; k < 3; k++) {
      const float *bias = a.f(2 + 2 * k);
      float *y = a.f(7 + k) + r * outputs;
      multiply(packed, n, weight[k], outputs, inputs, [&](int64_t row, int64_t column, const float *c) {
        each_vector(row, column, n, outputs, c, [&](int64_t i, int64_t j, vfloat v, int m) {
          store_n(y + i * outputs + j, v + load_n(bias + j, m), m);
        });
      });
    }
  }
})

// x, wq, wk, wv, dq, dk, dv -> dx, dwq, dbq, dwk, dbk, dwv, dbv
BERT_OPERATOR(bert_qkv_backward, {
  const int64_t outputs = a.last(4);
  const float *w[3] = {a.f(1), a.f(2), a.f(3)};
  const float *dy[3] = {a.f(4), a.f(5), a.f(6)};
  float *dw[3] = {a.f(8), a.f(10), a.f(12)};
  float *db[3] = {a.f(9), a.f(11), a.f(13)};
  linear_backward(a.f(0), w, [&](int k, int64_t r) { return Plain{dy[k] + r * outputs, outputs}; }, 3, a.rows(0),
                  a.last(0), outputs, a.f(7), dw, db);
})

// x [.., H], w1 [I, H], b1, w2 [O, I], b2, meta -> y [.., O]
BERT_OPERATOR(bert_feed_forward, { feed_forward(a, nullptr); })

// the same -> y [.., O], u [.., I], which goes into the activation
BERT_OPERATOR(bert_feed_forward_kept, { feed_forward(a, a.f(7)); })

// x, w1, w2, meta, u, dy -> dx, dw1, db1, dw2, db2
BERT_OPERATOR(bert_feed_forward_backward, {
  const int64_t rows = a.rows(0);
  const int64_t inputs = a.last(0);
  const int64_t wide = a.last(4);
  const int64_t outputs = a.last(5);
  const char *w1 = packed_weight_across(WEIGHT, a.f(1), wide, inputs);
  const char *w2 = packed_weight_across(WEIGHT2, a.f(2), outputs, wide);
  const int64_t chunk = std::min(rows, chunk_rows(wide));
  const int64_t narrow = std::max(inputs, outputs);
  char *packed = scratch(ROWS, std::max(packed_bytes(chunk, wide), packed_bytes(wide, chunk)));
  char *narrow_packed = scratch(ROWS2, std::max(packed_bytes(chunk, narrow), packed_bytes(narrow, chunk)));
  float *du = reinterpret_cast<float *>(scratch(WIDE, chunk * wide * 4));
  float *act_u = reinterpret_cast<float *>(scratch(WIDE2, chunk * wide * 4));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    const float *u = a.f(4) + r * wide;
    const Plain x{a.f(0) + r * inputs, inputs};
    const Plain dy{a.f(5) + r * outputs, outputs};
    // du = (dy w2) act'(u), with act(u) on the way
    pack<A_SIDE, ALONG>(dy, n, 0, outputs, narrow_packed);
    with_act(a.i(3)[0], [&](auto k) {
      multiply(narrow_packed, n, w2, wide, outputs, [&](int64_t row, int64_t column, const float *c) {
        each_vector(row, column, n, wide, c, [&](int64_t i, int64_t j, vfloat v, int m) {
          vfloat x = load_n(u + i * wide + j, m);
          store_n(du + i * wide + j, v * slope<k.value>(x), m);
          store_n(act_u + i * wide + j, act<k.value>(x), m);
        });
      });
    });
    // dw2 += dy^T act(u), db2
    pack<B_SIDE, ACROSS>(Plain{act_u, wide}, wide, 0, n, packed);
    to_weight(dy, packed, n, wide, outputs, a.f(9), r > 0, narrow_packed);
    column_sums(dy, n, outputs, a.f(10), r > 0);
    // dx = du w1; dw1 += du^T x, db1
    const Plain wide_gradient{du, wide};
    to_input(wide_gradient, w1, n, inputs, wide, a.f(6) + r * inputs, packed);
    pack<B_SIDE, ACROSS>(x, inputs, 0, n, narrow_packed);
    to_weight(wide_gradient, narrow_packed, n, inputs, wide, a.f(7), r > 0, packed);
    column_sums(wide_gradient, n, wide, a.f(8), r > 0);
  }
})
