// What ExecuTorch says while it works: kept for the message of a failure instead of printed.
#pragma once

#include <executorch/runtime/core/error.h>

#include <stdexcept>
#include <string>

namespace pocketvl {

/// From now on ExecuTorch's messages are kept per thread. Safe to call often.
void keep_native_log();

/// Forgets what was said in this thread.
void clear_native_log();

/// `what` failed: a std::runtime_error with the error's name and what this thread's log said of it.
std::runtime_error failure(const std::string &what, executorch::runtime::Error error);

}  // namespace pocketvl
