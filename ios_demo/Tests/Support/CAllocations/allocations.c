#include "CAllocations.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// The Swift runtime's own hooks, which are there for such tools.
typedef void *(*allocate)(const void *metadata, size_t size, size_t alignment);
extern allocate _swift_allocObject;
extern atomic_bool _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly;

static allocate original;
static _Thread_local bool counts;
static _Thread_local int64_t bytes;

static void *counted(const void *metadata, size_t size, size_t alignment) {
  if (counts) bytes += (int64_t)size;
  return original(metadata, size, alignment);
}

static void switch_to(bool on) {
  counts = on;
  atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, on);
}

void pv_count_allocations(void) {
  if (_swift_allocObject != counted) {
    original = _swift_allocObject;
    _swift_allocObject = counted;
  }
  bytes = 0;
  switch_to(true);
}

int64_t pv_counted_allocations(void) {
  switch_to(false);
  return bytes;
}
