// The pool of threads: workers sleep between operators, after a short wait for the next one.
#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#define BERT_PAUSE() _mm_pause()
#else
#define BERT_PAUSE() std::this_thread::yield()
#endif

namespace bert {
namespace {

constexpr int SLOTS = 16, SPINS = 400;

// Numbers below 1e-38 become 0, as in tiles: they cost a hundred times as much as others and mean nothing here.
unsigned flush_denormals() {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
  return before;
#else
  return 0;
#endif
}
void restore([[maybe_unused]] unsigned control) {
#if defined(__x86_64__)
  _mm_setcsr(control);
#endif
}

struct Buffer {
  char *data = nullptr;
  size_t bytes = 0;
  char *at_least(size_t wanted) {
    if (wanted > bytes) {
      std::free(data);
      const size_t page = wanted < (1 << 20) ? 4096 : 2 << 20;
      bytes = (wanted + page - 1) / page * page;
      data = static_cast<char *>(std::aligned_alloc(page, bytes));
      if (!data) {
        bytes = 0;
        throw std::bad_alloc();
      }
#if defined(__linux__)
      if (page > 4096) madvise(data, bytes, MADV_HUGEPAGE);  // packed panels are walked in big strides
#endif
    }
    return data;
  }
};

struct Pool {
  std::mutex mutex;
  std::condition_variable wake, finished;
  std::atomic<uint64_t> generation{0};  // number of the current job
  std::atomic<int64_t> next{0};         // its first task that nobody has taken
  std::atomic<int> running{0};          // workers inside it
  const std::function<void(int64_t)> *body = nullptr;
  int64_t tasks = 0;
  int wanted = 1, started = 0;
  bool open = false;

  void run_tasks() {
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) (*body)(task);
  }

  void work(int number, uint64_t seen) {
    flush_denormals();
    for (;;) {
      for (int i = 0; i < SPINS && generation.load(std::memory_order_acquire) == seen; i++) BERT_PAUSE();
      {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_relaxed) != seen; });
        seen = generation.load(std::memory_order_relaxed);
        if (!open || number >= wanted) continue;  // too late, or not needed
        running.fetch_add(1, std::memory_order_relaxed);
      }
      run_tasks();
      std::lock_guard<std::mutex> lock(mutex);
      if (running.fetch_sub(1, std::memory_order_release) == 1) finished.notify_one();
    }
  }

  void run(int64_t count, const std::function<void(int64_t)> &f) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      for (; started < wanted - 1; started++)
        std::thread([this, number = started + 1, seen = generation.load()] { work(number, seen); }).detach();
      body = &f;
      tasks = count;
      next.store(0, std::memory_order_relaxed);
      open = true;
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
    run_tasks();
    std::unique_lock<std::mutex> lock(mutex);
    open = false;
    for (int i = 0; i < SPINS && running.load(std::memory_order_acquire); i++) {
      lock.unlock();
      BERT_PAUSE();
      lock.lock();
    }
    finished.wait(lock, [&] { return running.load(std::memory_order_acquire) == 0; });
  }
};

// Neither is ever destroyed: detached workers may still look at them while the process ends.
Pool &pool() {
  static Pool *one = new Pool;
  return *one;
}
std::mutex &one_operator() {
  static std::mutex *one = new std::mutex;
  return *one;
}
using Profile = std::map<std::string, std::pair<int64_t, double>>;
Profile &profile() {
  static Profile *one = new Profile;
  return *one;
}
bool is_profiled() {
  static const bool yes = std::getenv("BERT_MS_KERNELS_PROFILE") && !std::atexit([] {
    for (auto &[name, entry] : profile())
      std::fprintf(stderr, "%-34s %7lld calls %9.3f s\n", name.c_str(), static_cast<long long>(entry.first),
                   entry.second);
  });
  return yes;
}
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
Buffer shared[SLOTS];
thread_local Buffer own[SLOTS];

}  // namespace

int threads() {
  return pool().wanted;
}

void set_threads(int count) {
  std::lock_guard<std::mutex> lock(one_operator());
  pool().wanted = count > 0 ? count : 1;
}

void parallel(int64_t tasks, const std::function<void(int64_t)> &body) {
  if (tasks <= 1 || threads() == 1) {
    for (int64_t i = 0; i < tasks; i++) body(i);
  } else {
    pool().run(tasks, body);
  }
}

char *scratch(int slot, size_t bytes) { return shared[slot].at_least(bytes); }
char *local_scratch(int slot, size_t bytes) { return own[slot].at_least(bytes); }

Operator::Operator(const char *name) : name(name), start(0), control(flush_denormals()) {
  one_operator().lock();
  if (is_profiled()) start = now();
}
Operator::~Operator() {
  if (is_profiled()) {
    auto &entry = profile()[name];
    entry.first++;
    entry.second += now() - start;
  }
  one_operator().unlock();
  restore(control);
}

}  // namespace bert

extern "C" void bert_set_threads(int count) { bert::set_threads(count); }
extern "C" int bert_threads() { return bert::threads(); }
