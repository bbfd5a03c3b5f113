package org.pytorch.executorch

/** What goes into a method or comes out: a tensor or an integer. */
class EValue private constructor(private val tensor: Tensor?, private val integer: Long) {
    fun isTensor(): Boolean = tensor != null

    fun isInt(): Boolean = tensor == null

    fun toTensor(): Tensor = checkNotNull(tensor) { "Expected EValue type tensor" }

    fun toInt(): Long {
        check(isInt()) { "Expected EValue type int" }
        return integer
    }

    companion object {
        @JvmStatic
        fun from(tensor: Tensor): EValue = EValue(tensor, 0)

        @JvmStatic
        fun from(value: Long): EValue = EValue(null, value)
    }
}
