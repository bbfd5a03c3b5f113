#include "loaded_method.h"

#include <array>

#include "native_log.h"
#include "thread_pool.h"

#ifdef __linux__
// MKL's, which is in torch's library on x86: its number of threads for the calling thread, and the one before.
extern "C" __attribute__((weak, visibility("default"))) int MKL_Set_Num_Threads_Local(int threads);
#endif

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Span;

namespace pocketvl {
namespace {

/// Attention multiplies by MKL, which would start a thread per core whatever ExecuTorch's pool has, and they spin:
/// it gets as many as the pool.
class BlasThreads {
 public:
  BlasThreads() : before_(set(count())) {}
  ~BlasThreads() { set(before_); }
  BlasThreads(const BlasThreads &) = delete;
  BlasThreads &operator=(const BlasThreads &) = delete;

 private:
  static int set([[maybe_unused]] int threads) {
#ifdef __linux__
    if (MKL_Set_Num_Threads_Local != nullptr) return MKL_Set_Num_Threads_Local(threads);
#endif
    return 0;
  }

  static int count() {
    auto *pool = executorch::extension::threadpool::get_threadpool();
    return pool == nullptr ? 1 : static_cast<int>(pool->get_thread_count());
  }

  int before_;
};

}  // namespace

LoadedMethod::LoadedMethod(const executorch::runtime::Program &program, const std::string &name) : name_(name) {
  const auto meta = program.method_meta(name.c_str());
  if (!meta.ok()) throw failure("There is no method " + name, meta.error());
  for (size_t index = 0; index < meta->num_memory_planned_buffers(); index++) {
    const auto size = meta->memory_planned_buffer_size(index);
    if (!size.ok() || *size < 0) throw failure(name + " plans memory of no size", size.error());
    const auto bytes = static_cast<size_t>(*size);
    planned_.emplace_back(static_cast<uint8_t *>(std::calloc(bytes > 0 ? bytes : 1, 1)));
    if (!planned_.back()) throw std::runtime_error("There are no " + std::to_string(bytes) + " bytes for " + name + ".");
    spans_.emplace_back(planned_.back().get(), bytes);
  }
  hierarchy_ = std::make_unique<executorch::runtime::HierarchicalAllocator>(
      Span<Span<uint8_t>>(spans_.data(), spans_.size()));
  memory_ = std::make_unique<executorch::runtime::MemoryManager>(&lasting_, hierarchy_.get(), &temporary_);
  auto loaded = program.load_method(name.c_str(), memory_.get());
  if (!loaded.ok()) throw failure(name + " cannot be loaded", loaded.error());
  method_ = std::make_unique<executorch::runtime::Method>(std::move(*loaded));
}

const EValue &LoadedMethod::run(const pv_tensor *inputs, int32_t count) {
  check(inputs, count);
  std::array<std::array<uint8_t, PV_MAX_RANK>, 16> orders{};
  std::vector<std::unique_ptr<TensorImpl>> given;  // a method may read an input where it lies
  given.reserve(static_cast<size_t>(count));
  for (int32_t index = 0; index < count; index++) {
    const pv_type &type = inputs[index].type;
    auto &order = orders[static_cast<size_t>(index)];
    for (int32_t axis = 0; axis < type.rank; axis++) order[static_cast<size_t>(axis)] = static_cast<uint8_t>(axis);
    // ExecuTorch's tensors are not const, but a method does not write to its inputs.
    given.push_back(std::make_unique<TensorImpl>(static_cast<ScalarType>(type.dtype), type.rank,
                                                 const_cast<int32_t *>(type.sizes),
                                                 const_cast<void *>(inputs[index].data), order.data()));
    const Error error = method_->set_input(EValue(Tensor(given.back().get())), static_cast<size_t>(index));
    if (error != Error::Ok) throw failure(name_ + " refused input " + std::to_string(index), error);
  }
  const BlasThreads threads;
  const Error error = method_->execute();
  temporary_.reset();
  if (error != Error::Ok) throw failure(name_ + " failed", error);
  if (method_->outputs_size() != 1) throw std::runtime_error(name_ + " gives more than one output.");
  return method_->get_output(0);
}

Tensor LoadedMethod::buffer(const char *name) {
  auto found = method_->get_attribute(name);
  if (!found.ok()) throw failure(name_ + " has no buffer " + name, found.error());
  if (found->const_data_ptr() == nullptr) throw std::runtime_error(std::string(name) + " has no memory.");
  return *found;
}

void LoadedMethod::check(const pv_tensor *inputs, int32_t count) const {
  const auto meta = method_->method_meta();
  if (count < 0 || static_cast<size_t>(count) != meta.num_inputs() || count > 16) {
    throw std::runtime_error(name_ + " takes " + std::to_string(meta.num_inputs()) + " inputs, not " +
                             std::to_string(count) + ".");
  }
  if (count > 0 && inputs == nullptr) throw std::runtime_error("No inputs were given to " + name_ + ".");
  for (int32_t index = 0; index < count; index++) {
    const pv_type &type = inputs[index].type;
    const std::string which = "Input " + std::to_string(index) + " of " + name_;
    const auto wanted = meta.input_tensor_meta(static_cast<size_t>(index));
    if (!wanted.ok()) throw std::runtime_error(which + " is no tensor.");
    if (type.dtype != static_cast<int32_t>(wanted->scalar_type())) {
      throw std::runtime_error(which + " is of dtype " + std::to_string(static_cast<int>(wanted->scalar_type())) +
                               ", not " + std::to_string(type.dtype) + ".");
    }
    const auto sizes = wanted->sizes();
    if (type.rank < 0 || static_cast<size_t>(type.rank) != sizes.size() || type.rank > PV_MAX_RANK) {
      throw std::runtime_error(which + " has " + std::to_string(sizes.size()) + " dimensions, not " +
                               std::to_string(type.rank) + ".");
    }
    for (size_t axis = 0; axis < sizes.size(); axis++) {
      if (type.sizes[axis] < 1 || type.sizes[axis] > sizes[axis]) {
        throw std::runtime_error(which + " has the size " + std::to_string(type.sizes[axis]) + " in dimension " +
                                 std::to_string(axis) + ", where 1 .. " + std::to_string(sizes[axis]) + " is possible.");
      }
    }
    if (inputs[index].data == nullptr) throw std::runtime_error(which + " has no data.");
  }
}

pv_type type_of(const Tensor &tensor) {
  if (tensor.dim() > PV_MAX_RANK) throw std::runtime_error("A tensor has too many dimensions.");
  pv_type type{static_cast<int32_t>(tensor.scalar_type()), static_cast<int32_t>(tensor.dim()), {}};
  for (int32_t axis = 0; axis < type.rank; axis++) type.sizes[axis] = static_cast<int32_t>(tensor.size(axis));
  return type;
}

}  // namespace pocketvl
