package org.pytorch.executorch

/** Element types, those that the runtime uses. */
enum class DType(internal val code: Int) {
    INT64(4),
    FLOAT(6),
}
