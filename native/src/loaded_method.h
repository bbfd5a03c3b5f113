// One method of a program with memory of its own.
#pragma once

#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>

#include <memory>
#include <string>
#include <vector>

#include "growing_allocator.h"
#include "pocketvl_executorch.h"

namespace pocketvl {

/// All that can go wrong throws std::runtime_error with a sentence.
class LoadedMethod {
 public:
  LoadedMethod(const executorch::runtime::Program &program, const std::string &name);
  LoadedMethod(const LoadedMethod &) = delete;
  LoadedMethod &operator=(const LoadedMethod &) = delete;

  /// The only output, which lives until the next run.
  const executorch::runtime::EValue &run(const pv_tensor *inputs, int32_t count);

  /// A named buffer, which lives as long as this.
  executorch::aten::Tensor buffer(const char *name);

 private:
  struct Free {
    void operator()(uint8_t *memory) const { std::free(memory); }
  };

  void check(const pv_tensor *inputs, int32_t count) const;

  std::string name_;
  // Zeroed by the system page by page as they are used: a KV cache is mostly empty.
  std::vector<std::unique_ptr<uint8_t[], Free>> planned_;
  std::vector<executorch::runtime::Span<uint8_t>> spans_;
  std::unique_ptr<executorch::runtime::HierarchicalAllocator> hierarchy_;
  GrowingAllocator lasting_, temporary_;
  std::unique_ptr<executorch::runtime::MemoryManager> memory_;
  std::unique_ptr<executorch::runtime::Method> method_;  // uses all above, so it goes first
};

/// What a tensor is. Throws for more than PV_MAX_RANK dimensions.
pv_type type_of(const executorch::aten::Tensor &tensor);

}  // namespace pocketvl
