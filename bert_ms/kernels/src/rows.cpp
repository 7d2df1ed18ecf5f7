// LayerNorm with residual and dropout, activations and dropout: what goes row by row or element by element.
#include <algorithm>
#include <cmath>

#include "activation.h"
#include "gemm.h"
#include "mask.h"

namespace bert {
namespace {

constexpr int64_t BATCH = 32;         // rows of one task, whatever the number of threads: it fixes the order of sums
constexpr int64_t STRETCH = 1 << 14;  // elements of one task

template <class Body>  // body(first, last) in stretches of elements
void stretches(int64_t size, Body &&body) {
  parallel(ceil_div(size, STRETCH), [&](int64_t t) { body(t * STRETCH, std::min(size, (t + 1) * STRETCH)); });
}

template <class Each>  // each(index, n) for vectors of a stretch
inline void vectors(int64_t first, int64_t last, Each &&each) {
  int64_t i = first;
  for (; i + LANES <= last; i += LANES) each(i, LANES);
  if (i < last) each(i, static_cast<int>(last - i));
}

struct Norm {
  const float *x, *residual;  // residual may be null
  Mask mask;
  int64_t width;
  float eps;

  // z = dropout(x) + residual of one row, with its mean and 1 / standard deviation
  void row(int64_t r, float *z, float &mean, float &inverse) const {
    const int64_t at = r * width;
    vfloat total{};
    vectors(0, width, [&](int64_t c, int n) {
      vfloat v = load_n(x + at + c, n);
      if (mask.drops()) v = drop(mask, static_cast<uint32_t>(at + c), v);
      if (residual) v += load_n(residual + at + c, n);
      store_n(z + c, v, n);
      total += n == LANES ? v : load_part(z + c, n);
    });
    mean = sum(total) / width;
    vfloat square{};
    vectors(0, width, [&](int64_t c, int n) {
      vfloat v = load_n(z + c, n) - mean;
      if (n < LANES) {
        float part[LANES] = {};
        store_part(part, v, n);
        v = load(part);
      }
      square += v * v;
    });
    inverse = 1.0f / std::sqrt(sum(square) / width + eps);
  }
};

// meta: site, threshold, scale, eps, 1 if there is a residual
Norm make_norm(const Arguments &a, int key, int meta) {
  Norm n{a.f(0), a.i(meta)[4] ? a.f(1) : nullptr, make_mask(a.i(key), a.i(meta)), a.last(0), 0};
  std::memcpy(&n.eps, a.i(meta) + 3, 4);
  return n;
}

// dx, the gradient before dropout, may be null
void layer_norm_backward(const Arguments &a, float *dx) {
  const Norm norm = make_norm(a, 3, 4);
  const int64_t rows = a.rows(0);
  const int64_t width = norm.width;
  const int64_t tasks = ceil_div(rows, BATCH);
  const float *weight = a.f(2);
  float *parts = reinterpret_cast<float *>(scratch(0, tasks * 2 * width * 4));
  parallel(tasks, [&](int64_t task) {
    float *z = reinterpret_cast<float *>(local_scratch(0, width * 4));
    float *dweight = parts + task * 2 * width;
    float *dbias = dweight + width;
    std::fill(dweight, dweight + 2 * width, 0.0f);
    for (int64_t r = task * BATCH; r < std::min(rows, (task + 1) * BATCH); r++) {
      const int64_t at = r * width;
      const float *dy = a.f(5) + at;
      float *dz = a.f(6) + at;
      float mean;
      float inverse;
      norm.row(r, z, mean, inverse);
      vfloat sums{};
      vfloat products{};
      vectors(0, width, [&](int64_t c, int n) {
        vfloat hat = (load_n(z + c, n) - mean) * inverse;
        vfloat d = load_n(dy + c, n);
        store_n(dweight + c, load_n(dweight + c, n) + d * hat, n);
        store_n(dbias + c, load_n(dbias + c, n) + d, n);
        vfloat g = d * load_n(weight + c, n);
        store_n(z + c, hat, n);
        store_n(dz + c, g, n);
        sums += g;
        products += g * hat;
      });
      const float mean_g = sum(sums) / width;
      const float mean_gh = sum(products) / width;
      vectors(0, width, [&](int64_t c, int n) {
        vfloat v = (load_n(dz + c, n) - mean_g - load_n(z + c, n) * mean_gh) * inverse;
        store_n(dz + c, v, n);
        if (dx) store_n(dx + at + c, drop(norm.mask, static_cast<uint32_t>(at + c), v), n);
      });
    }
  });
  parallel(ceil_div(2 * width, 256), [&](int64_t task) {
    for (int64_t c = task * 256; c < std::min(2 * width, (task + 1) * 256); c++) {
      float total = 0;
      for (int64_t t = 0; t < tasks; t++) total += parts[t * 2 * width + c];
      (c < width ? a.f(7)[c] : a.f(8)[c - width]) = total;
    }
  });
}

}  // namespace
}  // namespace bert

using namespace bert;

// x [.., H], residual, weight [H], bias [H], key, meta -> y
BERT_OPERATOR(bert_layer_norm, {
  const Norm norm = make_norm(a, 4, 5);
  const int64_t rows = a.rows(0);
  const float *weight = a.f(2);
  const float *bias = a.f(3);
  parallel(ceil_div(rows, BATCH), [&](int64_t task) {
    for (int64_t r = task * BATCH; r < std::min(rows, (task + 1) * BATCH); r++) {
      float *y = a.f(6) + r * norm.width;
      float mean;
      float inverse;
      norm.row(r, y, mean, inverse);
      vectors(0, norm.width, [&](int64_t c, int n) {
        store_n(y + c, (load_n(y + c, n) - mean) * inverse * load_n(weight + c, n) + load_n(bias + c, n), n);
      });
    }
  });
})

// x, residual, weight, key, meta, dy -> dz, dweight, dbias
BERT_OPERATOR(bert_layer_norm_backward, { layer_norm_backward(a, nullptr); })

// x, residual, weight, key, meta, dy -> dz, dweight, dbias, dx
BERT_OPERATOR(bert_dropout_layer_norm_backward, { layer_norm_backward(a, a.f(9)); })

// x, meta (act) -> y
BERT_OPERATOR(bert_activation, {
  with_act(a.i(1)[0], [&](auto k) {
    stretches(a.size(0), [&](int64_t first, int64_t last) {
      vectors(first, last, [&](int64_t i, int n) { store_n(a.f(2) + i, act<k.value>(load_n(a.f(0) + i, n)), n); });
    });
  });
})

// x, meta, dy -> dx
BERT_OPERATOR(bert_activation_backward, {
  with_act(a.i(1)[0], [&](auto k) {
    stretches(a.size(0), [&](int64_t first, int64_t last) {
      vectors(first, last, [&](int64_t i, int n) {
        store_n(a.f(3) + i, load_n(a.f(2) + i, n) * slope<k.value>(load_n(a.f(0) + i, n)), n);
      });
    });
  });
})

// x, key, meta (site, threshold, scale) -> dropout(x); the gradient is the same function of dy
BERT_OPERATOR(bert_dropout, {
  const Mask mask = make_mask(a.i(1), a.i(2));
  stretches(a.size(0), [&](int64_t first, int64_t last) {
    vectors(first, last, [&](int64_t i, int n) {
      store_n(a.f(3) + i, drop(mask, static_cast<uint32_t>(i), load_n(a.f(0) + i, n)), n);
    });
  });
})

// x [.., H], bias [H], meta (act) -> y
BERT_OPERATOR(bert_bias_activation, {
  const int64_t rows = a.rows(0);
  const int64_t width = a.last(0);
  with_act(a.i(2)[0], [&](auto k) {
    parallel(ceil_div(rows, BATCH), [&](int64_t task) {
      for (int64_t r = task * BATCH; r < std::min(rows, (task + 1) * BATCH); r++)
        vectors(0, width, [&](int64_t c, int n) {
          store_n(a.f(3) + r * width + c, act<k.value>(load_n(a.f(0) + r * width + c, n) + load_n(a.f(1) + c, n)), n);
        });
    });
  });
})

// x, bias, meta, dy -> dx, dbias
BERT_OPERATOR(bert_bias_activation_backward, {
  const int64_t rows = a.rows(0);
  const int64_t width = a.last(0);
  with_act(a.i(2)[0], [&](auto k) {
    parallel(ceil_div(width, 8 * LANES), [&](int64_t task) {
      for (int64_t c = task * 8 * LANES; c < std::min(width, (task + 1) * 8 * LANES); c += LANES) {
        const int n = static_cast<int>(std::min<int64_t>(LANES, width - c));
        const vfloat bias = load_n(a.f(1) + c, n);
        vfloat total{};
        for (int64_t first = 0; first < rows; first += 2 * BATCH) {
          vfloat part{};
          for (int64_t r = first; r < std::min(rows, first + 2 * BATCH); r++) {
            vfloat d = load_n(a.f(3) + r * width + c, n) * slope<k.value>(load_n(a.f(0) + r * width + c, n) + bias);
            store_n(a.f(4) + r * width + c, d, n);
            part += d;
          }
          total += part;
        }
        store_n(a.f(5) + c, total, n);
      }
    });
  });
})
