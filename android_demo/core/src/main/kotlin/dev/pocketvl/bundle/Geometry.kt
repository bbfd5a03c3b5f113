package dev.pocketvl.bundle

/** The vision encoder. Sizes in elements. */
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
)

/** The sizes of a Qwen2-VL model. */
data class ModelGeometry(val vision: VisionGeometry, val text: TextGeometry)

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
data class ImageSettings(val minPixels: Int, val maxPixels: Int, val mean: List<Double>, val std: List<Double>)

/** What an answer uses when the caller says nothing. */
data class SamplingDefaults(
    /** 0 is greedy. */
    val temperature: Double,
    /** 0: no limit. */
    val topK: Int,
    val topP: Double,
    val repetitionPenalty: Double,
)
