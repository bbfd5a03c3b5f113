#include "native_log.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <mutex>

namespace pocketvl {
namespace {

constexpr size_t kMost = 400;  // characters: what comes first is the cause
thread_local std::string said;

void keep(et_timestamp_t, et_pal_log_level_t level, const char *, const char *, size_t, const char *message,
          size_t length) {
  if ((level != kError && level != kFatal) || said.size() >= kMost) return;
  try {
    if (!said.empty()) said += "; ";
    said.append(message, length);
  } catch (...) {  // no memory for a message: the error's name must do
  }
}

}  // namespace

void keep_native_log() {
  static std::once_flag once;
  std::call_once(once, [] {
    executorch::runtime::runtime_init();
    // register_pal would first print that the Python package has registered a log before.
    const_cast<executorch::runtime::PalImpl *>(executorch::runtime::get_pal_impl())->emit_log_message = keep;
  });
}

void clear_native_log() { said.clear(); }

std::runtime_error failure(const std::string &what, executorch::runtime::Error error) {
  std::string text = what + ": " + executorch::runtime::to_string(error);
  if (!said.empty()) text += " (" + said.substr(0, kMost) + ")";
  return std::runtime_error(text + ".");
}

}  // namespace pocketvl
