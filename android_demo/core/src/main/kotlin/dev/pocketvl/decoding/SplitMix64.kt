package dev.pocketvl.decoding

/**
 * Pseudo-random numbers that are the same for a seed wherever this runs, today and later; no library promises that.
 *
 * Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014 (figure 16).
 */
internal class SplitMix64(private var state: Long) {
    /** Uniform in [0, 1), of 53 bits. */
    fun nextDouble(): Double = (nextLong() ushr 11) * (1.0 / (1L shl 53))

    private fun nextLong(): Long {
        state += -0x61c8864680b583ebL // 2^64 divided by the golden ratio
        var mixed = state
        mixed = (mixed xor (mixed ushr 30)) * -0x40a7b892e31b1a47L
        mixed = (mixed xor (mixed ushr 27)) * -0x6b2fb644ecceee15L
        return mixed xor (mixed ushr 31)
    }
}
