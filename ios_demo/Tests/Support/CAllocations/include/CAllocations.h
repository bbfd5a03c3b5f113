/// What the Swift runtime allocates: objects, boxes and the memory of arrays and strings; not what native libraries do.
#pragma once
#include <stdint.h>

/// Begins to count in this thread. Every thread becomes slower meanwhile, so that nothing is timed then.
void pv_count_allocations(void);

/// Ends it, and returns the bytes.
int64_t pv_counted_allocations(void);
