// Memory in pieces from the C library, freed at once.
#pragma once

#include <executorch/runtime/core/memory_allocator.h>

#include <cstdlib>
#include <vector>

namespace pocketvl {

/// ExecuTorch's own wants to know beforehand how much there will be.
class GrowingAllocator final : public executorch::runtime::MemoryAllocator {
 public:
  GrowingAllocator() : MemoryAllocator(0, nullptr) {}
  ~GrowingAllocator() override { reset(); }
  GrowingAllocator(const GrowingAllocator &) = delete;
  GrowingAllocator &operator=(const GrowingAllocator &) = delete;

  void *allocate(size_t size, size_t alignment = kDefaultAlignment) override {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return nullptr;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    void *piece = nullptr;
    if (posix_memalign(&piece, alignment, size) != 0) return nullptr;
    try {
      pieces_.push_back(piece);
    } catch (...) {
      std::free(piece);
      return nullptr;
    }
    return piece;
  }

  void reset() override {
    for (void *piece : pieces_) std::free(piece);
    pieces_.clear();
  }

 private:
  std::vector<void *> pieces_;
};

}  // namespace pocketvl
