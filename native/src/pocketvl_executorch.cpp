// The C border: arguments checked, exceptions turned into sentences, calls made to wait for each other.
#include "pocketvl_executorch.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <new>
#include <shared_mutex>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "loaded_method.h"
#include "mapped_file.h"
#include "native_log.h"
#include "thread_pool.h"

using executorch::runtime::MethodMeta;
using executorch::runtime::Program;
using pocketvl::LoadedMethod;

namespace {

// Methods are loaded and run under it shared, and the pool is replaced under it alone.
std::shared_mutex pool_lock;
// Loaded methods, in the whole process: they keep a pointer to the pool, which replacing it would leave dangling.
std::atomic<size_t> pool_users{0};

}  // namespace

struct pv_program {
  explicit pv_program(const char *path) : file(path) {
    auto loaded = Program::load(&file, Program::Verification::InternalConsistency);
    if (!loaded.ok()) throw pocketvl::failure(std::string(path) + " is no program that ExecuTorch can run", loaded.error());
    program = std::make_unique<Program>(std::move(*loaded));
  }

  ~pv_program() { pool_users -= methods.size(); }
  pv_program(const pv_program &) = delete;
  pv_program &operator=(const pv_program &) = delete;

  LoadedMethod &method(const char *name) {
    auto found = methods.find(name);
    if (found == methods.end()) {
      found = methods.emplace(name, std::make_unique<LoadedMethod>(*program, name)).first;
      pool_users++;
    }
    return *found->second;
  }

  pocketvl::MappedFile file;
  std::unique_ptr<Program> program;
  std::map<std::string, std::unique_ptr<LoadedMethod>, std::less<>> methods;
  std::mutex lock;
};

namespace {

void write(const char *text, char *error, size_t error_size) {
  if (error == nullptr || error_size == 0) return;
  const size_t length = std::min(std::strlen(text), error_size - 1);
  std::memcpy(error, text, length);
  error[length] = '\0';
}

/// Runs `body`; whatever it throws becomes the sentence in `error`.
template <typename Body>
int guarded(char *error, size_t error_size, Body body) noexcept {
  try {
    pocketvl::clear_native_log();
    body();
    return PV_OK;
  } catch (const std::bad_alloc &) {
    write("There is not enough memory.", error, error_size);
  } catch (const std::exception &failure) {
    write(failure.what(), error, error_size);
  } catch (...) {
    write("ExecuTorch failed for a reason that it does not name.", error, error_size);
  }
  return PV_FAILED;
}

template <typename... Pointers>
void require(const Pointers *...pointers) {
  if (((pointers == nullptr) || ...)) throw std::runtime_error("A null pointer was given.");
}

template <typename Body>
int with_method(pv_program *program, const char *method, char *error, size_t error_size, Body body) noexcept {
  return guarded(error, error_size, [&] {
    require(program, method);
    const std::shared_lock<std::shared_mutex> pool(pool_lock);
    const std::lock_guard<std::mutex> own(program->lock);
    body(program->method(method));
  });
}

template <typename Info>
pv_type described(Info info) {
  if (!info.ok()) return pv_type{PV_NO_TENSOR, 0, {}};
  const auto sizes = info->sizes();
  if (sizes.size() > PV_MAX_RANK) throw std::runtime_error("A tensor has too many dimensions.");
  pv_type type{static_cast<int32_t>(info->scalar_type()), static_cast<int32_t>(sizes.size()), {}};
  for (size_t axis = 0; axis < sizes.size(); axis++) type.sizes[axis] = sizes[axis];
  return type;
}

/// The types of `total(meta)` values, each given by `one(meta, index)`.
template <typename Total, typename One>
int describe(const pv_program *program, const char *method, pv_type *types, int32_t capacity, int32_t *count,
             char *error, size_t error_size, Total total, One one) noexcept {
  return guarded(error, error_size, [&] {
    require(program, method, count);
    if (capacity > 0) require(types);
    const auto meta = program->program->method_meta(method);
    if (!meta.ok()) throw pocketvl::failure(std::string("There is no method ") + method, meta.error());
    *count = static_cast<int32_t>(total(*meta));
    for (int32_t index = 0; index < std::min(*count, capacity); index++) {
      types[index] = described(one(*meta, static_cast<size_t>(index)));
    }
  });
}

/// The memory of a named buffer. Throws unless it has at least `size` bytes.
uint8_t *buffer_memory(LoadedMethod &method, const char *name, size_t size) {
  const auto tensor = method.buffer(name);
  if (size > tensor.nbytes()) {
    throw std::runtime_error(std::string(name) + " has " + std::to_string(tensor.nbytes()) + " bytes, not " +
                             std::to_string(size) + ".");
  }
  return static_cast<uint8_t *>(tensor.mutable_data_ptr());
}

}  // namespace

pv_program *pv_open(const char *path, char *error, size_t error_size) {
  pv_program *opened = nullptr;
  guarded(error, error_size, [&] {
    require(path);
    pocketvl::keep_native_log();
    opened = new pv_program(path);
  });
  return opened;
}

void pv_close(pv_program **program) {
  if (program == nullptr || *program == nullptr) return;
  delete *program;
  *program = nullptr;
#ifdef __GLIBC__
  malloc_trim(0);  // it would keep most of what a model's packed weights took: 0.8 GB of the 2B model's decoder
#endif
}

int32_t pv_method_count(const pv_program *program) {
  return program == nullptr ? 0 : static_cast<int32_t>(program->program->num_methods());
}

const char *pv_method_name(const pv_program *program, int32_t index) {
  if (index < 0 || index >= pv_method_count(program)) return nullptr;
  const auto name = program->program->get_method_name(static_cast<size_t>(index));
  return name.ok() ? *name : nullptr;
}

int pv_inputs(const pv_program *program, const char *method, pv_type *types, int32_t capacity, int32_t *count,
              char *error, size_t error_size) {
  return describe(
      program, method, types, capacity, count, error, error_size, [](const MethodMeta &m) { return m.num_inputs(); },
      [](const MethodMeta &m, size_t index) { return m.input_tensor_meta(index); });
}

int pv_outputs(const pv_program *program, const char *method, pv_type *types, int32_t capacity, int32_t *count,
               char *error, size_t error_size) {
  return describe(
      program, method, types, capacity, count, error, error_size, [](const MethodMeta &m) { return m.num_outputs(); },
      [](const MethodMeta &m, size_t index) { return m.output_tensor_meta(index); });
}

int pv_load(pv_program *program, const char *method, char *error, size_t error_size) {
  return with_method(program, method, error, error_size, [](LoadedMethod &) {});
}

int pv_run(pv_program *program, const char *method, const pv_tensor *inputs, int32_t input_count, pv_type *type,
           void *output, size_t output_size, char *error, size_t error_size) {
  return with_method(program, method, error, error_size, [&](LoadedMethod &loaded) {
    require(type, output);
    const auto &value = loaded.run(inputs, input_count);
    if (!value.isTensor()) throw std::runtime_error(std::string(method) + " gives no tensor.");
    const auto tensor = value.toTensor();
    const pv_type given = pocketvl::type_of(tensor);
    if (given.dtype != PV_FLOAT32) throw std::runtime_error(std::string(method) + " gives no float32.");
    if (tensor.nbytes() > output_size) {
      throw std::runtime_error(std::string(method) + " gives " + std::to_string(tensor.nbytes()) +
                               " bytes, and there is room for " + std::to_string(output_size) + ".");
    }
    *type = given;
    std::memcpy(output, tensor.const_data_ptr(), tensor.nbytes());
  });
}

int pv_integer(pv_program *program, const char *method, int64_t *value, char *error, size_t error_size) {
  return with_method(program, method, error, error_size, [&](LoadedMethod &loaded) {
    require(value);
    const auto &given = loaded.run(nullptr, 0);
    if (given.isInt()) {
      *value = given.toInt();
    } else if (given.isBool()) {
      *value = given.toBool() ? 1 : 0;
    } else {
      throw std::runtime_error(std::string(method) + " gives no integer.");
    }
  });
}

int pv_buffer(pv_program *program, const char *method, const char *name, pv_type *type, char *error,
              size_t error_size) {
  return with_method(program, method, error, error_size, [&](LoadedMethod &loaded) {
    require(name, type);
    *type = pocketvl::type_of(loaded.buffer(name));
  });
}

int pv_read_buffer(pv_program *program, const char *method, const char *name, void *bytes, size_t size, char *error,
                   size_t error_size) {
  return with_method(program, method, error, error_size, [&](LoadedMethod &loaded) {
    require(name, bytes);
    std::memcpy(bytes, buffer_memory(loaded, name, size), size);
  });
}

int pv_write_buffer(pv_program *program, const char *method, const char *name, const void *bytes, size_t size,
                    char *error, size_t error_size) {
  return with_method(program, method, error, error_size, [&](LoadedMethod &loaded) {
    require(name, bytes);
    std::memcpy(buffer_memory(loaded, name, size), bytes, size);
  });
}

int pv_set_threads(int32_t threads, char *error, size_t error_size) {
  return guarded(error, error_size, [&] {
    if (threads < 1 || threads > PV_MAX_THREADS) {
      throw std::runtime_error(std::to_string(threads) + " threads were asked for; give 1.." +
                               std::to_string(PV_MAX_THREADS) + ", one a core is best.");
    }
    pocketvl::keep_native_log();
    const std::unique_lock<std::shared_mutex> pool(pool_lock);
    auto *shared = executorch::extension::threadpool::get_threadpool();
    if (shared != nullptr && shared->get_thread_count() == static_cast<size_t>(threads)) return;
    if (pool_users > 0) {
      throw std::runtime_error("The number of threads cannot change while methods are loaded; close all programs first.");
    }
    if (shared == nullptr || !shared->_unsafe_reset_threadpool(static_cast<uint32_t>(threads))) {
      throw std::runtime_error("ExecuTorch has no pool of " + std::to_string(threads) + " threads.");
    }
  });
}
