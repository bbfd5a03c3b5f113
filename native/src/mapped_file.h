// A file in memory as ExecuTorch reads it.
#pragma once

#include <executorch/runtime/core/data_loader.h>

#include <string>

namespace pocketvl {

/// Maps parts of a file read-only, each until ExecuTorch frees it: XNNPACK packs weights into memory of its own, and
/// pages of the file that stayed mapped would count as the process's beside that. ExecuTorch's own loaders are not in
/// its Python package's headers.
class MappedFile final : public executorch::runtime::DataLoader {
 public:
  /// Throws std::runtime_error with a sentence.
  explicit MappedFile(const std::string &path);
  ~MappedFile() override;
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;

  executorch::runtime::Result<executorch::runtime::FreeableBuffer> load(size_t offset, size_t size,
                                                                        const SegmentInfo &) const override;
  executorch::runtime::Error load_into(size_t offset, size_t size, const SegmentInfo &, void *buffer) const override;
  executorch::runtime::Result<size_t> size() const override { return size_; }

 private:
  bool holds(size_t offset, size_t size) const { return offset <= size_ && size <= size_ - offset; }

  int file_;
  size_t size_ = 0;
};

}  // namespace pocketvl
