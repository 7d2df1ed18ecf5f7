// One head's attention without tiles.
//
// The scores of 32 queries lie [key][query]: the softmax needs no sum across a vector, and no matrix of
// scores is transposed for a product. Scores count in powers of 2.
#pragma once
#include "attention_shape.h"

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

namespace bert {
namespace {

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
      strip<decltype(lines)::value, along, across>(a + line * across, 0, b, depth, QUERIES, fetch,
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
      strip<decltype(lines)::value, PANEL, 1>(keys + line, 0, queries, size, QUERIES, fetch, finish);
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

}  // namespace
}  // namespace bert
