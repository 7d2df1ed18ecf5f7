// All layers of an encoder with products of 8-bit integers: weights rounded beforehand, what they are multiplied with
// row by row. Attention, LayerNorm, activations and sums stay float32.
//
// A row x becomes u = round(x * 253 / (max x - min x)) + z, unsigned, where 0 counts among x and z is what 0 becomes; a
// weight w, one row of which makes one column of the result, v = round(w * 127 / max|w|), signed. Sums of u v are int32,
// exact; those of z v are taken off again. A row's result depends on nothing but the row: neither on the batch nor on
// the number of threads.
#include "activation.h"
#include "gemm.h"
#include "layers.h"

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#include <immintrin.h>
#endif

namespace bert {
namespace {

typedef uint8_t vbyte __attribute__((vector_size(LANES)));

constexpr int64_t COLUMNS = 64;                  // of a packed panel, a depth of four at a time: [depth / 4][64][4]
constexpr int64_t QUAD = 4;                      // bytes that are multiplied and summed at once
constexpr int LINES = 6;                         // rows whose sums fill the registers
constexpr int VECTORS = LANES == 16 ? 4 : 2;     // with so many vectors of columns
constexpr int64_t MOST_ROWS = 48;                // of a task,
constexpr int64_t NEAR_BYTES = 640 << 10;        // fewer where what is kept of them would not fit a second-level cache
constexpr int64_t FEW_ROWS = 32;                 // for which weights take longer to come than to be computed with
constexpr int64_t GROUP = 4;                     // rows of a thread where those few are divided

// sums + the four products of each lane, unsigned by signed bytes
inline vint dot(vint sums, int32_t u, vint v) {
#if defined(__AVX512VNNI__)
  return (vint)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(u), (__m512i)v);
#elif defined(__AVXVNNI__)
  return (vint)_mm256_dpbusd_avx_epi32((__m256i)sums, _mm256_set1_epi32(u), (__m256i)v);
#else
  for (int byte = 0; byte < QUAD; byte++) sums += (u >> 8 * byte & 255) * (v << (24 - 8 * byte) >> 24);
  return sums;
#endif
}

inline vint load_int(const void *p) { vint v; std::memcpy(&v, p, sizeof v); return v; }
inline int32_t load_four(const uint8_t *p) { int32_t v; std::memcpy(&v, p, QUAD); return v; }
inline uint32_t whole_bits(float x) { uint32_t v; std::memcpy(&v, &x, 4); return v; }

int64_t padded(int64_t columns) { return ceil_div(columns, COLUMNS) * COLUMNS; }
int64_t row_bytes(int64_t depth) { return padded(depth); }

inline int lanes(int64_t depth, int64_t c) { return static_cast<int>(std::min<int64_t>(LANES, depth - c)); }

// What a row's result has to be multiplied with, and what 0 is among its bytes.
struct Scale {
  float factor;
  int32_t zero;
};

// From the least number of a row to the largest: 0 and 255 are left for what the last bits of float32 may do.
constexpr float STEPS = 253;

// u of act(x), a row. Bytes after the last number are those of 0.
template <int A>
Scale round_row(const float *x, int64_t depth, float *active, uint8_t *u) {
  vfloat top{}, bottom{}, nothing{};
  for (int64_t c = 0; c < depth; c += LANES) {
    const int n = lanes(depth, c);
    vfloat v = act<A>(load_n(x + c, n));
    if (A != IDENTITY) {
      store_n(active + c, v, n);
      v = load_n(active + c, n);  // act(0) of lanes after the last number may be more than 0
    }
    top = larger(top, v);
    bottom = larger(bottom, -v);
    nothing += v - v;  // a NaN or inf makes the whole row NaN
  }
  const float least = -largest(bottom), range = largest(top) - least + sum(nothing);
  const float inverse = range > 0 ? STEPS / range : 0;
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the lowest bits
  const uint32_t zero = 1 - whole_bits(least * inverse + round);
  for (int64_t c = 0; c < row_bytes(depth); c += LANES) {
    const vfloat v = c < depth ? load_n((A == IDENTITY ? x : active) + c, lanes(depth, c)) : vfloat{};
    const vbyte bytes = __builtin_convertvector((vuint)(v * inverse + round) + zero, vbyte);
    std::memcpy(u + c, &bytes, LANES);
  }
  return {range / STEPS, static_cast<int32_t>(zero & 255)};
}

// Columns of a product, all of them padded: panels of weights; -sum v, factor and bias of each column.
struct Product {
  const int8_t *panels;
  const int32_t *start;
  const float *factor, *bias;
  int64_t depth, columns;
  int64_t panel_bytes() const { return ceil_div(depth, QUAD) * QUAD * COLUMNS; }
  int64_t bytes() const { return padded(columns) / COLUMNS * panel_bytes(); }
};

// y[lines][COLUMNS] = (start * zero + u v) * factors of row and column + bias
template <int lines>
void tile(const Product &p, int64_t panel, const uint8_t *u, const Scale *scales, float *y, int64_t stride) {
  const int64_t bytes = row_bytes(p.depth), quads = ceil_div(p.depth, QUAD);
  for (int64_t c = 0; c < COLUMNS; c += VECTORS * LANES) {
    const int8_t *v = p.panels + panel * p.panel_bytes() + c * QUAD;
    const int64_t column = panel * COLUMNS + c;
    vint sums[lines][VECTORS];
    for (int j = 0; j < VECTORS; j++) {
      const vint start = load_int(p.start + column + j * LANES);
      for (int i = 0; i < lines; i++) sums[i][j] = start * scales[i].zero;
    }
    for (int64_t q = 0; q < quads; q++, v += COLUMNS * QUAD) {
      vint w[VECTORS];
      for (int j = 0; j < VECTORS; j++) w[j] = load_int(v + j * LANES * QUAD);
      for (int i = 0; i < lines; i++) {
        const int32_t four = load_four(u + i * bytes + q * QUAD);
        for (int j = 0; j < VECTORS; j++) sums[i][j] = dot(sums[i][j], four, w[j]);
      }
    }
    for (int j = 0; j < VECTORS; j++) {
      const vfloat factor = load(p.factor + column + j * LANES), bias = load(p.bias + column + j * LANES);
      for (int i = 0; i < lines; i++)
        store(y + i * stride + c + j * LANES,
              __builtin_convertvector(sums[i][j], vfloat) * (scales[i].factor * factor) + bias);
    }
  }
}

// A panel's columns of y[rows][stride] = x weight^T + bias of rounded rows; those of the last panel are all written.
void multiply(const Product &p, int64_t panel, int64_t rows, const uint8_t *u, const Scale *scales, float *y,
              int64_t stride) {
  const int64_t bytes = row_bytes(p.depth);
  float *to = y + panel * COLUMNS;
  int64_t r = 0;
  for (; r + LINES <= rows; r += LINES) tile<LINES>(p, panel, u + r * bytes, scales + r, to + r * stride, stride);
  for (; r + 2 <= rows; r += 2) tile<2>(p, panel, u + r * bytes, scales + r, to + r * stride, stride);
  for (; r < rows; r++) tile<1>(p, panel, u + r * bytes, scales + r, to + r * stride, stride);
}

// meta: heads, act, wide, eps, scale of scores
struct Encoder {
  int64_t batch, length, rows, width, wide, heads;
  int32_t act;
  float eps, scale;

  explicit Encoder(const Arguments &a)
      : batch(a.shapes[0][0]), length(a.shapes[0][1]), rows(a.rows(0)), width(a.last(0)), wide(a.i(2)[2]),
        heads(a.i(2)[0]), act(a.i(2)[1]) {
    std::memcpy(&eps, a.i(2) + 3, 4);
    std::memcpy(&scale, a.i(2) + 4, 4);
  }
};

// A layer from its three inputs: panels of all products, one after the other; start, factor and bias of all columns,
// int32 or the bits of floats; weight and bias of both LayerNorms.
struct Layer {
  Product qkv, output, inner, outer;
  const float *norms;

  Layer(const Encoder &e, const Arguments &a, int first) : norms(a.f(first + 2)) {
    const int8_t *panels = static_cast<const int8_t *>(a.data[first]);
    const int32_t *start = a.i(first + 1);
    const int64_t all = a.last(first + 1);
    const auto next = [&](int64_t depth, int64_t columns) {
      const Product p{panels, start, reinterpret_cast<const float *>(start + all),
                      reinterpret_cast<const float *>(start + 2 * all), depth, columns};
      panels += p.bytes();
      start += padded(columns);
      return p;
    };
    qkv = next(e.width, 3 * e.width);
    output = next(e.width, e.width);
    inner = next(e.width, e.wide);
    outer = next(e.wide, e.width);
  }
};

// What a task keeps of its rows, in memory of its thread. Of few rows there is one task, which no thread runs alone: they
// divide the panels of each product, so that none reads more of the weights than its part, and in between the rows.
struct Kept {
  int64_t rows;
  bool divided;
  uint8_t *u;
  Scale *scales;
  float *hidden, *narrow, *wide;
  int64_t narrow_stride, wide_stride;

  Kept(const Encoder &e, int64_t rows, bool divided)
      : rows(rows), divided(divided),
        u(reinterpret_cast<uint8_t *>(local_scratch(0, rows * row_bytes(std::max(e.width, e.wide))))),
        scales(reinterpret_cast<Scale *>(local_scratch(1, rows * sizeof(Scale)))), hidden(floats(2, rows * e.width)),
        narrow(floats(3, rows * padded(3 * e.width))), wide(floats(4, rows * padded(e.wide))),
        narrow_stride(padded(3 * e.width)), wide_stride(padded(e.wide)) {}

  static float *floats(int slot, int64_t count) { return reinterpret_cast<float *>(local_scratch(slot, count * 4)); }

  template <class Body>  // body(row)
  void each_row(Body &&body) const {
    const int64_t group = divided ? GROUP : rows;
    const auto some = [&](int64_t task) {
      for (int64_t r = task * group; r < std::min(rows, (task + 1) * group); r++) body(r);
    };
    divided ? parallel(ceil_div(rows, group), some) : some(0);
  }
  void product(const Product &p, float *y, int64_t stride) const {
    const auto one = [&](int64_t panel) { multiply(p, panel, rows, u, scales, y, stride); };
    const int64_t panels = ceil_div(p.columns, COLUMNS);
    if (divided) return parallel(panels, one);
    for (int64_t panel = 0; panel < panels; panel++) one(panel);
  }
  void round(const float *x, int64_t r, int64_t depth) const {
    scales[r] = round_row<IDENTITY>(x + r * depth, depth, nullptr, u + r * row_bytes(depth));
  }
  void round_active(int which, int64_t r, int64_t depth) const {
    float *row = wide + r * wide_stride;
    with_act(which, [&](auto a) {
      scales[r] = round_row<decltype(a)::value>(row, depth, row, u + r * row_bytes(depth));
    });
  }
};

// The rows of x [rows, width] become queries, keys and values from row `first` on.
void project(const Encoder &e, const Layer &l, const Kept &k, const float *x, int64_t first, float *const *qkv) {
  k.each_row([&](int64_t r) { k.round(x, r, e.width); });
  k.product(l.qkv, k.narrow, k.narrow_stride);
  for (int64_t r = 0; r < k.rows; r++)
    for (int part = 0; part < 3; part++)
      std::memcpy(qkv[part] + (first + r) * e.width, k.narrow + r * k.narrow_stride + part * e.width, e.width * 4);
}

// to = LayerNorm(what the last narrow product made + residual) of a row
void normalise(const Encoder &e, const Kept &k, const float *residual, const float *weight, int64_t r, float *to) {
  layer_norm_row({k.narrow + r * k.narrow_stride, residual + r * e.width, weight, Mask{}, 1, e.width, e.eps}, 0,
                 weight + e.width, to + r * e.width);
}

// What follows attention, of some rows: y = LayerNorm(h + outer(act(inner(h)))), h = LayerNorm(x + output(context)).
void follow(const Encoder &e, const Layer &l, const Kept &k, const float *context, float *y) {
  k.each_row([&](int64_t r) { k.round(context, r, e.width); });
  k.product(l.output, k.narrow, k.narrow_stride);
  k.each_row([&](int64_t r) {
    normalise(e, k, y, l.norms, r, k.hidden);
    k.round(k.hidden, r, e.width);
  });
  k.product(l.inner, k.wide, k.wide_stride);
  k.each_row([&](int64_t r) { k.round_active(e.act, r, e.wide); });
  k.product(l.outer, k.narrow, k.narrow_stride);
  k.each_row([&](int64_t r) { normalise(e, k, k.hidden, l.norms + 2 * e.width, r, y); });
}

int64_t task_rows(const Encoder &e) {
  const int64_t one = row_bytes(e.wide) + 4 * (padded(e.wide) + padded(3 * e.width) + e.width);
  const int64_t most = std::clamp<int64_t>(NEAR_BYTES / one / LINES * LINES, LINES, MOST_ROWS);
  return std::min(most, std::max<int64_t>(1, ceil_div(e.rows, threads())));
}

}  // namespace
}  // namespace bert

using namespace bert;

// x, mask (int32), meta, then for each layer panels, columns and norms -> y of the last one
BERT_OPERATOR(bert_int8_layers, {
  const Encoder e(a);
  const int layers = (count - 4) / 3;
  const bool few = e.rows <= FEW_ROWS && threads() > 1;
  const int64_t block = few ? e.rows : task_rows(e), elements = e.rows * e.width;
  float *y = a.f(count - 1), *parts[4];
  for (int k = 0; k < 4; k++) parts[k] = reinterpret_cast<float *>(scratch(LAYER_SLOT + k, elements * 4));
  const Attention attend{e.batch, e.heads, e.length, e.length, e.width, e.scale, a.data[1], true, Mask{}};
  const auto each = [&](auto &&body) {
    parallel(ceil_div(e.rows, block), [&](int64_t task) {
      body(Kept(e, std::min(block, e.rows - task * block), few), task * block);
    });
  };
  std::memcpy(y, a.f(0), elements * 4);
  each([&](const Kept &k, int64_t first) { project(e, Layer(e, a, 3), k, y + first * e.width, first, parts); });
  for (int layer = 0; layer < layers; layer++) {
    attention(attend, parts[0], parts[1], parts[2], parts[3]);
    const Layer l(e, a, 3 + 3 * layer);
    each([&](const Kept &k, int64_t first) {
      float *x = y + first * e.width;
      follow(e, l, k, parts[3] + first * e.width, x);
      if (layer + 1 < layers) project(e, Layer(e, a, 6 + 3 * layer), k, x, first, parts);
    });
  }
})

// 1 where products of bytes have an instruction of their own; without one they are slower than float32.
extern "C" int bert_int8_unit() {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return 1;
#else
  return 0;
#endif
}
