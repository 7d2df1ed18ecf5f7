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

#if BERT_AMX
// All blocks of packed A [rows, depth] times packed B [depth, columns]; finish(row, column, c) takes each c[32 * 32].
// A task is a rectangle of blocks, which it goes through in stretches of the depth: the A panels of a stretch stay in the
// second-level cache while the B panels pass by.
template <class Finish>
void multiply(const char *a, int64_t rows, const char *b, int64_t columns, int64_t depth, const Target &,
              Finish &&finish) {
  constexpr int64_t LONGEST = 32, HIGH = 6, WIDE = 8;
  const size_t bytes = panel_bytes(depth);
  const int64_t all = steps(depth), stretch = ceil_div(all, ceil_div(all, LONGEST));
  const Rectangles rectangles(ceil_div(rows, PANEL), ceil_div(columns, PANEL), HIGH, WIDE);
  rectangles.each([&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    prepare_thread();
    const int64_t tall = i1 - i0, broad = j1 - j0;
    float *sums = reinterpret_cast<float *>(local_scratch(0, HIGH * WIDE * PANEL * PANEL * 4));
    for (int64_t s = 0; s < all; s += stretch)
      for (int64_t n = 0; n < tall * broad; n++) {
        const int64_t i = i0 + n % tall, j = j0 + n / tall;
        const bool first = s == 0, last = s + stretch >= all;
        float *c = first && last ? sums : sums + n * PANEL * PANEL;
        block(a + i * bytes + s * STEP_BYTES, b + j * bytes + s * STEP_BYTES, std::min(stretch, all - s), c, !first);
        if (last) finish(i * PANEL, j * PANEL, c);
      }
  });
}

#else
// to[32][32] = the transpose of x[32][32]
void turn(const float *x, float *to);

// The left side of a product as memory has it: number d of a line is data[line * stride + d] if ALONG,
// data[d * stride + line] if ACROSS.
struct Lines {
  const float *data;
  int64_t stride;
  Layout layout;
};

constexpr int64_t STRETCH = 256;  // of depth: a strip of lines fits the first-level cache, eight panels the second

// Memory that is needed soon, rows of so many floats, brought nearer one cache line at a time while something else is
// computed: all at once they would keep the loads waiting.
struct Ahead {
  const float *data = nullptr;
  int64_t stride = 0, rows = 0, floats = 0, at = 0;
  template <bool written>
  void fetch() {
    if (rows <= 0) return;
    __builtin_prefetch(data + at, written, 2);
    at += 16;
    if (at < floats) return;
    at = 0;
    data += stride;
    rows--;
  }
};

// Vectors of columns, and how many strips the 32 lines of a block are cut into: the sums of a strip's lines with these
// columns fill the registers. The first TALLS strips have one line more than the others.
constexpr int BROAD = LANES == 4 ? 1 : 2, STRIPS = LANES == 16 ? 3 : LANES == 8 ? 6 : 4;
constexpr int TALL = (PANEL + STRIPS - 1) / STRIPS, SHORT = TALL - 1, TALLS = PANEL - STRIPS * SHORT;
constexpr int64_t PACE = 8;  // of depth for each cache line that is fetched ahead

// Calls each(first line, number of lines as a constant) for the strips of 32 lines.
template <class Each>
inline void each_strip(Each &&each) {
  for (int k = 0; k < TALLS; k++) each(k * TALL, std::integral_constant<int, TALL>{});
  for (int k = TALLS; k < STRIPS; k++) each(k * SHORT + TALLS, std::integral_constant<int, SHORT>{});
}

// Lines of A times 32 columns of B over the depth: finish(line, column, sums) takes each vector, fetch() is called now and
// then. Numbers of a line are `along` apart, lines `across`, or, if that is 0, so far as given.
template <int lines, int64_t along, int64_t across, class Fetch, class Finish>
inline void strip(const float *a, int64_t given, const float *b, int64_t depth, Fetch fetch, Finish finish) {
  for (int column = 0; column < PANEL; column += BROAD * LANES, b += BROAD * LANES) {
    vfloat sums[lines][BROAD];
    for (int i = 0; i < lines; i++)
      for (int j = 0; j < BROAD; j++) sums[i][j] = vfloat{};
    for (int64_t d = 0; d < depth;) {
      fetch();
      for (const int64_t stop = std::min(d + PACE, depth); d < stop; d++) {
        vfloat v[BROAD];
        for (int j = 0; j < BROAD; j++) v[j] = load(b + d * PANEL + j * LANES);
        for (int i = 0; i < lines; i++) {
          const float x = a[d * along + i * (across ? across : given)];
          for (int j = 0; j < BROAD; j++) sums[i][j] += x * v[j];
        }
      }
    }
#pragma GCC unroll 16  // or the sums would leave the registers
    for (int i = 0; i < lines; i++)
      for (int j = 0; j < BROAD; j++) finish(i, column + j * LANES, sums[i][j]);
  }
}

// c[panel][32][32] (+)= 32 lines, of which `there` exist, times panels that lie `bytes` apart, over the depth from `first`
// on; meanwhile what will be read next and where results go comes nearer.
void lines_by_panels(const Lines &a, int64_t line, int64_t there, int64_t first, int64_t depth, const char *b,
                     size_t bytes, int64_t panels, float *c, bool add, Ahead next, Ahead out);

// All blocks of lines times packed panels; finish(line, column, c) takes each c[32 * 32]. A task is a rectangle of blocks,
// which it goes through in stretches of the depth: the panels of a stretch stay in the second-level cache while the lines
// pass by, strip by strip. The order of sums depends on the depth alone.
template <class Finish>
void multiply(const Lines &a, int64_t lines, const char *b, int64_t columns, int64_t depth, const Target &target,
              Finish &&finish) {
  constexpr int64_t HIGH = 8, WIDE = 8, BLOCK = PANEL * PANEL;
  const size_t bytes = panel_bytes(depth);
  const int64_t stretch = ceil_div(steps(depth), ceil_div(depth, STRETCH)) * DEPTH;
  const Rectangles rectangles(ceil_div(lines, PANEL), ceil_div(columns, PANEL), HIGH, WIDE);
  rectangles.each([&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    const int64_t broad = j1 - j0, stride = target.stride;
    float *sums = reinterpret_cast<float *>(local_scratch(0, HIGH * WIDE * BLOCK * 4));
    for (int64_t first = 0; first < depth; first += stretch) {
      const bool last = first + stretch >= depth;
      for (int64_t i = i0; i < i1; i++) {
        const int64_t line = i * PANEL, column = j0 * PANEL;
        float *c = sums + (i - i0) * broad * BLOCK;
        // the next lines; after the last ones the first ones' next stretch, or what the next task probably begins with
        const bool ends = i + 1 == i1;
        const int64_t then = ends && !last ? i0 * PANEL : line + PANEL;
        const int64_t from = !ends ? first : last ? 0 : first + stretch;
        const Ahead next = a.layout == ALONG ? Ahead{a.data + then * a.stride + from, a.stride, PANEL, stretch}
                                             : Ahead{a.data + from * a.stride + then, a.stride, stretch, PANEL};
        Ahead out;
        if (last && target.data)
          out = target.turned ? Ahead{target.data + column * stride + line, stride, broad * PANEL, PANEL}
                              : Ahead{target.data + line * stride + column, stride, PANEL, broad * PANEL};
        lines_by_panels(a, line, lines - line, first, std::min(stretch, depth - first),
                        b + j0 * bytes + first * PANEL * 4, bytes, broad, c, first > 0, next, out);
        for (int64_t j = 0; last && j < broad; j++) finish(line, (j0 + j) * PANEL, c + j * BLOCK);
      }
    }
  });
}
#endif

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
