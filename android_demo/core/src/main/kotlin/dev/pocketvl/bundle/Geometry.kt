package dev.pocketvl.bundle

/** The vision encoder. Sizes in elements. Like all values here it throws IllegalArgumentException for impossible ones. */
data class VisionGeometry(
    val depth: Int,
    /** Width of a block; "embed_dim" in the hub's config. */
    val hiddenSize: Int,
    val intermediateSize: Int,
    val numHeads: Int,
    val inChannels: Int,
    /** Pixels along one side. */
    val patchSize: Int,
    /** Frames in one patch. */
    val temporalPatchSize: Int,
    /** Patches along one side of a token. */
    val spatialMergeSize: Int,
    /** Width of an image embedding, which is the decoder's hidden size. */
    val outputSize: Int,
    val layerNormEps: Double,
) {
    init {
        positive("depth" to depth, "hidden_size" to hiddenSize, "intermediate_size" to intermediateSize)
        positive("num_heads" to numHeads, "in_channels" to inChannels, "patch_size" to patchSize)
        positive("temporal_patch_size" to temporalPatchSize, "spatial_merge_size" to spatialMergeSize)
        positive("output_size" to outputSize)
        require(hiddenSize % numHeads == 0 && headDim % 4 == 0) {
            "vision hidden_size $hiddenSize must divide into $numHeads heads whose size is a multiple of 4"
        }
    }

    val headDim: Int get() = hiddenSize / numHeads

    /** Elements of one flattened patch: channels x frames x height x width. */
    val patchDim: Int get() = inChannels * temporalPatchSize * patchSize * patchSize

    /** Patches that become one token. */
    val mergeArea: Int get() = spatialMergeSize * spatialMergeSize

    /** Pixels along one side of a token; image sides are multiples of it. */
    val factor: Int get() = patchSize * spatialMergeSize
}

/** The decoder. Sizes in elements. */
data class TextGeometry(
    val numLayers: Int,
    val hiddenSize: Int,
    val intermediateSize: Int,
    val numHeads: Int,
    val numKvHeads: Int,
    val headDim: Int,
    val vocabSize: Int,
    val ropeTheta: Double,
    val rmsNormEps: Double,
    /** Rope frequencies of the t, h and w axis. */
    val mropeSection: List<Int>,
    val maxPositionEmbeddings: Int,
    val tieWordEmbeddings: Boolean,
) {
    init {
        positive("num_layers" to numLayers, "hidden_size" to hiddenSize, "intermediate_size" to intermediateSize)
        positive("num_heads" to numHeads, "num_kv_heads" to numKvHeads, "head_dim" to headDim)
        positive("vocab_size" to vocabSize, "max_position_embeddings" to maxPositionEmbeddings)
        require(numHeads % numKvHeads == 0) { "$numHeads query heads do not divide among $numKvHeads key-value heads" }
        require(mropeSection.size == 3) { "mrope_section $mropeSection must have 3 items" }
        require(mropeSection.sumOf { it.toLong() } * 2 == headDim.toLong()) {
            "mrope_section $mropeSection must sum to half of head_dim $headDim"
        }
    }
}

/** The sizes of a Qwen2-VL model. */
data class ModelGeometry(val vision: VisionGeometry, val text: TextGeometry) {
    init {
        require(vision.outputSize == text.hiddenSize) {
            "vision output size ${vision.outputSize} differs from the decoder's hidden size ${text.hiddenSize}"
        }
    }
}

/** Token ids with a meaning of their own. */
data class SpecialTokens(
    val imagePad: Int,
    val videoPad: Int,
    val visionStart: Int,
    val visionEnd: Int,
    /** Any of these ends an answer. */
    val eos: List<Int>,
    /** Closes a turn; null for a base model without a chat template. */
    val imEnd: Int?,
)

/** How pixels are prepared. [mean] and [std] are per channel, for pixels in 0..1. */
data class ImageSettings(val minPixels: Int, val maxPixels: Int, val mean: List<Double>, val std: List<Double>) {
    init {
        require(minPixels in 1..maxPixels) { "min_pixels $minPixels must lie in 1..max_pixels $maxPixels" }
        require(mean.size == 3 && std.size == 3) { "image mean $mean and std $std must have 3 items" }
        require(std.min() > 0) { "image std $std must be positive" }
    }
}

/** What an answer uses when the caller says nothing. */
data class SamplingDefaults(
    /** 0 is greedy. */
    val temperature: Double,
    /** 0: no limit. */
    val topK: Int,
    val topP: Double,
    val repetitionPenalty: Double,
) {
    init {
        require(temperature.isFinite() && temperature >= 0) {
            "temperature must be 0 (greedy) or more, not $temperature"
        }
        require(topK >= 0) { "top_k must be 0 (no limit) or more, not $topK" }
        require(topP > 0 && topP <= 1) { "top_p must lie above 0 and not above 1 (no limit), not $topP" }
        require(repetitionPenalty.isFinite() && repetitionPenalty > 0) {
            "repetition_penalty must be above 0, 1 being none, not $repetitionPenalty"
        }
    }
}

private fun positive(vararg sizes: Pair<String, Int>) {
    for ((name, size) in sizes) require(size >= 1) { "$name must be at least 1, not $size" }
}
