#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;

namespace pocketvl {
namespace {

/// How far an offset or an address lies behind the start of its page: the same for both, since pages are mapped whole.
size_t within_page(uintptr_t place) { return place % static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

void unmap(void *, void *data, size_t size) {
  const size_t before = within_page(reinterpret_cast<uintptr_t>(data));
  munmap(static_cast<char *>(data) - before, size + before);
}

}  // namespace

MappedFile::MappedFile(const std::string &path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  const auto fail = [&](const std::string &reason) {
    if (file_ >= 0) close(file_);
    throw std::runtime_error(path + " cannot be read: " + reason + ".");
  };
  struct stat status {};
  if (file_ < 0 || fstat(file_, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("it is no file");
  if (status.st_size == 0) fail("it is empty");
  size_ = static_cast<size_t>(status.st_size);
}

MappedFile::~MappedFile() { close(file_); }

Result<FreeableBuffer> MappedFile::load(size_t offset, size_t size, const SegmentInfo &) const {
  if (!holds(offset, size)) return Error::InvalidProgram;
  if (size == 0) return FreeableBuffer();
  const size_t before = within_page(offset);
  void *mapped = mmap(nullptr, size + before, PROT_READ, MAP_PRIVATE, file_, static_cast<off_t>(offset - before));
  if (mapped == MAP_FAILED) return Error::AccessFailed;
  return FreeableBuffer(static_cast<char *>(mapped) + before, size, unmap);
}

Error MappedFile::load_into(size_t offset, size_t size, const SegmentInfo &, void *buffer) const {
  if (!holds(offset, size)) return Error::InvalidProgram;
  for (size_t done = 0; done < size;) {
    const ssize_t count =
        pread(file_, static_cast<char *>(buffer) + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Error::AccessFailed;
    done += static_cast<size_t>(count);
  }
  return Error::Ok;
}

}  // namespace pocketvl
