// Packing of panels and the 32 x 32 block product: AMX tiles, or vectors of float.
#include "gemm.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if BERT_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bert {

#if defined(__AVX512F__)

// Transposes 16 x 16 words of 32 bits in place.
inline void transpose(__m512i *r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

#endif

#if BERT_AMX

namespace {

struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The upper half of each float and what it leaves.
inline __m512i take_high(__m512 &x) {
  __m512i high = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)));
  x = _mm512_sub_ps(x, _mm512_castsi512_ps(high));
  return high;
}

}  // namespace

// Bytes of a step: plane (high, middle, low), then tile (lines 0-15, 16-31), then 16 rows of 64 bytes. An A tile has a row
// a line with 32 bfloat16 along the depth; a B tile has a row for two steps of depth with 16 pairs, one a line.
template <Side side, Layout layout>
void pack_step(const float *x, char *to) {
  constexpr bool turn = (side == A_SIDE) == (layout == ACROSS);
  const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25,
                                       23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  for (int tile = 0; tile < 2; tile++) {
    __m512i rows[3][16];
    for (int i = 0; i < 16; i++) {
      const float *p = layout == ALONG ? x + (tile * 16 + i) * PANEL : x + 2 * i * PANEL + tile * 16;
      __m512 u = _mm512_load_ps(p), v = _mm512_load_ps(p + (layout == ALONG ? 16 : PANEL));
      for (int plane = 0; plane < 3; plane++) {
        __m512i a = take_high(u), b = take_high(v);
        rows[plane][i] = layout == ALONG ? _mm512_permutex2var_epi16(a, odd, b)
                                         : _mm512_or_si512(_mm512_srli_epi32(a, 16), b);
      }
    }
    for (int plane = 0; plane < 3; plane++) {
      if (turn) transpose(rows[plane]);
      char *out = to + (plane * 2 + tile) * 1024;
      for (int i = 0; i < 16; i++) _mm512_store_si512(out + i * 64, rows[plane][i]);
    }
  }
}

// Whether the kernel lets this process use tiles; asking is also what allows it.
bool is_allowed() {
  static const bool yes = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
  return yes;
}

void prepare_thread() {
  thread_local bool ready = false;  // the shapes are part of the thread's state, which the kernel keeps
  if (!ready) {
    static const TileShapes shapes;
    is_allowed();  // asked long ago, unless somebody calls the library by hand
    _tile_loadconfig(&shapes);
    ready = true;
  }
}

// Both tiles of a plane of A or B.
#define BERT_LOAD_A(PLANE)                        \
  _tile_loadd(4, a + PLANE * 2048, 64);           \
  _tile_loadd(5, a + PLANE * 2048 + 1024, 64);
#define BERT_LOAD_B(PLANE)                        \
  _tile_loadd(6, b + PLANE * 2048, 64);           \
  _tile_loadd(7, b + PLANE * 2048 + 1024, 64);
#define BERT_PRODUCTS        \
  _tile_dpbf16ps(0, 4, 6);   \
  _tile_dpbf16ps(1, 4, 7);   \
  _tile_dpbf16ps(2, 5, 6);   \
  _tile_dpbf16ps(3, 5, 7);

static inline void fetch(const char *a, const char *b, int part) {
  const int64_t at = STEP_BYTES + part * 1024;
  for (int i = 0; i < 1024; i += 64) {
    _mm_prefetch(a + at + i, _MM_HINT_T0);
    _mm_prefetch(b + at + i, _MM_HINT_T0);
  }
}

void block(const char *a, const char *b, int64_t steps, float *c, bool add) {
  if (add) {
    _tile_loadd(0, c, 128);
    _tile_loadd(1, c + 16, 128);
    _tile_loadd(2, c + 16 * PANEL, 128);
    _tile_loadd(3, c + 16 * PANEL + 16, 128);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  // Planes 0 high, 1 middle, 2 low. Each product changes one operand of the one before; small products come first.
  // Meanwhile the next step comes nearer, a sixth with each product.
  for (int64_t s = 0; s < steps; s++, a += STEP_BYTES, b += STEP_BYTES) {
    BERT_LOAD_A(0) BERT_LOAD_B(2) fetch(a, b, 0); BERT_PRODUCTS
    BERT_LOAD_B(1) fetch(a, b, 1); BERT_PRODUCTS
    BERT_LOAD_A(1) fetch(a, b, 2); BERT_PRODUCTS
    BERT_LOAD_B(0) fetch(a, b, 3); BERT_PRODUCTS
    BERT_LOAD_A(2) fetch(a, b, 4); BERT_PRODUCTS
    BERT_LOAD_A(0) fetch(a, b, 5); BERT_PRODUCTS
  }
  _tile_stored(0, c, 128);
  _tile_stored(1, c + 16, 128);
  _tile_stored(2, c + 16 * PANEL, 128);
  _tile_stored(3, c + 16 * PANEL + 16, 128);
}

#else  // floats: a step is 32 of depth by 32 lines, whichever the side

void turn(const float *x, float *to, int64_t count) {
#if defined(__AVX512F__)
  for (int line = 0; line < PANEL; line += 16)
    for (int d = 0; d < count; d += 16) {
      __m512i rows[16];
      for (int i = 0; i < 16; i++) rows[i] = _mm512_loadu_si512(x + (line + i) * PANEL + d);
      transpose(rows);
      for (int i = 0; i < 16; i++) _mm512_storeu_si512(to + (d + i) * PANEL + line, rows[i]);
    }
#else
  for (int line = 0; line < PANEL; line += 8)
    for (int d = 0; d < count; d++)
      for (int i = 0; i < 8; i++) to[d * PANEL + line + i] = x[(line + i) * PANEL + d];
#endif
}

template <Side side, Layout layout>
void pack_step(const float *x, char *bytes) {
  float *to = reinterpret_cast<float *>(bytes);
  if (layout == ACROSS)
    std::memcpy(to, x, PANEL * PANEL * 4);
  else
    turn(x, to);
}

bool is_allowed() { return true; }

void prepare_thread() {}

// Lines in the first-level cache are so far apart: a power of two would put them all into the same few places.
constexpr int64_t SPACING = STRETCH + 16;

// c[lines][32] (+)= a strip of A times so many vectors of columns of B.
template <int lines, int64_t along, int64_t across>
void add_strip(const float *a, int64_t given, const float *b, int64_t depth, int vectors, float *c, bool add,
               Ahead &next, Ahead &out) {
  const auto fetch = [&] {
    next.fetch<false, (lines * PACE + 15) / 16>();  // as much as is computed with
    out.fetch<true, 1>();
  };
  strip<lines, along, across>(a, given, b, depth, vectors, fetch, [=](int line, int column, vfloat sum) {
    float *to = c + line * PANEL + column;
    store(to, add ? load(to) + sum : sum);
  });
}

void block(const char *a_bytes, const char *b_bytes, int64_t steps, float *c, bool add) {
  const float *a = reinterpret_cast<const float *>(a_bytes), *b = reinterpret_cast<const float *>(b_bytes);
  Ahead nothing;
  for (int64_t first = 0; first < steps * DEPTH; first += STRETCH, add = true) {
    const int64_t depth = std::min(STRETCH, steps * DEPTH - first), at = first * PANEL;
    each_strip([&](int line, auto lines) {
      add_strip<decltype(lines)::value, PANEL, 1>(a + at + line, 0, b + at, depth, vectors(PANEL), c + line * PANEL,
                                                  add, nothing, nothing);
    });
  }
}

// Copies a strip, of whose lines only the first `there` exist, for add_strip<lines, 1, SPACING>, or <lines, lines, 1> if
// the numbers of a line do not lie together.
template <int lines>
__attribute__((noinline)) void copy_strip(const Lines &a, int64_t line, int64_t there, int64_t first, int64_t depth,
                                          float *to) {
  if (there < lines) std::memset(to, 0, lines * SPACING * 4);
  if (there <= 0) return;
  const float *from = a.data + (a.layout == ALONG ? line * a.stride + first : first * a.stride + line);
  if (a.layout == ALONG)
    for (int64_t i = 0; i < std::min<int64_t>(there, lines); i++, from += a.stride, to += SPACING) {
      int64_t d = 0;
      for (; d + LANES <= depth; d += LANES) store(to + d, load(from + d));
      if (d < depth) std::memcpy(to + d, from + d, (depth - d) * 4);
    }
  else if (there < lines)
    for (int64_t d = 0; d < depth; d++, from += a.stride) std::memcpy(to + d * lines, from, there * 4);
  else
    for (int64_t d = 0; d < depth; d++, from += a.stride) std::memcpy(to + d * lines, from, lines * 4);
}

void lines_by_panels(const Lines &a, int64_t line, int64_t there, int64_t first, int64_t last, int64_t stretch,
                     const char *b, size_t bytes, int64_t columns, float *c, Ahead next, Ahead out) {
  alignas(64) float near[TALL * SPACING];
  const bool few = is_few(a, columns), lone = vectors(columns) == 1;
  const auto each = [&](int at, auto constant) {
    constexpr int lines = decltype(constant)::value;
    if (at >= there) return;
    const bool copies = !few || lone || there - at < lines;  // a lone vector waits for each line that is not near
    const auto kernel = !copies             ? add_strip<lines, 1, 0>
                        : a.layout == ALONG ? add_strip<lines, 1, SPACING>
                                            : add_strip<lines, lines, 1>;
    Ahead soon{a.data + (line + at + lines) * a.stride, 0, at + lines < there, lines * last};
    Ahead &ahead = few && at + lines < PANEL ? soon : next;
    for (int64_t d = first; d < last; d += stretch) {
      const int64_t depth = std::min(stretch, last - d);
      if (copies) copy_strip<lines>(a, line + at, there - at, d, depth, near);
      const float *from = copies ? near : a.data + (line + at) * a.stride + d;
      for (int64_t p = 0; p * PANEL < columns; p++)
        kernel(from, a.stride, reinterpret_cast<const float *>(b + p * bytes) + d * PANEL, depth,
               vectors(columns - p * PANEL), c + (p * PANEL + at) * PANEL, d > 0, ahead, out);
    }
  };
  if (LONE_STRIPS != STRIPS && few && lone)
    each_strip<LONE_STRIPS>(each);
  else
    each_strip(each);
}

#endif

template void pack_step<A_SIDE, ALONG>(const float *, char *);
template void pack_step<A_SIDE, ACROSS>(const float *, char *);
template void pack_step<B_SIDE, ALONG>(const float *, char *);
template void pack_step<B_SIDE, ACROSS>(const float *, char *);

}  // namespace bert

// Computes a product whose result is known; 0 if it came out right. A processor that promises what it cannot do dies here,
// in the process that tries the library out.
extern "C" int bert_self_test() {
  using namespace bert;
  if (!is_allowed()) return 2;
  Operator guard("self_test");
  alignas(64) float x[PANEL * PANEL], w[PANEL * PANEL], c[PANEL * PANEL];
  for (int i = 0; i < PANEL * PANEL; i++) {
    x[i] = std::sin(1.0f + i);
    w[i] = std::cos(2.0f + 3 * i);
  }
  char *a = scratch(0, panel_bytes(DEPTH)), *b = scratch(1, panel_bytes(DEPTH));
  prepare_thread();
  pack_panel<A_SIDE, ALONG>(Plain{x, PANEL}, 0, PANEL, 0, DEPTH, a);
  pack_panel<B_SIDE, ALONG>(Plain{w, PANEL}, 0, PANEL, 0, DEPTH, b);
  block(a, b, 1, c, false);
  for (int i = 0; i < PANEL; i++)
    for (int j = 0; j < PANEL; j++) {
      double sum = 0;
      for (int k = 0; k < DEPTH; k++) sum += static_cast<double>(x[i * PANEL + k]) * w[j * PANEL + k];
      if (!(std::fabs(sum - c[i * PANEL + j]) < 1e-5)) return 1;
    }
  return 0;
}

extern "C" int bert_is_allowed() { return bert::is_allowed(); }

extern "C" const char *bert_matrix_unit() { return BERT_AMX ? "AMX bfloat16 x 6" : "vector multiply-add"; }
