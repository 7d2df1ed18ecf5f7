// Scaled dot-product attention: heads are read where they lie in [B, S, H]; nothing of size [B, N, S, T] is kept.
#include <limits>

#include "gemm.h"
#include "layers.h"

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

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

template <Side side, Layout layout, class Source>
void pack_all(const Source &source, int64_t lines, int64_t depth, char *panels) {
  for (int64_t p = 0; p * PANEL < lines; p++)
    pack_panel<side, layout>(source, p * PANEL, lines, 0, depth, panels + p * panel_bytes(depth));
}

#if BERT_AMX
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

struct Gradients {
  float *q, *k, *v;
};

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

#else
// Without tiles the scores of 32 queries lie [key][query]: the softmax needs no sum across a vector, and no matrix of
// scores is transposed for a product. Scores count in powers of 2.
constexpr int64_t BLOCK = PANEL * PANEL;
constexpr int64_t CHUNK = 2 * PANEL;    // keys whose scores stay in the first-level cache
constexpr int64_t NEAR = 8192;          // floats of each of eight matrices find room in the second-level cache
constexpr int QUERIES = PANEL / LANES;  // vectors

// 2^x for x <= 0: a polynomial on [0, 1], error below 3e-9 relative, exactly 1 at 0. NaN stays NaN.
inline vfloat power_of_2(vfloat x) {
#if defined(__AVX512DQ__)
  const vfloat r = (vfloat)_mm512_reduce_ps((__m512)x, 1 | 8);  // x - floor(x), 0 at -inf
#else
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  x = at_least(x, -150.0f);
  const vfloat k = (x - 0.5f + round) - round, r = x - k;
#endif
  vfloat p = splat(2.1612914861179888e-4f) * r + 1.2467846972867846e-3f;
  p = p * r + 9.675451554358006e-3f;
  p = p * r + 5.5485282093286514e-2f;
  p = p * r + 0.2402293086051941f;
  p = p * r + 0.6931470632553101f;
  p = p * r + 1.0f;
#if defined(__AVX512DQ__)
  return (vfloat)_mm512_scalef_ps((__m512)p, (__m512)x);  // p * 2^floor(x)
#else
  const vint n = __builtin_convertvector(k == k ? k : splat(0.0f), vint), half = n >> 1;  // 2^-150 in one is no float
  return p * (vfloat)((half + 127) << 23) * (vfloat)((n - half + 127) << 23);
#endif
}

// Rows of the head that a thread probably attends to next, in matrices that are read or written: one cache line of each
// is brought nearer at a time. A matrix may have fewer rows; what lies behind them comes for nothing.
template <int read, int written>
struct Coming {
  const float *data[read + written];
  int64_t stride, rows, floats, at = 0;
  void fetch() {
    if (rows <= 0) return;
    for (int i = 0; i < read; i++) __builtin_prefetch(data[i] + at, 0, 2);
    for (int i = read; i < read + written; i++) __builtin_prefetch(data[i] + at, 1, 2);
    at += 16;
    if (at < floats) return;
    at = 0;
    for (const float *&p : data) p += stride;
    rows--;
  }
};

// The first `there` of 32 lines of A times 32 columns of B; finish(line, column, sums) takes each vector.
template <int64_t along, int64_t across, class Fetch, class Finish>
inline void strips(const float *a, int64_t there, const float *b, int64_t depth, Fetch fetch, Finish finish) {
  each_strip([&](int line, auto lines) {
    if (line < there)
      strip<decltype(lines)::value, along, across>(a + line * across, 0, b, depth, fetch,
                                                   [=](int i, int column, vfloat x) { finish(line + i, column, x); });
  });
}

struct Softmax {  // of 32 queries: the largest score, the sum of powers, and by what both change with more keys
  alignas(64) float top[PANEL], total[PANEL], change[PANEL];
};

// scores[there][32] = keys * queries + mask; top = the largest of them and of what it was.
template <class Fetch>
void score(const float *keys, const float *queries, const float *mask, int64_t there, int64_t size, Fetch fetch,
           float *scores, float *top) {
  for (int64_t p = 0; p < there; p += PANEL, keys += panel_bytes(size) / 4)
    each_strip([&](int line, auto lines) {
      const int64_t first = p + line;
      if (first >= there) return;
      vfloat most[QUERIES];
      for (int r = 0; r < QUERIES; r++) most[r] = load(top + r * LANES);
      const auto finish = [&](int i, int column, vfloat x) {
        x = x + mask[first + i];
        store(scores + (first + i) * PANEL + column, x);
        most[column / LANES] = larger(most[column / LANES], x);
      };
      strip<decltype(lines)::value, PANEL, 1>(keys + line, 0, queries, size, fetch, finish);
      for (int r = 0; r < QUERIES; r++) store(top + r * LANES, most[r]);
    });
}

// scores[there][32] = 2^(scores - top), where top was `before` until these keys came.
void exponentiate(const float *before, int64_t there, float *scores, Softmax &s) {
  vfloat top[QUERIES], total[QUERIES];
  for (int r = 0; r < QUERIES; r++) {
    top[r] = load(s.top + r * LANES);
    top[r] = top[r] < std::numeric_limits<float>::lowest() ? vfloat{} : top[r];  // -inf - -inf is NaN
    const vfloat change = power_of_2(load(before + r * LANES) - top[r]);
    store(s.change + r * LANES, change);
    total[r] = load(s.total + r * LANES) * change;
  }
  for (int64_t first = 0; first < there; first += 16) {  // sums of sums are more exact
    vfloat part[QUERIES]{};
    for (int64_t t = first; t < std::min(there, first + 16); t++)
      for (int r = 0; r < QUERIES; r++, scores += LANES) {
        const vfloat x = power_of_2(load(scores) - top[r]);
        store(scores, x);
        part[r] += x;
      }
    for (int r = 0; r < QUERIES; r++) total[r] += part[r];
  }
  for (int r = 0; r < QUERIES; r++) store(s.total + r * LANES, total[r]);
}

// factors[there][32], and what a panel has beyond: 0 or the scale of what is kept. Queries' numbers are `keys` apart.
void draw(const Mask &drops, uint32_t index, uint32_t keys, int64_t there, float *factors) {
  alignas(64) float x[BLOCK];
  for (int64_t t = 0; t < there; t += PANEL, factors += BLOCK) {
    for (int r = 0; r < PANEL; r++)
      for (int c = 0; c < PANEL; c += LANES)
        store(x + r * PANEL + c, drop(drops, index + r * keys + static_cast<uint32_t>(t + c), splat(1.0f)));
    turn(x, factors);
  }
}

// Where the first row of a head is in q, and in k and v.
struct Head {
  int64_t at_q, at_k;
  Head(const Shape &s, int64_t head)
      : at_q(head / s.heads * s.queries * s.width + head % s.heads * s.size),
        at_k(head / s.heads * s.keys * s.width + head % s.heads * s.size) {}
};

float *local_floats(int slot, size_t bytes) { return reinterpret_cast<float *>(local_scratch(slot, bytes)); }

template <Side side, Layout layout, class Source>
void pack_all(const Source &source, int64_t lines, int64_t depth, float *panels) {
  pack_all<side, layout>(source, lines, depth, reinterpret_cast<char *>(panels));
}

uint32_t first_drop(const Shape &s, int64_t head, int64_t query, int64_t key) {
  return static_cast<uint32_t>((head * s.queries + query) * s.keys + key);
}

// Keys are taken chunk by chunk; what earlier chunks gave is brought down to a new largest score.
void attend(const Shape &s, const float *mask, const Mask &drops, int64_t head, const float *q, const float *k,
            const float *v, float *out) {
  const Head here(s, head), then(s, std::min<int64_t>(head + threads(), s.batch * s.heads - 1));
  Coming<3, 1> next{{q + then.at_q, k + then.at_k, v + then.at_k, out + then.at_q}, s.width, s.keys, s.size};
  const auto fetch = [&] { next.fetch(); };
  const int64_t panel = panel_bytes(s.size) / 4, deep = panel_bytes(s.keys) / 4;
  float *keys = local_floats(0, packed_bytes(s.keys, s.size)), *values = local_floats(1, packed_bytes(s.size, s.keys));
  float *queries = local_floats(2, panel_bytes(s.size)), *context = local_floats(3, panel_bytes(s.size));
  pack_all<A_SIDE, ALONG>(Plain{k + here.at_k, s.width}, s.keys, s.size, keys);
  pack_all<B_SIDE, ACROSS>(Plain{v + here.at_k, s.width}, s.size, s.keys, values);
  mask += head / s.heads * s.padded;
  alignas(64) float scores[CHUNK * PANEL], factors[CHUNK * PANEL], before[PANEL];
  for (int64_t i = 0; i < s.queries; i += PANEL) {
    const int64_t rows = std::min(PANEL, s.queries - i);
    const Scaled source{{q + here.at_q + i * s.width, s.width}, s.scale * LOG2_E};
    pack_all<B_SIDE, ALONG>(source, rows, s.size, queries);
    Softmax softmax{};
    std::fill(softmax.top, softmax.top + PANEL, -std::numeric_limits<float>::infinity());
    for (int64_t t = 0; t < s.keys; t += CHUNK) {
      const int64_t there = std::min(CHUNK, s.keys - t);
      std::memcpy(before, softmax.top, sizeof before);
      score(keys + t / PANEL * panel, queries, mask + t, there, s.size, fetch, scores, softmax.top);
      exponentiate(before, there, scores, softmax);
      if (drops.drops()) {
        draw(drops, first_drop(s, head, i, t), static_cast<uint32_t>(s.keys), there, factors);
        for (int64_t c = 0; c < there * PANEL; c += LANES) store(scores + c, load(scores + c) * load(factors + c));
      }
      for (int64_t j = 0; j < s.size; j += PANEL) {
        float *c = context + j * PANEL;
        strips<PANEL, 1>(scores, rows, values + j / PANEL * deep + t * PANEL, there, fetch,
                         [&](int r, int column, vfloat x) {
                           float *to = c + r * PANEL + column;
                           store(to, t ? load(to) * softmax.change[r] + x : x);
                         });
      }
    }
    for (int r = 0; r < PANEL; r++) softmax.total[r] = 1.0f / softmax.total[r];
    for (int64_t j = 0; j < s.size; j += PANEL)
      each_vector(0, j, rows, s.size, context + j * PANEL, [&](int64_t r, int64_t d, vfloat x, int m) {
        store_n(out + here.at_q + (i + r) * s.width + d, x * softmax.total[r], m);
      });
  }
}

// Where the sums of strips go, or are added.
struct Into {
  float *sums;
  bool add;
  void operator()(int line, int column, vfloat x) const {
    float *to = sums + line * PANEL + column;
    store(to, add ? load(to) + x : x);
  }
};

// sums[rows] = the sums of a * b along the rows
void dots(Plain a, Plain b, int64_t rows, int64_t columns, float *sums) {
  for (int64_t r = 0; r < rows; r++) {
    vfloat total{};
    for (int64_t c = 0; c < columns; c += LANES) {
      const int n = static_cast<int>(std::min<int64_t>(LANES, columns - c));
      total += a(r, c, n) * b(r, c, n);
    }
    sums[r] = sum(total);
  }
}

struct Gradients {
  float *q, *k, *v;
};

// The probabilities of 32 queries for all keys once more, then chunk by chunk what they and their gradient add to each
// product; [key][query] is as good for a left side along the queries as along the keys.
void attend_backward(const Shape &s, const float *mask, const Mask &drops, int64_t head, const float *q,
                     const float *k, const float *v, const float *out, const float *dout, const Gradients &d) {
  const Head here(s, head), then(s, std::min<int64_t>(head + threads(), s.batch * s.heads - 1));
  Coming<5, 3> next{{q + then.at_q, k + then.at_k, v + then.at_k, out + then.at_q, dout + then.at_q, d.q + then.at_q,
                     d.k + then.at_k, d.v + then.at_k},
                    s.width, std::min(s.keys, NEAR / s.size), s.size};
  const auto fetch = [&] { next.fetch(); };
  const Plain key{k + here.at_k, s.width}, value{v + here.at_k, s.width};
  const int64_t panel = panel_bytes(s.size) / 4, deep = panel_bytes(s.keys) / 4, all = packed_bytes(s.keys, s.size);
  float *keys = local_floats(0, all), *values = local_floats(1, all), *dkeys = local_floats(2, all);
  float *dvalues = local_floats(3, all), *key_rows = local_floats(4, packed_bytes(s.size, s.keys));
  float *tile = local_floats(5, 5 * panel_bytes(s.size)), *scores = local_floats(6, s.padded * PANEL * 4);
  float *queries = tile, *dcontexts = tile + panel, *dqueries = tile + 2 * panel;
  float *query_rows = tile + 3 * panel, *dcontext_rows = tile + 4 * panel;
  pack_all<A_SIDE, ALONG>(key, s.keys, s.size, keys);
  pack_all<A_SIDE, ALONG>(value, s.keys, s.size, values);
  pack_all<B_SIDE, ACROSS>(key, s.size, s.keys, key_rows);
  mask += head / s.heads * s.padded;
  alignas(64) float dscores[CHUNK * PANEL], factors[CHUNK * PANEL], delta[PANEL], before[PANEL];
  std::fill(before, before + PANEL, -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < s.queries; i += PANEL) {
    const int64_t rows = std::min(PANEL, s.queries - i), at = here.at_q + i * s.width;
    const Plain query{q + at, s.width}, dcontext{dout + at, s.width}, context{out + at, s.width};
    pack_all<B_SIDE, ALONG>(Scaled{query, s.scale * LOG2_E}, rows, s.size, queries);
    pack_all<B_SIDE, ALONG>(dcontext, rows, s.size, dcontexts);
    pack_all<B_SIDE, ACROSS>(query, s.size, rows, query_rows);
    pack_all<B_SIDE, ACROSS>(dcontext, s.size, rows, dcontext_rows);
    std::fill(delta, delta + PANEL, 0.0f);
    dots(dcontext, context, rows, s.size, delta);
    Softmax softmax{};
    std::memcpy(softmax.top, before, sizeof before);
    score(keys, queries, mask, s.keys, s.size, fetch, scores, softmax.top);
    exponentiate(before, s.keys, scores, softmax);
    for (int r = 0; r < PANEL; r++) softmax.total[r] = 1.0f / softmax.total[r];
    for (int64_t t = 0; t < s.keys; t += CHUNK) {
      const int64_t there = std::min(CHUNK, s.keys - t);
      float *probs = scores + t * PANEL;
      if (drops.drops()) draw(drops, first_drop(s, head, i, t), static_cast<uint32_t>(s.keys), there, factors);
      for (int64_t p = 0; p < there; p += PANEL) {
        float *kept = probs + p * PANEL, *ds = dscores + p * PANEL;
        const float *factor = factors + p * PANEL;
        const int64_t lines = std::min(PANEL, there - p), n = (t + p) / PANEL * panel;
        strips<PANEL, 1>(values + n, lines, dcontexts, s.size, fetch, [&](int line, int column, vfloat dprob) {
          const int c = line * PANEL + column;
          const vfloat prob = load(kept + c) * load(softmax.total + column);
          if (drops.drops()) {
            const vfloat f = load(factor + c);
            store(kept + c, f > 0.0f ? prob * f : vfloat{});
            dprob = f > 0.0f ? dprob * f : vfloat{};
          } else {
            store(kept + c, prob);
          }
          store(ds + c, prob * (dprob - load(delta + column)) * s.scale);
        });
        for (int64_t j = 0; j < panel; j += BLOCK) {
          strips<1, PANEL>(kept, lines, dcontext_rows + j, rows, fetch, Into{dvalues + n + j, i > 0});
          strips<1, PANEL>(ds, lines, query_rows + j, rows, fetch, Into{dkeys + n + j, i > 0});
        }
      }
      for (int64_t j = 0; j < s.size; j += PANEL)
        strips<PANEL, 1>(dscores, rows, key_rows + j / PANEL * deep + t * PANEL, there, fetch,
                         Into{dqueries + j * PANEL, t > 0});
    }
    for (int64_t j = 0; j < s.size; j += PANEL)
      each_vector(0, j, rows, s.size, dqueries + j * PANEL,
                  [&](int64_t r, int64_t c, vfloat x, int m) { store_n(d.q + at + r * s.width + c, x, m); });
  }
  for (int64_t t = 0; t < s.keys; t += PANEL)
    for (int64_t j = 0; j < s.size; j += PANEL) {
      const auto write = [&](const float *from, float *to) {
        each_vector(t, j, s.keys, s.size, from + t / PANEL * panel + j * PANEL,
                    [&](int64_t r, int64_t c, vfloat x, int m) { store_n(to + here.at_k + r * s.width + c, x, m); });
      };
      write(dkeys, d.k);
      write(dvalues, d.v);
    }
}
#endif

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
