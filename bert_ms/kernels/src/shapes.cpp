// Output shapes of the operators that run in graphs of evaluation, where lengths may not be known when a graph is
// compiled: MindSpore then asks the function of the operator's name and "InferShape" before each run, and while it
// compiles, when what is not known is -1. An operator without one runs in graphs of known shapes only.
#include <cstdint>
#include <vector>

namespace {

using Shape = std::vector<int64_t>;

struct Inputs {
  const int *ranks;
  int64_t **shapes;
  Shape of(int i) const { return Shape(shapes[i], shapes[i] + ranks[i]); }
  // that of input i, but for the last axis
  Shape of(int i, int64_t last) const {
    Shape shape = of(i);
    shape.back() = last;
    return shape;
  }
};

}  // namespace

#define BERT_SHAPE(NAME, ...)                                                            \
  extern "C" Shape NAME##InferShape(int *ranks, int64_t **shapes, void *) {              \
    const Inputs in{ranks, shapes};                                                      \
    return __VA_ARGS__;                                                                  \
  }

BERT_SHAPE(bert_activation, in.of(0))
BERT_SHAPE(bert_layer_norm, in.of(0))
BERT_SHAPE(bert_layers, in.of(0))
BERT_SHAPE(bert_int8_layers, in.of(0))
BERT_SHAPE(bert_linear, in.of(0, shapes[1][0]))
BERT_SHAPE(bert_first_token, Shape{shapes[0][0], shapes[0][2]})
BERT_SHAPE(bert_pool, Shape{shapes[0][0], shapes[0][2]})
BERT_SHAPE(bert_embeddings, Shape{shapes[0][0], shapes[0][1], shapes[2][1]})
BERT_SHAPE(bert_tokens_at, Shape{shapes[0][0], shapes[1][1], shapes[0][2]})
