// Products of lines, as memory has them, by packed panels: what gemm.h has beside it where there are no tiles.
//
// Of a panel's 32 columns only those vectors are computed that hold one that exists: a few rows of activations, columns
// here, cost a part of what 32 do. What a column's sums are does not depend on that, nor on the columns beside it.
#pragma once
#include "gemm.h"

namespace bert {

// to[d][line] = x[line][d] for the first `count` of 32 d
void turn(const float *x, float *to, int64_t count = PANEL);

// The left side of a product as memory has it: number d of a line is data[line * stride + d] if ALONG,
// data[d * stride + line] if ACROSS.
struct Lines {
  const float *data;
  int64_t stride;
  Layout layout;
};

constexpr int64_t STRETCH = 256;  // of depth: a strip of lines fits the first-level cache, eight panels the second
constexpr int64_t FEW = 2;        // panels, for which lines come from memory about as fast as they are computed with

// Whether a task's columns are so few that a strip's lines pass in their whole depth, one strip after the other.
inline bool is_few(const Lines &a, int64_t columns) { return a.layout == ALONG && columns <= FEW * PANEL; }

// Memory that is needed soon, rows of so many floats, brought nearer a few cache lines at a time while something else is
// computed: all at once they would keep the loads waiting.
struct Ahead {
  const float *data = nullptr;
  int64_t stride = 0, rows = 0, floats = 0, at = 0;
  template <bool written, int lines>
  void fetch() {
    if (rows <= 0) return;
    for (int k = 0; k < lines; k++) __builtin_prefetch(data + at + 16 * k, written, 2);
    at += 16 * lines;
    if (at < floats) return;
    at = 0;
    data += stride;
    rows--;
  }
};

// How many vectors the first `columns` of a panel take.
inline int vectors(int64_t columns) { return static_cast<int>(ceil_div(std::min(PANEL, columns), LANES)); }

// Vectors of columns that are computed at once, and how many strips the 32 lines of a block are cut into: the sums of a
// strip's lines with these columns fill the registers. Where one vector is all there is, strips may be higher.
constexpr int BROAD = LANES == 4 ? 1 : 2, STRIPS = LANES == 16 ? 3 : LANES == 8 ? 6 : 4;
constexpr int LONE_STRIPS = LANES == 8 ? 3 : STRIPS;
constexpr int highest(int strips) { return (PANEL + strips - 1) / strips; }
constexpr int TALL = std::max(highest(STRIPS), highest(LONE_STRIPS));
constexpr int64_t PACE = 8;  // of depth for each time that something is fetched ahead

// Calls each(first line, number of lines as a constant) for the strips of 32 lines; the first ones have one line more than
// the others.
template <int strips = STRIPS, class Each>
inline void each_strip(Each &&each) {
  constexpr int tall = highest(strips), low = tall - 1, talls = PANEL - strips * low;
  for (int k = 0; k < talls; k++) each(k * tall, std::integral_constant<int, tall>{});
  for (int k = talls; k < strips; k++) each(k * low + talls, std::integral_constant<int, low>{});
}

// Lines of A times `broad` vectors of columns of B from `column` on over the depth.
template <int lines, int broad, int64_t along, int64_t across, class Fetch, class Finish>
__attribute__((always_inline)) inline void strip_part(const float *a, int64_t given, const float *b, int64_t depth,
                                                      int column, Fetch fetch, Finish finish) {
  b += column;
  vfloat sums[lines][broad];
#pragma GCC unroll 16  // or the sums would leave the registers
  for (int i = 0; i < lines; i++)
    for (int j = 0; j < broad; j++) sums[i][j] = vfloat{};
  for (int64_t d = 0; d < depth;) {
    fetch();
    for (const int64_t stop = std::min(d + PACE, depth); d < stop; d++) {
      vfloat v[broad];
      for (int j = 0; j < broad; j++) v[j] = load(b + d * PANEL + j * LANES);
      for (int i = 0; i < lines; i++) {
        const float x = a[d * along + i * (across ? across : given)];
        for (int j = 0; j < broad; j++) sums[i][j] += x * v[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < lines; i++)
    for (int j = 0; j < broad; j++) finish(i, column + j * LANES, sums[i][j]);
}

// Lines of A times the first vectors of columns of a panel of B over the depth: finish(line, column, sums) takes each
// vector, fetch() is called now and then. Numbers of a line are `along` apart, lines `across`, or, if that is 0, so far as
// given.
template <int lines, int64_t along, int64_t across, class Fetch, class Finish>
inline void strip(const float *a, int64_t given, const float *b, int64_t depth, int vectors, Fetch fetch,
                  Finish finish) {
  int column = 0;
  for (; column + BROAD * LANES <= vectors * LANES; column += BROAD * LANES)
    strip_part<lines, BROAD, along, across>(a, given, b, depth, column, fetch, finish);
  if (BROAD > 1 && column < vectors * LANES)
    strip_part<lines, 1, along, across>(a, given, b, depth, column, fetch, finish);
}

// c[panel][32][32] (+)= 32 lines, of which `there` exist, times panels that lie `bytes` apart and have so many columns
// together, over the depth [first, last) in stretches; meanwhile what will be read next and where results go comes nearer.
// Lines and columns that do not exist are left out or are nothing in particular.
void lines_by_panels(const Lines &a, int64_t line, int64_t there, int64_t first, int64_t last, int64_t stretch,
                     const char *b, size_t bytes, int64_t columns, float *c, Ahead next, Ahead out);

// All blocks of lines times packed panels; finish(line, column, c) takes each c[32 * 32]. A task is a rectangle of blocks,
// which it goes through in stretches of the depth: the panels of a stretch stay in the second-level cache while the lines
// pass by, strip by strip. If panels are few, a strip's lines pass in their whole depth. The order of sums depends on the
// depth alone.
template <class Finish>
void multiply(const Lines &a, int64_t lines, const char *b, int64_t columns, int64_t depth, const Target &target,
              Finish &&finish) {
  constexpr int64_t HIGH = 8, WIDE = 8, BLOCK = PANEL * PANEL;
  const size_t bytes = panel_bytes(depth);
  const int64_t stretch = ceil_div(steps(depth), ceil_div(depth, STRETCH)) * DEPTH;
  const Rectangles rectangles(ceil_div(lines, PANEL), ceil_div(columns, PANEL), HIGH, WIDE);
  rectangles.each([&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    const int64_t broad = j1 - j0, column = j0 * PANEL, there = std::min(columns, j1 * PANEL) - column;
    const bool few = is_few(a, there);
    const int64_t pass = few ? depth : stretch;
    float *sums = reinterpret_cast<float *>(local_scratch(0, HIGH * WIDE * BLOCK * 4));
    for (int64_t first = 0; first < depth; first += pass) {
      const bool last = first + pass >= depth;
      for (int64_t i = i0; i < i1; i++) {
        const int64_t line = i * PANEL;
        float *c = sums + (few ? 0 : (i - i0) * broad * BLOCK);
        // the next lines; after the last ones the first ones' next stretch, or what the next task probably begins with
        const bool ends = i + 1 == i1;
        const int64_t behind = few ? rectangles.after(i0) * PANEL : line + PANEL;
        const int64_t then = !ends ? line + PANEL : last ? behind : i0 * PANEL;
        const int64_t from = !ends ? first : last ? 0 : first + pass;
        const Ahead next = few                 ? Ahead{a.data + then * a.stride, 0, then < lines, TALL * depth}
                           : a.layout == ALONG ? Ahead{a.data + then * a.stride + from, a.stride, PANEL, stretch}
                                               : Ahead{a.data + from * a.stride + then, a.stride, stretch, PANEL};
        Ahead out;
        if (last && target.data)
          out = target.turned ? Ahead{target.data + column * target.stride + line, target.stride, there, PANEL}
                              : Ahead{target.data + line * target.stride + column, target.stride, PANEL, there};
        lines_by_panels(a, line, lines - line, first, std::min(depth, first + pass), stretch, b + j0 * bytes, bytes,
                        there, c, next, out);
        for (int64_t j = 0; last && j < broad; j++) finish(line, (j0 + j) * PANEL, c + j * BLOCK);
      }
    }
  });
}

}  // namespace bert
