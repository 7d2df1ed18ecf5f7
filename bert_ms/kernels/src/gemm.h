// Matrix products from packed panels, in float32 accuracy.
//
// C[32, 32] blocks are computed from panels: 32 rows of A or 32 columns of B over the whole depth, packed beforehand.
// On processors with AMX a float is packed as the exact sum of three bfloat16 numbers (8 + 8 + 8 bits of mantissa), and
// six products of tiles stand for one: high*high, high*middle (twice), middle*middle, high*low (twice). What is left out
// is below 2^-23 of a product; sums are float32. Elsewhere panels hold floats, plain multiply-adds are used, and of most
// products only the right side is packed: the left is read as memory has it.
#pragma once
#include <algorithm>
#include <type_traits>

#include "pool.h"
#include "vector.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__) && !defined(BERT_NO_AMX)
#define BERT_AMX 1
#else
#define BERT_AMX 0
#endif

namespace bert {

constexpr int64_t PANEL = 32;
constexpr int64_t DEPTH = 32;  // panels are padded with zeros to a multiple of this
constexpr size_t STEP_BYTES = BERT_AMX ? 6 * 1024 : PANEL * DEPTH * 4;  // of one panel, for DEPTH

inline int64_t steps(int64_t depth) { return ceil_div(depth, DEPTH); }
inline size_t panel_bytes(int64_t depth) { return steps(depth) * STEP_BYTES; }
inline size_t packed_bytes(int64_t lines, int64_t depth) { return ceil_div(lines, PANEL) * panel_bytes(depth); }

// Every thread calls this before block(), inside each task.
void prepare_thread();
// c[32 * 32] (+)= a panel * b panel
void block(const char *a, const char *b, int64_t steps, float *c, bool add);

// Whether consecutive elements of the source lie along the depth, or across it: along the rows of A, the columns of B.
enum Layout { ALONG, ACROSS };
enum Side { A_SIDE, B_SIDE };

// Packs x[32][32], which is x[line][depth] if ALONG and x[depth][line] if ACROSS, as one step of a panel.
template <Side side, Layout layout>
void pack_step(const float *x, char *to);

// Sources give LANES floats of a row of the matrix as memory has it; only the first n exist.
struct Plain {
  const float *data;
  int64_t stride;
  vfloat operator()(int64_t row, int64_t column, int n) const {
    const float *p = data + row * stride + column;
    return n == LANES ? load(p) : load_part(p, n);
  }
};

// Packs lines [line, line + 32) and depth [first, first + depth) of a source that has `lines` lines. What does not exist
// becomes zero.
template <Side side, Layout layout, class Source>
void pack_panel(const Source &source, int64_t line, int64_t lines, int64_t first, int64_t depth, char *panel) {
  alignas(64) float x[PANEL * PANEL];
  for (int64_t d = 0; d < depth; d += DEPTH, panel += STEP_BYTES) {
    const int64_t row = layout == ALONG ? line : first + d, column = layout == ALONG ? first + d : line;
    const int64_t rows = std::min(PANEL, layout == ALONG ? lines - line : depth - d);
    const int64_t columns = std::min(PANEL, layout == ALONG ? depth - d : lines - line);
    if (columns == PANEL) {
      for (int64_t r = 0; r < rows; r++)
        for (int c = 0; c < PANEL; c += LANES) store(x + r * PANEL + c, source(row + r, column + c, LANES));
    } else {
      for (int64_t r = 0; r < rows; r++)
        for (int c = 0; c < PANEL; c += LANES) {
          const int n = static_cast<int>(std::min<int64_t>(LANES, columns - c));
          store(x + r * PANEL + c, n > 0 ? source(row + r, column + c, n) : vfloat{});
        }
    }
    if (rows < PANEL) std::memset(x + rows * PANEL, 0, (PANEL - rows) * PANEL * 4);
    pack_step<side, layout>(x, panel);
  }
}

// Packs all panels of a matrix, in parallel. Memory is read as it comes: by panels if ALONG, by steps of depth if ACROSS.
template <Side side, Layout layout, class Source>
void pack(const Source &source, int64_t lines, int64_t first, int64_t depth, char *panels) {
  const int64_t count = ceil_div(lines, PANEL), bytes = panel_bytes(depth);
  const int64_t pieces = layout == ALONG ? count : steps(depth);
  const int64_t group = std::max<int64_t>(1, 16384 / (PANEL * (layout == ALONG ? depth : lines)));
  parallel(ceil_div(pieces, group), [&](int64_t task) {
    for (int64_t p = task * group; p < std::min(pieces, (task + 1) * group); p++)
      if (layout == ALONG)
        pack_panel<side, layout>(source, p * PANEL, lines, first, depth, panels + p * bytes);
      else
        for (int64_t k = 0; k < count; k++)
          pack_panel<side, layout>(source, k * PANEL, lines, first + p * DEPTH, std::min(DEPTH, depth - p * DEPTH),
                                   panels + k * bytes + p * STEP_BYTES);
  });
}

// How the blocks of a product are divided among tasks: rectangles of at most so many panels, smaller where threads would
// be without work. Without tiles, lines are copied once for all panels beside them, so width is the last to be cut.
struct Rectangles {
  int64_t rows, columns, height, width, across;  // panels of all and of a task, tasks beside each other
  // Where the rows of the task after one that begins at i0 probably begin: that of the same thread, not of all.
  int64_t after(int64_t i0) const { return i0 + height * ceil_div(threads(), across); }
  Rectangles(int64_t rows, int64_t columns, int64_t highest, int64_t widest)
      : rows(rows), columns(columns), height(ceil_div(rows, ceil_div(rows, highest))), width(widest) {
    const int64_t wanted = BERT_AMX || threads() > 1 ? 6 * threads() : 1;
    const auto cut = [&](int64_t &side) {
      while (side > 1 && ceil_div(rows, height) * ceil_div(columns, width) < wanted) side = ceil_div(side, 2);
    };
    if (!BERT_AMX) cut(height);
    cut(width);
    across = ceil_div(columns, width);
  }
  // Calls body(i0, i1, j0, j1), the panels of a task, for each, in parallel.
  template <class Body>
  void each(Body &&body) const {
    parallel(ceil_div(rows, height) * across, [&](int64_t task) {
      const int64_t i0 = task / across * height, j0 = task % across * width;
      body(i0, std::min(rows, i0 + height), j0, std::min(columns, j0 + width));
    });
  }
};

// The matrix that a product's finish() reads or writes, so that it can be fetched ahead: number (line, column) is
// data[line * stride + column], or data[column * stride + line] if turned. There may be none.
struct Target {
  const float *data;
  int64_t stride;
  bool turned;
};

// Calls each(row, column, values, n) for the vectors of a block that lie inside [rows, columns].
template <class Each>
inline void each_vector(int64_t row, int64_t column, int64_t rows, int64_t columns, const float *c, Each &&each) {
  const int64_t high = std::min(PANEL, rows - row), wide = std::min(PANEL, columns - column);
  if (wide == PANEL) {
    for (int64_t r = 0; r < high; r++)
      for (int k = 0; k < PANEL; k += LANES) each(row + r, column + k, load(c + r * PANEL + k), LANES);
  } else {
    for (int64_t r = 0; r < high; r++)
      for (int64_t k = 0; k < wide; k += LANES)
        each(row + r, column + k, load(c + r * PANEL + k), static_cast<int>(std::min<int64_t>(LANES, wide - k)));
  }
}
inline vfloat load_n(const float *p, int n) { return n == LANES ? load(p) : load_part(p, n); }
inline void store_n(float *p, vfloat v, int n) { n == LANES ? store(p, v) : store_part(p, v, n); }

}  // namespace bert

#if BERT_AMX
#include "gemm_tiles.h"
#else
#include "gemm_strips.h"
#endif
