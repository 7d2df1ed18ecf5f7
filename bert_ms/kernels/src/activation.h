// The activation functions and their derivatives, on vectors.
#pragma once
#include "vector.h"

namespace bert {

// The numbers are fixed in bert_ms/kernels/native.py.
enum Act { IDENTITY, GELU, GELU_TANH, FAST_GELU, RELU, SILU, TANH, SIGMOID, MISH };

// erf(x) = x P(x^2) / Q(x^2) on |x| <= 3.92, where it is 1 to float accuracy. Our own weighted least-squares fit in
// double; error of the formula 2e-8, of the float evaluation 4e-7.
static inline vfloat verf(vfloat x) {
  vfloat c = at_least(at_most(x, 3.92f), -3.92f), s = c * c;
  vfloat p = splat(2.050194262e-06f) * s + 2.848772177e-04f;
  p = p * s + 3.765234897e-03f;
  p = p * s + 5.274753989e-02f;
  p = p * s + 1.903970872e-01f;
  p = p * s + 1.128379146e+00f;
  vfloat q = splat(3.809255078e-05f) * s + 1.162449059e-03f;
  q = q * s + 1.496844383e-02f;
  q = q * s + 1.141052868e-01f;
  q = q * s + 5.020677676e-01f;
  q = q * s + 1.0f;
  return c * p / q;
}

template <int A>
static inline vfloat act(vfloat x) {
  if (A == GELU) return x * (0.5f + 0.5f * verf(x * 0.70710678118654752f));
  if (A == GELU_TANH) return x * vsigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
  if (A == FAST_GELU) return x * vsigmoid(1.702f * x);
  if (A == RELU) return x < splat(0.0f) ? splat(0.0f) : x;
  if (A == SILU) return x * vsigmoid(x);
  if (A == TANH) return vtanh(x);
  if (A == SIGMOID) return vsigmoid(x);
  if (A == MISH) {
    vfloat e = vexp(at_most(x, 20.0f)), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
  }
  return x;
}

// d act(x) / dx
template <int A>
static inline vfloat slope(vfloat x) {
  if (A == GELU)
    return 0.5f + 0.5f * verf(x * 0.70710678118654752f) + x * 0.3989422804014327f * vexp(-0.5f * x * x);
  if (A == GELU_TANH) {
    vfloat s = vsigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
    return s + x * s * (1.0f - s) * 1.5957691216057308f * (1.0f + 0.134145f * x * x);
  }
  if (A == FAST_GELU) {
    vfloat s = vsigmoid(1.702f * x);
    return s + 1.702f * x * s * (1.0f - s);
  }
  if (A == RELU) return x > splat(0.0f) ? splat(1.0f) : (x == x ? splat(0.0f) : x);
  if (A == SILU) {
    vfloat s = vsigmoid(x);
    return s + x * s * (1.0f - s);
  }
  if (A == TANH) {
    vfloat t = vtanh(x);
    return 1.0f - t * t;
  }
  if (A == SIGMOID) {
    vfloat s = vsigmoid(x);
    return s * (1.0f - s);
  }
  if (A == MISH) {
    vfloat e = vexp(at_most(x, 20.0f)), n = e * (e + 2.0f), t = n / (n + 2.0f);
    return t + x * vsigmoid(x) * (1.0f - t * t);
  }
  return splat(1.0f);
}

// Calls f(constant) with the activation as a compile-time constant.
template <int A>
struct ActConstant {
  static constexpr int value = A;
};
template <class F>
static inline void with_act(int a, F &&f) {
  switch (a) {
    case GELU: return f(ActConstant<GELU>{});
    case GELU_TANH: return f(ActConstant<GELU_TANH>{});
    case FAST_GELU: return f(ActConstant<FAST_GELU>{});
    case RELU: return f(ActConstant<RELU>{});
    case SILU: return f(ActConstant<SILU>{});
    case TANH: return f(ActConstant<TANH>{});
    case SIGMOID: return f(ActConstant<SIGMOID>{});
    case MISH: return f(ActConstant<MISH>{});
    default: return f(ActConstant<IDENTITY>{});
  }
}

}  // namespace bert
