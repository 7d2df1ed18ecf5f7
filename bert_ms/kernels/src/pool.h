// A persistent pool of threads, reusable scratch memory, and the frame of an operator.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace bert {

// Runs body(task) for every task in [0, tasks), on at most threads() threads; which thread runs which task is not fixed,
// so every task must write places of its own.
void parallel(int64_t tasks, const std::function<void(int64_t)> &body);

int threads();
void set_threads(int count);

// Scratch memory number `slot`, at least `bytes` long, 64-byte aligned; its content lasts until the operator returns.
char *scratch(int slot, size_t bytes);
// Scratch memory of the calling thread.
char *local_scratch(int slot, size_t bytes);

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One operator at a time: MindSpore may call from several of its threads, but scratch memory and pool are shared.
// With BERT_MS_KERNELS_PROFILE in the environment, calls and seconds of each operator are printed when the process ends.
struct Operator {
  explicit Operator(const char *name);
  ~Operator();
  const char *name;
  double start;
  unsigned control;  // of the caller's floating-point unit
};

// The arguments of a MindSpore "aot" function: inputs, then outputs.
struct Arguments {
  void **data;
  int *ranks;
  int64_t **shapes;
  float *f(int i) const { return static_cast<float *>(data[i]); }
  const int32_t *i(int i) const { return static_cast<const int32_t *>(data[i]); }
  int64_t last(int i) const { return shapes[i][ranks[i] - 1]; }
  int64_t size(int i) const {
    int64_t n = 1;
    for (int k = 0; k < ranks[i]; k++) n *= shapes[i][k];
    return n;
  }
  int64_t rows(int i) const { return last(i) ? size(i) / last(i) : 0; }
};

}  // namespace bert

// Defines the exported operator NAME; BODY uses `a` (Arguments) and `count` (inputs and outputs).
#define BERT_OPERATOR(NAME, ...)                                                                                    \
  extern "C" int NAME(int count, void **data, int *ranks, int64_t **shapes, const char **, void *, void *) {       \
    bert::Operator operator_guard(#NAME);                                                                           \
    bert::Arguments a{data, ranks, shapes};                                                                         \
    (void)count;                                                                                                    \
    (void)a;                                                                                                        \
    __VA_ARGS__ return 0;                                                                                            \
  }
