// LayerNorm with residual and dropout, activations and dropout: what goes row by row or element by element.
#include <algorithm>
#include <cmath>

#include "activation.h"
#include "gemm.h"
#include "layers.h"

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

// z = dropout(x) + residual of one row, with its mean and 1 / standard deviation
void sum_row(const Norm &norm, int64_t r, float *z, float &mean, float &inverse) {
  const int64_t at = r * norm.width;
  vfloat total{};
  vectors(0, norm.width, [&](int64_t c, int n) {
    vfloat v = load_n(norm.x + at + c, n);
    if (norm.mask.drops()) v = drop(norm.mask, static_cast<uint32_t>(at + c), v);
    if (norm.residual) v += load_n(norm.residual + at + c, n);
    store_n(z + c, v, n);
    total += n == LANES ? v : load_part(z + c, n);
  });
  mean = sum(total) / norm.width;
  vfloat square{};
  vectors(0, norm.width, [&](int64_t c, int n) {
    vfloat v = load_n(z + c, n) - mean;
    if (n < LANES) {
      float part[LANES] = {};
      store_part(part, v, n);
      v = load(part);
    }
    square += v * v;
  });
  inverse = 1.0f / std::sqrt(sum(square) / norm.width + norm.eps);
}

// meta: site, threshold, scale, eps, 1 if there is a residual
Norm from_arguments(const Arguments &a, int key, int meta) {
  const int32_t *m = a.i(meta);
  Norm n{a.f(0), m[4] ? a.f(1) : nullptr, a.f(2), make_mask(a.i(key), m), a.rows(0), a.last(0), 0};
  std::memcpy(&n.eps, m + 3, 4);
  return n;
}

}  // namespace

void layer_norm_row(const Norm &norm, int64_t r, const float *bias, float *y) {
  float mean, inverse;
  sum_row(norm, r, y, mean, inverse);
  vectors(0, norm.width, [&](int64_t c, int n) {
    store_n(y + c, (load_n(y + c, n) - mean) * inverse * load_n(norm.weight + c, n) + load_n(bias + c, n), n);
  });
}

void layer_norm(const Norm &norm, const float *bias, float *all_y) {
  parallel(ceil_div(norm.rows, BATCH), [&](int64_t task) {
    for (int64_t r = task * BATCH; r < std::min(norm.rows, (task + 1) * BATCH); r++)
      layer_norm_row(norm, r, bias, all_y + r * norm.width);
  });
}

void layer_norm_backward(const Norm &norm, const float *all_dy, float *all_dz, float *dweight, float *dbias,
                         float *dx) {
  const int64_t width = norm.width, tasks = ceil_div(norm.rows, BATCH);
  float *parts = reinterpret_cast<float *>(scratch(0, tasks * 2 * width * 4));
  parallel(tasks, [&](int64_t task) {
    float *z = reinterpret_cast<float *>(local_scratch(0, width * 4));
    float *weight_part = parts + task * 2 * width, *bias_part = weight_part + width;
    std::fill(weight_part, weight_part + 2 * width, 0.0f);
    for (int64_t r = task * BATCH; r < std::min(norm.rows, (task + 1) * BATCH); r++) {
      const int64_t at = r * width;
      const float *dy = all_dy + at;
      float *dz = all_dz + at, mean, inverse;
      sum_row(norm, r, z, mean, inverse);
      vfloat sums{}, products{};
      vectors(0, width, [&](int64_t c, int n) {
        vfloat hat = (load_n(z + c, n) - mean) * inverse, d = load_n(dy + c, n);
        store_n(weight_part + c, load_n(weight_part + c, n) + d * hat, n);
        store_n(bias_part + c, load_n(bias_part + c, n) + d, n);
        vfloat g = d * load_n(norm.weight + c, n);
        store_n(z + c, hat, n);
        store_n(dz + c, g, n);
        sums += g;
        products += g * hat;
      });
      const float mean_g = sum(sums) / width, mean_gh = sum(products) / width;
      vectors(0, width, [&](int64_t c, int n) {
        vfloat v = (load_n(dz + c, n) - mean_g - load_n(z + c, n) * mean_gh) * inverse;
        store_n(dz + c, v, n);
        if (!dx) return;
        store_n(dx + at + c, norm.mask.drops() ? drop(norm.mask, static_cast<uint32_t>(at + c), v) : v, n);
      });
    }
  });
  parallel(ceil_div(2 * width, 256), [&](int64_t task) {
    for (int64_t c = task * 256; c < std::min(2 * width, (task + 1) * 256); c++) {
      float total = 0;
      for (int64_t t = 0; t < tasks; t++) total += parts[t * 2 * width + c];
      (c < width ? dweight[c] : dbias[c - width]) = total;
    }
  });
}

}  // namespace bert

using namespace bert;

// x [.., H], residual, weight [H], bias [H], key, meta -> y
BERT_OPERATOR(bert_layer_norm, { layer_norm(from_arguments(a, 4, 5), a.f(3), a.f(6)); })

// x, residual, weight, key, meta, dy -> dz, dweight, dbias
BERT_OPERATOR(bert_layer_norm_backward, {
  layer_norm_backward(from_arguments(a, 3, 4), a.f(5), a.f(6), a.f(7), a.f(8), nullptr);
})

// x, residual, weight, key, meta, dy -> dz, dweight, dbias, dx
BERT_OPERATOR(bert_dropout_layer_norm_backward, {
  layer_norm_backward(from_arguments(a, 3, 4), a.f(5), a.f(6), a.f(7), a.f(8), a.f(9));
})

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
