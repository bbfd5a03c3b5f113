#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;

namespace pocketvl {
namespace {

[[noreturn]] void fail(const std::string &path, const std::string &reason) {
  throw std::runtime_error(path + " cannot be read: " + reason + ".");
}

}  // namespace

MappedFile::MappedFile(const std::string &path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path, std::strerror(errno));
  struct stat status {};
  const bool known = fstat(file, &status) == 0;
  void *mapped = MAP_FAILED;
  if (known && S_ISREG(status.st_mode) && status.st_size > 0) {
    size_ = static_cast<size_t>(status.st_size);
    mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  }
  const int reason = errno;
  close(file);  // the mapping stays
  if (known && !S_ISREG(status.st_mode)) fail(path, "it is no file");
  if (known && status.st_size == 0) fail(path, "it is empty");
  if (mapped == MAP_FAILED) fail(path, std::strerror(reason));
  data_ = static_cast<const char *>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char *>(data_), size_);
}

Result<FreeableBuffer> MappedFile::load(size_t offset, size_t size, const SegmentInfo &) const {
  if (!holds(offset, size)) return Error::InvalidProgram;
  return FreeableBuffer(data_ + offset, size, nullptr);  // freed with the mapping
}

Error MappedFile::load_into(size_t offset, size_t size, const SegmentInfo &, void *buffer) const {
  if (!holds(offset, size)) return Error::InvalidProgram;
  std::memcpy(buffer, data_ + offset, size);
  return Error::Ok;
}

}  // namespace pocketvl
