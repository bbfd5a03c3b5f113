package dev.pocketvl.chat

import dev.pocketvl.bundle.SamplingDefaults
import dev.pocketvl.decoding.Sampler

/**
 * How tokens are drawn; what is null is the bundle's own choice. [temperature] 0 is greedy, and plain greedy (without
 * a penalty) unless [repetitionPenalty] is given, too. The same [seed] draws the same tokens.
 */
data class Sampling
    @JvmOverloads
    constructor(
        val temperature: Double? = null,
        /** 0: no limit. */
        val topK: Int? = null,
        /** 1: no limit. */
        val topP: Double? = null,
        val repetitionPenalty: Double? = null,
        val seed: Long? = null,
    ) {
        /** New for each answer, since it draws. Throws [dev.pocketvl.UsageException] for values that cannot be meant. */
        internal fun sampler(defaults: SamplingDefaults): Sampler =
            Sampler(
                temperature ?: defaults.temperature,
                topK ?: defaults.topK,
                topP ?: defaults.topP,
                repetitionPenalty ?: if (temperature == 0.0) 1.0 else defaults.repetitionPenalty,
                seed,
            )

        companion object {
            /** The likeliest token, always. */
            @JvmField
            val GREEDY = Sampling(temperature = 0.0)
        }
    }
