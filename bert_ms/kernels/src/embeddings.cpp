// What stands before the layers and after them: ids to normalised embeddings; hidden states to those of some tokens, or to
// one vector a row.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "gemm.h"
#include "layers.h"

namespace bert {
namespace {

enum Input { IDS, TYPES, WORDS, TYPE_ROWS, POSITIONS, WEIGHT, BIAS, META, Y };
constexpr int64_t BATCH = 32;  // rows of one task

bool within(int32_t id, int64_t rows) { return 0 <= id && id < rows; }

// An operator that fails would leave MindSpore's graph unfit for all that comes after, so what cannot be looked up is not
// a number, and neither is anything computed from it.
void no_number(float *to, int64_t count) { std::fill(to, to + count, std::numeric_limits<float>::quiet_NaN()); }

// y = word + token type + position
void sum_rows(const Arguments &a, bool has_positions, float *y) {
  const int64_t rows = a.size(IDS), width = a.last(WORDS), length = a.last(IDS);
  parallel(ceil_div(rows, BATCH), [&](int64_t task) {
    for (int64_t r = task * BATCH; r < std::min(rows, (task + 1) * BATCH); r++) {
      float *sum = y + r * width;
      if (!within(a.i(IDS)[r], a.shapes[WORDS][0]) || !within(a.i(TYPES)[r], a.shapes[TYPE_ROWS][0])) {
        no_number(sum, width);
        continue;
      }
      const float *word = a.f(WORDS) + a.i(IDS)[r] * width, *type = a.f(TYPE_ROWS) + a.i(TYPES)[r] * width;
      const float *position = a.f(POSITIONS) + r % length * width;
      for (int64_t c = 0; c < width; c += LANES) {
        const int n = static_cast<int>(std::min<int64_t>(LANES, width - c));
        vfloat v = load_n(word + c, n) + load_n(type + c, n);
        if (has_positions) v += load_n(position + c, n);
        store_n(sum + c, v, n);
      }
    }
  });
}

constexpr float LOWEST = -1e30f, LEAST_NORM = 1e-12f;  // of bert_ms/model/pooling.py
enum Pooling { FIRST, MEAN, MAX };

// One vector [width] from those of a row's tokens, x [length, width].
void pool_row(Pooling pooling, bool normalises, const float *x, const int32_t *mask, int64_t length, int64_t width,
              float *y) {
  const auto each = [&](auto &&body) {
    for (int64_t c = 0; c < width; c += LANES) body(c, static_cast<int>(std::min<int64_t>(LANES, width - c)));
  };
  const int64_t tokens = pooling == FIRST ? 1 : length, count = tokens - std::count(mask, mask + tokens, 0);
  if (pooling != FIRST) std::fill(y, y + width, pooling == MAX ? LOWEST : 0.0f);
  for (int64_t t = 0; t < tokens; t++) {
    if (pooling != FIRST && !mask[t]) continue;
    each([&](int64_t c, int n) {
      const vfloat v = load_n(x + t * width + c, n), before = load_n(y + c, n);
      const vfloat highest = v > before ? v : (v == v ? before : v);  // what is no number stays none
      store_n(y + c, pooling == FIRST ? v : pooling == MEAN ? before + v : highest, n);
    });
  }
  vfloat squares{};
  each([&](int64_t c, int n) {
    if (pooling == MEAN) store_n(y + c, load_n(y + c, n) / static_cast<float>(std::max<int64_t>(count, 1)), n);
    const vfloat v = load_part(y + c, n);
    squares += v * v;
  });
  const float norm = normalises ? std::max(std::sqrt(sum(squares)), LEAST_NORM) : 1.0f;
  each([&](int64_t c, int n) { store_n(y + c, load_n(y + c, n) / norm, n); });
}

}  // namespace
}  // namespace bert

using namespace bert;

// ids, types [B, S], words [V, H], token types [U, H], positions [P, H], weight, bias [H], meta (eps, 1 if there are
// positions) -> LayerNorm of the sum [B, S, H]; NaN for a token with an id outside its table
BERT_OPERATOR(bert_embeddings, {
  const int64_t ids = a.size(IDS), length = a.last(IDS);
  const bool has_positions = a.i(META)[1] != 0, fits = !has_positions || length <= a.shapes[POSITIONS][0];
  if (!fits || a.size(TYPES) != ids) return 1;
  sum_rows(a, has_positions, a.f(Y));
  Norm norm{a.f(Y), nullptr, a.f(WEIGHT), Mask{}, ids, a.last(WORDS), 0};
  std::memcpy(&norm.eps, a.i(META), 4);
  layer_norm(norm, a.f(BIAS), a.f(Y));
})

// x [B, S, H] -> x[:, 0]
BERT_OPERATOR(bert_first_token, {
  const int64_t width = a.last(0), row = a.shapes[0][1] * width;
  for (int64_t r = 0; r < a.shapes[0][0]; r++) std::memcpy(a.f(1) + r * width, a.f(0) + r * row, width * 4);
})

// x [B, S, H], dy [B, H] -> dx
BERT_OPERATOR(bert_first_token_backward, {
  const int64_t width = a.last(0), row = a.shapes[0][1] * width;
  std::memset(a.f(2), 0, a.size(0) * 4);
  for (int64_t r = 0; r < a.shapes[0][0]; r++) std::memcpy(a.f(2) + r * row, a.f(1) + r * width, width * 4);
})

// x [B, S, H], positions [B, P] -> x[b, positions[b]]; NaN for a position outside [0, S)
BERT_OPERATOR(bert_tokens_at, {
  const int64_t width = a.last(0), length = a.shapes[0][1], each = a.last(1);
  if (a.shapes[0][0] != a.shapes[1][0]) return 1;
  for (int64_t r = 0; r < a.size(1); r++) {
    const int32_t position = a.i(1)[r];
    float *y = a.f(2) + r * width;
    if (within(position, length))
      std::memcpy(y, a.f(0) + (r / each * length + position) * width, width * 4);
    else
      no_number(y, width);
  }
})

// x [B, S, H], mask int32 [B, S], meta (pooling, 1 to divide by the Euclidean norm) -> [B, H]
BERT_OPERATOR(bert_pool, {
  const int64_t length = a.shapes[0][1], width = a.last(0);
  if (a.shapes[0][0] != a.shapes[1][0] || (a.i(2)[0] != FIRST && length != a.last(1))) return 1;
  parallel(a.shapes[0][0], [&](int64_t row) {
    pool_row(static_cast<Pooling>(a.i(2)[0]), a.i(2)[1] != 0, a.f(0) + row * length * width, a.i(1) + row * length,
             length, width, a.f(3) + row * width);
  });
})
