#pragma once

#include <cstddef>
#include <cstdint>

// executorch/extension/threadpool/threadpool.h includes pthreadpool.h, which the Python package does not bring.
namespace executorch::extension::threadpool {
class ThreadPool final {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
  size_t get_thread_count() const;
};
ThreadPool *get_threadpool();
}  // namespace executorch::extension::threadpool
