// Dense layers: forward with bias and activation, backward to input, weight and bias.
#include "activation.h"
#include "gemm.h"
#include "layers.h"

namespace bert {
namespace {

enum Slot { WEIGHT, WEIGHT2, ROWS, ROWS2, WIDE, WIDE2, WIDE3, SUMS };

// Rows that are packed at a time: enough for the caches to pay, few enough for little memory.
int64_t chunk_rows(int64_t depth) { return std::clamp<int64_t>((8 << 20) / (6 * depth) / PANEL * PANEL, 128, 1024); }

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

inline void put(float *p, vfloat v, int n, bool add) { store_n(p, add ? load_n(p, n) + v : v, n); }

// A weight [outputs, inputs] as its transpose is multiplied by: packed with tiles, as it is without.
struct Weight {
#if BERT_AMX
  Weight(int slot, const float *w, int64_t outputs, int64_t inputs) {
    char *p = scratch(slot, packed_bytes(outputs, inputs));
    pack<B_SIDE, ALONG>(Plain{w, inputs}, outputs, 0, inputs, p);
    data = p;
  }
  const char *data;
#else
  Weight(int, const float *w, int64_t, int64_t) : data(w) {}
  const float *data;
#endif
};

// y[rows, outputs] = act(packed x weight^T + bias)
template <int A>
void product(const char *x, Weight weight, const float *bias, int64_t rows, int64_t inputs, int64_t outputs, float *y) {
  const auto finish = [&](int64_t row, int64_t column, const float *c) {
    each_vector(row, column, rows, outputs, c, [&](int64_t r, int64_t k, vfloat v, int n) {
      store_n(y + r * outputs + k, act<A>(v + load_n(bias + k, n)), n);
    });
  };
#if BERT_AMX
  multiply(x, rows, weight.data, outputs, inputs, {y, outputs, false}, finish);
#else
  const Lines lines{weight.data, inputs, ALONG};
  const Target target{y, outputs, true};
  multiply(lines, outputs, x, rows, inputs, target, [&](int64_t column, int64_t row, const float *c) {
    alignas(64) float turned[PANEL * PANEL];
    turn(c, turned, std::min(PANEL, rows - row));
    finish(row, column, turned);
  });
#endif
}

// act(packed x weight^T + bias), packed for the next product without a detour; what goes into the activation is kept in
// u [rows, outputs] if that is not null.
template <int A>
void product_packed(const char *x, Weight weight, const float *bias, int64_t rows, int64_t inputs, int64_t outputs,
                    char *to, float *u) {
  const auto place = [&](int64_t row, int64_t column) {
    return to + row / PANEL * panel_bytes(outputs) + column / PANEL * STEP_BYTES;
  };
#if BERT_AMX
  const Target target{u, outputs, false};
  multiply(x, rows, weight.data, outputs, inputs, target, [&](int64_t row, int64_t column, const float *c) {
    alignas(64) float block[PANEL * PANEL] = {};
    each_vector(row, column, rows, outputs, c, [&](int64_t r, int64_t k, vfloat v, int n) {
      const vfloat before = v + load_n(bias + k, n);
      if (u) store_n(u + r * outputs + k, before, n);
      store_n(block + (r - row) * PANEL + k - column, act<A>(before), n);
    });
    pack_step<A_SIDE, ALONG>(block, place(row, column));
  });
#else
  const Lines lines{weight.data, inputs, ALONG};
  const Target target{u, outputs, true};
  multiply(lines, outputs, x, rows, inputs, target, [&](int64_t line, int64_t row, const float *c) {
    alignas(64) float before[PANEL * PANEL] = {}, turned[PANEL * PANEL];
    float *step = reinterpret_cast<float *>(place(row, line));
    const int64_t there = std::min(PANEL, outputs - line), wide = vectors(rows - row) * LANES;
    for (int64_t i = 0; i < there; i++)
      for (int64_t at = i * PANEL; at < i * PANEL + wide; at += LANES) {
        const vfloat v = load(c + at) + bias[line + i];
        store(before + at, v);
        store(step + at, act<A>(v));
      }
    std::memset(step + there * PANEL, 0, (PANEL - there) * PANEL * 4);
    if (!u) return;
    turn(before, turned, std::min(PANEL, rows - row));
    each_vector(row, line, rows, outputs, turned,
                [&](int64_t r, int64_t k, vfloat v, int n) { store_n(u + r * outputs + k, v, n); });
  });
#endif
}

// The left side of a product: packed in scratch memory with tiles, as it is without.
#if BERT_AMX
using Left = const char *;
template <Layout layout>
Left left(int slot, const float *data, int64_t stride, int64_t lines, int64_t depth) {
  char *p = scratch(slot, packed_bytes(lines, depth));
  pack<A_SIDE, layout>(Plain{data, stride}, lines, 0, depth, p);
  return p;
}
#else
using Left = Lines;
template <Layout layout>
Left left(int, const float *data, int64_t stride, int64_t, int64_t) {
  return {data, stride, layout};
}
#endif

// out[lines, columns] (+)= left times packed panels
void product_to(const Left &a, int64_t lines, const char *b, int64_t columns, int64_t depth, float *out, bool add) {
  multiply(a, lines, b, columns, depth, {out, columns, false}, [&](int64_t line, int64_t column, const float *c) {
    each_vector(line, column, lines, columns, c,
                [&](int64_t r, int64_t k, vfloat v, int n) { put(out + r * columns + k, v, n, add); });
  });
}

char *packed_weight_across(int slot, const float *w, int64_t outputs, int64_t inputs) {
  char *p = scratch(slot, packed_bytes(inputs, outputs));
  pack<B_SIDE, ACROSS>(Plain{w, inputs}, inputs, 0, outputs, p);
  return p;
}

// A gradient [rows, columns] that comes in blocks, as the left side of a product over its columns, along(), and, if that is
// wanted, of one over its rows, across(). Tiles need it packed for each; otherwise both read the same floats.
#if BERT_AMX
struct Gradient {
  int64_t columns;
  char *by_columns, *by_rows;
  Gradient(int64_t rows, int64_t columns, bool across)
      : columns(columns), by_columns(scratch(WIDE2, packed_bytes(rows, columns))),
        by_rows(across ? scratch(WIDE3, packed_bytes(columns, rows)) : nullptr) {}
  void put(const float *block, int64_t row, int64_t column, int64_t rows) {
    const int64_t high = row / PANEL, broad = column / PANEL;
    pack_step<A_SIDE, ALONG>(block, by_columns + high * panel_bytes(columns) + broad * STEP_BYTES);
    if (by_rows) pack_step<A_SIDE, ACROSS>(block, by_rows + broad * panel_bytes(rows) + high * STEP_BYTES);
  }
  Left along() const { return by_columns; }
  Left across() const { return by_rows; }
};
#else
struct Gradient {
  int64_t columns;
  float *data;
  Gradient(int64_t rows, int64_t columns, bool)
      : columns(columns), data(reinterpret_cast<float *>(scratch(WIDE2, rows * columns * 4))) {}
  void put(const float *block, int64_t row, int64_t column, int64_t rows) {
    each_vector(row, column, rows, columns, block,
                [&](int64_t r, int64_t k, vfloat v, int n) { store_n(data + r * columns + k, v, n); });
  }
  Left along() const { return {data, columns, ALONG}; }
  Left across() const { return {data, columns, ACROSS}; }
};
#endif

// forward of one dense layer, in chunks of rows
template <int A>
void linear(const float *x, const float *w, const float *b, int64_t rows, int64_t inputs, int64_t outputs, float *y) {
  const Weight weight(WEIGHT, w, outputs, inputs);
  const int64_t chunk = std::min(rows, chunk_rows(inputs));
  char *packed = scratch(ROWS, packed_bytes(chunk, inputs));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    pack<A_SIDE, ALONG>(Plain{x + r * inputs, inputs}, n, 0, inputs, packed);
    product<A>(packed, weight, b, n, inputs, outputs, y + r * outputs);
  }
}

}  // namespace

void dense_backward(int layers, const float *x, const float *const *w, const float *const *dy, int64_t rows,
                    int64_t inputs, int64_t outputs, float *dx, bool add, float *const *dw, float *const *db) {
  const size_t bytes = packed_bytes(inputs, outputs);
  char *weight = scratch(WEIGHT, layers * bytes);
  for (int k = 0; k < layers; k++)
    pack<B_SIDE, ACROSS>(Plain{w[k], inputs}, inputs, 0, outputs, weight + k * bytes);
  const int64_t chunk = std::min<int64_t>(rows, 1024);  // every further one adds to all of dw again
  char *x_packed = scratch(ROWS, packed_bytes(inputs, chunk));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    const auto d = [&](int k) { return dy[k] + r * outputs; };
    for (int k = 0; k < layers; k++)
      product_to(left<ALONG>(ROWS2, d(k), outputs, n, outputs), n, weight + k * bytes, inputs, outputs, dx + r * inputs,
                 add || k > 0);
    if (std::any_of(dw, dw + layers, [](const float *gradient) { return gradient != nullptr; }))
      pack<B_SIDE, ACROSS>(Plain{x + r * inputs, inputs}, inputs, 0, n, x_packed);
    for (int k = 0; k < layers; k++) {
      if (dw[k]) product_to(left<ACROSS>(ROWS2, d(k), outputs, outputs, n), outputs, x_packed, inputs, n, dw[k], r > 0);
      if (db[k]) column_sums(Plain{d(k), outputs}, n, outputs, db[k], r > 0);
    }
  }
}

void dense(const float *x, const float *w, const float *b, int64_t rows, int64_t inputs, int64_t outputs, float *y) {
  linear<IDENTITY>(x, w, b, rows, inputs, outputs, y);
}

void query_key_value(const float *x, const float *const *w, const float *const *b, int64_t rows, int64_t inputs,
                     int64_t outputs, float *const *y) {
  const Weight weight[3] = {
      {WEIGHT, w[0], outputs, inputs}, {WEIGHT2, w[1], outputs, inputs}, {WIDE, w[2], outputs, inputs}};
  const int64_t chunk = std::min(rows, chunk_rows(inputs));
  char *packed = scratch(ROWS, packed_bytes(chunk, inputs));
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t n = std::min(chunk, rows - r);
    pack<A_SIDE, ALONG>(Plain{x + r * inputs, inputs}, n, 0, inputs, packed);
    for (int k = 0; k < 3; k++) product<IDENTITY>(packed, weight[k], b[k], n, inputs, outputs, y[k] + r * outputs);
  }
}

void feed_forward(const FeedForward &f, float *y, float *kept) {
  const Weight w1(WEIGHT, f.w1, f.wide, f.inputs), w2(WEIGHT2, f.w2, f.outputs, f.wide);
  const int64_t chunk = std::min(f.rows, chunk_rows(f.wide));
  char *x_packed = scratch(ROWS, packed_bytes(chunk, f.inputs));
  char *a_packed = scratch(ROWS2, packed_bytes(chunk, f.wide));
  for (int64_t r = 0; r < f.rows; r += chunk) {
    const int64_t n = std::min(chunk, f.rows - r);
    pack<A_SIDE, ALONG>(Plain{f.x + r * f.inputs, f.inputs}, n, 0, f.inputs, x_packed);
    with_act(f.act, [&](auto k) {
      product_packed<k.value>(x_packed, w1, f.b1, n, f.inputs, f.wide, a_packed, kept ? kept + r * f.wide : nullptr);
    });
    product<IDENTITY>(a_packed, w2, f.b2, n, f.wide, f.outputs, y + r * f.outputs);
  }
}

void feed_forward_backward(const FeedForward &f, const float *all_u, const float *all_dy, float *dx, bool add,
                           float *dw1, float *db1, float *dw2, float *db2) {
  const int64_t inputs = f.inputs, wide = f.wide, outputs = f.outputs;
  const char *w1 = packed_weight_across(WEIGHT, f.w1, wide, inputs);
  const char *w2 = packed_weight_across(WEIGHT2, f.w2, outputs, wide);
  const int64_t chunk = std::min<int64_t>(f.rows, 1024);
  char *x_packed = scratch(ROWS, packed_bytes(inputs, chunk)), *act_u = scratch(WIDE, packed_bytes(wide, chunk));
  Gradient du(chunk, wide, dw1 != nullptr);
  // sums of du's columns by 32 rows
  float *sums = reinterpret_cast<float *>(scratch(SUMS, ceil_div(chunk, PANEL) * wide * 4));
  for (int64_t r = 0; r < f.rows; r += chunk) {
    const int64_t n = std::min(chunk, f.rows - r);
    const float *u = all_u + r * wide, *dy = all_dy + r * outputs;
    // du = (dy w2) act'(u), with act(u) on the way
    const Left dy_left = left<ALONG>(ROWS2, dy, outputs, n, outputs);
    const Target target{u, wide, false};
    with_act(f.act, [&](auto k) {
      multiply(dy_left, n, w2, wide, outputs, target, [&](int64_t row, int64_t column, const float *c) {
        alignas(64) float d[PANEL * PANEL] = {}, a[PANEL * PANEL] = {}, sum[PANEL] = {};
        each_vector(row, column, n, wide, c, [&](int64_t i, int64_t j, vfloat v, int m) {
          const vfloat before = load_n(u + i * wide + j, m), gradient = v * slope<k.value>(before);
          const int64_t at = (i - row) * PANEL + j - column;
          store_n(d + at, gradient, m);
          store_n(a + at, act<k.value>(before), m);
          put(sum + j - column, gradient, m, true);
        });
        du.put(d, row, column, n);
        if (dw2) pack_step<B_SIDE, ACROSS>(a, act_u + column / PANEL * panel_bytes(n) + row / PANEL * STEP_BYTES);
        std::memcpy(sums + row / PANEL * wide + column, sum, std::min(PANEL, wide - column) * 4);
      });
    });
    if (dw2) product_to(left<ACROSS>(ROWS2, dy, outputs, outputs, n), outputs, act_u, wide, n, dw2, r > 0);
    if (db2) column_sums(Plain{dy, outputs}, n, outputs, db2, r > 0);
    product_to(du.along(), n, w1, inputs, wide, dx + r * inputs, add);
    if (dw1) {
      pack<B_SIDE, ACROSS>(Plain{f.x + r * inputs, inputs}, inputs, 0, n, x_packed);
      product_to(du.across(), wide, x_packed, inputs, n, dw1, r > 0);
    }
    if (db1) column_sums(Plain{sums, wide}, ceil_div(n, PANEL), wide, db1, r > 0);
  }
}

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
  const int64_t rows = a.rows(0), inputs = a.last(0), outputs = a.last(4);
  const float *x = a.f(0), *w = a.f(1), *dy = a.f(4);
  float *dw = a.f(6), *db = a.f(7);
  if (a.i(3)[0] == IDENTITY) {
    dense_backward(1, x, &w, &dy, rows, inputs, outputs, a.f(5), false, &dw, &db);
  } else {
    // u, which goes into the activation, then its gradient in the same place
    float *u = reinterpret_cast<float *>(scratch(WIDE, rows * outputs * 4));
    dense(x, w, a.f(2), rows, inputs, outputs, u);
    with_act(a.i(3)[0], [&](auto k) {
      parallel(rows, [&](int64_t r) {
        for (int64_t c = r * outputs; c < (r + 1) * outputs; c += LANES) {
          const int n = static_cast<int>(std::min<int64_t>(LANES, (r + 1) * outputs - c));
          store_n(u + c, load_n(dy + c, n) * slope<k.value>(load_n(u + c, n)), n);
        }
      });
    });
    const float *du = u;
    dense_backward(1, x, &w, &du, rows, inputs, outputs, a.f(5), false, &dw, &db);
  }
})

// x [.., H], three weights [O, H] each with its bias -> q, k, v [.., O]
BERT_OPERATOR(bert_qkv, {
  const float *w[3] = {a.f(1), a.f(3), a.f(5)}, *b[3] = {a.f(2), a.f(4), a.f(6)};
  float *y[3] = {a.f(7), a.f(8), a.f(9)};
  query_key_value(a.f(0), w, b, a.rows(0), a.last(0), a.last(7), y);
})

// x, wq, wk, wv, dq, dk, dv -> dx, dwq, dbq, dwk, dbk, dwv, dbv
BERT_OPERATOR(bert_qkv_backward, {
  const float *w[3] = {a.f(1), a.f(2), a.f(3)}, *dy[3] = {a.f(4), a.f(5), a.f(6)};
  float *dw[3] = {a.f(8), a.f(10), a.f(12)}, *db[3] = {a.f(9), a.f(11), a.f(13)};
  dense_backward(3, a.f(0), w, dy, a.rows(0), a.last(0), a.last(4), a.f(7), false, dw, db);
})

// x [.., H], w1 [I, H], b1, w2 [O, I], b2, meta -> y [.., O]
BERT_OPERATOR(bert_feed_forward, {
  feed_forward({a.f(0), a.f(1), a.f(2), a.f(3), a.f(4), a.i(5)[0], a.rows(0), a.last(0), a.last(2), a.last(4)}, a.f(6),
               nullptr);
})

// the same -> y [.., O], u [.., I], which goes into the activation
BERT_OPERATOR(bert_feed_forward_kept, {
  feed_forward({a.f(0), a.f(1), a.f(2), a.f(3), a.f(4), a.i(5)[0], a.rows(0), a.last(0), a.last(2), a.last(4)}, a.f(6),
               a.f(7));
})

// x, w1, w2, meta, u, dy -> dx, dw1, db1, dw2, db2
BERT_OPERATOR(bert_feed_forward_backward, {
  feed_forward_backward(
      {a.f(0), a.f(1), nullptr, a.f(2), nullptr, a.i(3)[0], a.rows(0), a.last(0), a.last(4), a.last(5)}, a.f(4),
      a.f(5), a.f(6), false, a.f(7), a.f(8), a.f(9), a.f(10));
})
