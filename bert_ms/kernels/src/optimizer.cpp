// The optimiser's update and the norm of all gradients, over many tensors in one call.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gemm.h"

namespace bert {
namespace {

constexpr int64_t PIECE = 1 << 16;  // elements of one task, whatever the number of threads: it fixes the order of sums

struct Piece {
  int tensor;
  int64_t first, last;
};

std::vector<Piece> pieces(const Arguments &a, int first, int tensors) {
  std::vector<Piece> out;
  for (int t = 0; t < tensors; t++)
    for (int64_t i = 0, n = a.size(first + t); i < n; i += PIECE) out.push_back({t, i, std::min(n, i + PIECE)});
  return out;
}

}  // namespace
}  // namespace bert

using namespace bert;

// gradients.. -> [1], the square root of the sum of all squares
BERT_OPERATOR(bert_global_norm, {
  const int tensors = count - 1;
  const std::vector<Piece> work = pieces(a, 0, tensors);
  std::vector<double> sums(work.size());
  parallel(static_cast<int64_t>(work.size()), [&](int64_t k) {
    const float *g = a.f(work[k].tensor);
    double total = 0;
    for (int64_t i = work[k].first; i < work[k].last; i += 16 * LANES) {
      vfloat part{};
      for (int64_t j = i; j < std::min(work[k].last, i + 16 * LANES); j += LANES) {
        vfloat v = load_n(g + j, static_cast<int>(std::min<int64_t>(LANES, work[k].last - j)));
        part += v * v;
      }
      total += sum(part);
    }
    sums[k] = total;
  });
  double total = 0;
  for (double s : sums) total += s;
  a.f(tensors)[0] = static_cast<float>(std::sqrt(total));
})

// factor, eps, rate, decay (scalars), betas [2], parameters.., gradients.., first moments.., second moments.. -> [1]
// Parameters and moments are changed in place:
//   m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2 with g = gradient * factor; p -= rate (m / (sqrt(v) + eps) + decay p)
BERT_OPERATOR(bert_adamw, {
  const int tensors = (count - 6) / 4;
  const float factor = a.f(0)[0];
  const float eps = a.f(1)[0];
  const float rate = a.f(2)[0];
  const float decay = a.f(3)[0];
  const float beta1 = a.f(4)[0];
  const float beta2 = a.f(4)[1];
  const std::vector<Piece> work = pieces(a, 5, tensors);
  parallel(static_cast<int64_t>(work.size()), [&](int64_t k) {
    const Piece piece = work[k];
    float *p = a.f(5 + piece.tensor);
    const float *g = a.f(5 + tensors + piece.tensor);
    float *m = a.f(5 + 2 * tensors + piece.tensor);
    float *v = a.f(5 + 3 * tensors + piece.tensor);
    for (int64_t i = piece.first; i < piece.last; i += LANES) {
      const int n = static_cast<int>(std::min<int64_t>(LANES, piece.last - i));
      vfloat d = load_n(g + i, n) * factor;
      vfloat first = load_n(m + i, n) * beta1 + d * (1.0f - beta1);
      vfloat second = load_n(v + i, n) * beta2 + d * d * (1.0f - beta2);
      vfloat old = load_n(p + i, n);
      store_n(m + i, first, n);
      store_n(v + i, second, n);
      store_n(p + i, old - (first / (vsqrt(second) + eps) + old * decay) * rate, n);
    }
  });
  a.f(count - 1)[0] = 0;
})
