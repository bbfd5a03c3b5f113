package dev.pocketvl.presentation.benchmark

/** How much is timed: [repeats] of each image size and of the prompt, [decodeTokens] single tokens. */
data class BenchmarkSettings(val repeats: Int = 3, val prefillTokens: Int = 256, val decodeTokens: Int = 32)

/** Seconds of each run of one image size. [tokens]: that the decoder gets for so many patches. */
data class VisionTimes(val patches: Int, val tokens: Int, val seconds: List<Double>) {
    val best: Double get() = seconds.min()
}

/** Seconds of each run over [tokens] tokens. */
data class PrefillTimes(val tokens: Int, val seconds: List<Double>) {
    /** Tokens a second, of the best run. */
    val rate: Double get() = tokens / seconds.min()
}

/** Seconds of each token behind the prompt, the head included. */
data class DecodeTimes(val seconds: List<Double>) {
    /** Tokens a second, by the median. */
    val rate: Double get() = 1 / median(seconds)

    private fun median(values: List<Double>): Double {
        val sorted = values.sorted()
        val middle = sorted.size / 2
        return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/** Seconds. Loading is what the first run takes longer than the best of the others. */
data class Timings(
    val visionLoad: Double,
    val decoderLoad: Double,
    val vision: List<VisionTimes>,
    val prefill: PrefillTimes,
    val decode: DecodeTimes,
)
