// The linear-chain CRF: negative log-likelihood of labelled paths with its gradient, by the forward-backward algorithm.
#include <algorithm>
#include <cmath>
#include <vector>

#include "pool.h"

namespace bert {
namespace {

constexpr int32_t NO_TAG = -100;
constexpr double TINY = 1e-280;   // a sum below this may have lost digits: it is taken again, relative to its own largest
constexpr double LARGE = 500.0;   // exponents beyond this may overflow a product whose other factors are small

// Scores [to, from] of C states, the last two of which are START and STOP, and their exponentials relative to each row's
// largest, once in either order.
struct Chain {
  int64_t states;
  const float *step;
  std::vector<double> largest, scaled, turned;

  Chain(const float *transitions, int64_t count)
      : states(count), step(transitions), largest(count), scaled(count * count), turned(count * count) {
    for (int64_t to = 0; to < states; to++) {
      const float *row = step + to * states;
      largest[to] = *std::max_element(row, row + states);
      for (int64_t from = 0; from < states; from++)
        turned[from * states + to] = scaled[to * states + from] = std::exp(row[from] - largest[to]);
    }
  }
  int64_t start() const { return states - 2; }
  int64_t stop() const { return states - 1; }
};

double log_sum(const double *x, int64_t n) {
  const double most = *std::max_element(x, x + n);
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += std::exp(x[i] - most);
  return most + std::log(total);
}

// weights = exp(x - largest x); gives the largest x
double relative(const double *x, int64_t n, double *weights) {
  const double most = *std::max_element(x, x + n);
  for (int64_t i = 0; i < n; i++) weights[i] = std::exp(x[i] - most);
  return most;
}

// sums[k] = sum over i of weights[i] * matrix[i, k]
void weigh(const double *weights, const double *matrix, int64_t n, double *sums) {
  std::fill(sums, sums + n, 0.0);
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < n; k++) sums[k] += weights[i] * matrix[i * n + k];
}

// One row of the batch. labels [S], logits [S, C] -> loss, its gradients [S, C] and [C, C]; NaN for a label beyond C.
struct Row {
  const Chain &chain;
  const float *logits;
  const int32_t *labels;
  std::vector<int64_t> at;                         // positions of the path
  std::vector<double> ahead, behind, one, two, sums;  // ahead[t, to]: all paths up to t; behind: all from t on, without it

  Row(const Chain &c, const float *x, const int32_t *y, int64_t length) : chain(c), logits(x), labels(y) {
    for (int64_t s = 0; s < length; s++)
      if (y[s] != NO_TAG) at.push_back(s);
    ahead.resize(at.size() * c.states);
    behind.resize(c.states), one.resize(c.states), two.resize(c.states), sums.resize(c.states);
  }

  float loss(float *dlogits, float *dsteps) {
    const int64_t n = chain.states, last = static_cast<int64_t>(at.size()) - 1;
    if (last < 0) return 0;
    for (int64_t s : at)
      if (labels[s] < 0 || labels[s] >= n) return std::nanf("");
    forward();
    for (int64_t i = 0; i < n; i++) behind[i] = chain.step[chain.stop() * n + i];
    for (int64_t i = 0; i < n; i++) sums[i] = ahead[last * n + i] + behind[i];
    const double total = log_sum(sums.data(), n);
    for (int64_t t = last; t >= 0; t--) {
      float *slope = dlogits + at[t] * n;
      for (int64_t i = 0; i < n; i++) slope[i] = static_cast<float>(std::exp(ahead[t * n + i] + behind[i] - total));
      if (t == last)
        for (int64_t i = 0; i < n; i++) dsteps[chain.stop() * n + i] += slope[i];
      if (t == 0)
        for (int64_t i = 0; i < n; i++) dsteps[i * n + chain.start()] += slope[i];
      else
        backward(t, total, dsteps);
    }
    return static_cast<float>(total - path(dlogits, dsteps));
  }

  void forward() {
    const int64_t n = chain.states;
    for (size_t t = 0; t < at.size(); t++) {
      double *now = &ahead[t * n];
      const float *x = logits + at[t] * n;
      if (t == 0) {
        for (int64_t to = 0; to < n; to++) now[to] = x[to] + chain.step[to * n + chain.start()];
        continue;
      }
      const double most = relative(now - n, n, one.data());
      weigh(one.data(), chain.turned.data(), n, sums.data());
      for (int64_t to = 0; to < n; to++) {
        if (sums[to] > TINY) {
          now[to] = x[to] + chain.largest[to] + most + std::log(sums[to]);
          continue;
        }
        for (int64_t from = 0; from < n; from++) two[from] = now[from - n] + chain.step[to * n + from];
        now[to] = x[to] + log_sum(two.data(), n);
      }
    }
  }

  // From `behind` at t to that at t - 1, adding how often each step between them is taken.
  void backward(int64_t t, double total, float *dsteps) {
    const int64_t n = chain.states;
    const float *x = logits + at[t] * n;
    const double *before = &ahead[(t - 1) * n];
    for (int64_t to = 0; to < n; to++) behind[to] += x[to];
    for (int64_t to = 0; to < n; to++) sums[to] = behind[to] + chain.largest[to];
    const double most = relative(sums.data(), n, two.data()), factor = relative(before, n, one.data()) + most - total;
    if (factor < LARGE) {
      const double scale = std::exp(factor);
      for (int64_t to = 0; to < n; to++)
        for (int64_t from = 0; from < n; from++)
          dsteps[to * n + from] += static_cast<float>(scale * two[to] * one[from] * chain.scaled[to * n + from]);
    } else {
      for (int64_t to = 0; to < n; to++)
        for (int64_t from = 0; from < n; from++)
          dsteps[to * n + from] +=
              static_cast<float>(std::exp(before[from] + chain.step[to * n + from] + behind[to] - total));
    }
    weigh(two.data(), chain.scaled.data(), n, sums.data());
    for (int64_t from = 0; from < n; from++) {
      if (sums[from] > TINY) {
        one[from] = most + std::log(sums[from]);
        continue;
      }
      for (int64_t to = 0; to < n; to++) two[to] = behind[to] + chain.step[to * n + from];
      one[from] = log_sum(two.data(), n);
    }
    std::copy(one.begin(), one.end(), behind.begin());
  }

  // The score of the labelled path, which is taken off the gradients.
  double path(float *dlogits, float *dsteps) {
    const int64_t n = chain.states;
    double score = 0;
    int64_t from = chain.start();
    for (int64_t s : at) {
      const int64_t to = labels[s];
      score += static_cast<double>(logits[s * n + to]) + chain.step[to * n + from];
      dlogits[s * n + to] -= 1;
      dsteps[to * n + from] -= 1;
      from = to;
    }
    dsteps[chain.stop() * n + from] -= 1;
    return score + chain.step[chain.stop() * n + from];
  }
};

}  // namespace
}  // namespace bert

using namespace bert;

// logits [B, S, C], transitions [C, C], labels [B, S] -> loss [B], its gradients [B, S, C] and, for each row, [B, C, C]
BERT_OPERATOR(bert_crf_loss, {
  const int64_t rows = a.shapes[0][0];
  const int64_t length = a.shapes[0][1];
  const int64_t states = a.shapes[0][2];
  const Chain chain(a.f(1), states);
  std::fill(a.f(4), a.f(4) + a.size(4), 0.0f);
  std::fill(a.f(5), a.f(5) + a.size(5), 0.0f);
  parallel(rows, [&](int64_t r) {
    Row row(chain, a.f(0) + r * length * states, a.i(2) + r * length, length);
    a.f(3)[r] = row.loss(a.f(4) + r * length * states, a.f(5) + r * states * states);
  });
})
