// The parts of a layer as functions on plain memory; the exported operators wrap them, and layer.cpp puts them together.
// Matrices are row-major: x [rows, inputs], weight [outputs, inputs].
#pragma once
#include "mask.h"
#include "pool.h"

namespace bert {

// Shared scratch memory: each part uses the first slots, layer.cpp the ones from LAYER_SLOT on.
constexpr int LAYER_SLOT = 8;

void dense(const float *x, const float *w, const float *b, int64_t rows, int64_t inputs, int64_t outputs, float *y);

// Layers that share their input: dx (+)= the sum of what they say.
void dense_backward(int layers, const float *x, const float *const *w, const float *const *dy, int64_t rows,
                    int64_t inputs, int64_t outputs, float *dx, bool add, float *const *dw, float *const *db);

void query_key_value(const float *x, const float *const *w, const float *const *b, int64_t rows, int64_t inputs,
                     int64_t outputs, float *const *y);

struct FeedForward {
  const float *x, *w1, *b1, *w2, *b2;
  int act;
  int64_t rows, inputs, wide, outputs;
};
// u [rows, wide] gets what goes into the activation, if it is not null.
void feed_forward(const FeedForward &f, float *y, float *u);
void feed_forward_backward(const FeedForward &f, const float *u, const float *dy, float *dx, bool add, float *dw1,
                           float *db1, float *dw2, float *db2);

struct Attention {
  int64_t batch, heads, queries, keys, width;  // B, N, S, T, H
  float scale;                                 // 0 is 1 / sqrt(H / N)
  const void *mask;                            // [B, T]
  bool has_int_mask;
  Mask drops;
};
void attention(Attention a, const float *q, const float *k, const float *v, float *out);
void attention_backward(Attention a, const float *q, const float *k, const float *v, const float *out,
                        const float *dout, float *dq, float *dk, float *dv);

// LayerNorm(dropout(x) + residual)
struct Norm {
  const float *x, *residual;  // residual may be null
  const float *weight;
  Mask mask;
  int64_t rows, width;
  float eps;
};
void layer_norm(const Norm &norm, const float *bias, float *y);
// One row; y is where it goes itself.
void layer_norm_row(const Norm &norm, int64_t row, const float *bias, float *y);
// dz is the gradient of the sum, dx that before dropout; dx may be null.
void layer_norm_backward(const Norm &norm, const float *dy, float *dz, float *dweight, float *dbias, float *dx);

}  // namespace bert
