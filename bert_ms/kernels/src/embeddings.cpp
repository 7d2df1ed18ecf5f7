// What stands before the layers and after them: ids to normalised embeddings, hidden states to those of some tokens.
#include <algorithm>
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
