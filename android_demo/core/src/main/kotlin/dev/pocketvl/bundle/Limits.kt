package dev.pocketvl.bundle

/*
 * The largest numbers that a manifest may name: far above any model, and far below what takes all memory. Each function
 * throws IllegalArgumentException.
 */

private const val MOST = 1 shl 20
private const val MOST_LAYERS = 1024
private const val MOST_PATCH = 256 // pixels
private const val MOST_STACKED = 16 // channels, or frames in a patch
private const val MOST_POSITIONS = 1 shl 30 // nothing is that long; max_context bounds what is
private const val MOST_PIXELS = Int.MAX_VALUE // likewise, the largest bucket does

internal fun checkLimits(geometry: ModelGeometry, image: ImageSettings, buckets: List<Int>, maxContext: Int) {
    checkVision(geometry.vision)
    checkText(geometry.text)
    check("min_pixels", image.minPixels, MOST)
    check("max_pixels", image.maxPixels, MOST_PIXELS)
    check("max_context", maxContext, MOST)
    for (bucket in buckets) check("a bucket", bucket, MOST)
}

internal fun checkLayerLimits(bits: Int, groupSize: Int?, layers: Int) {
    check("bits", bits, MOST)
    check("group_size", groupSize ?: 0, MOST)
    check("layers", layers, MOST)
}

private fun checkVision(vision: VisionGeometry) {
    check("depth", vision.depth, MOST_LAYERS)
    check("hidden_size", vision.hiddenSize, MOST)
    check("intermediate_size", vision.intermediateSize, MOST)
    check("num_heads", vision.numHeads, MOST)
    check("in_channels", vision.inChannels, MOST_STACKED)
    check("patch_size", vision.patchSize, MOST_PATCH)
    check("temporal_patch_size", vision.temporalPatchSize, MOST_STACKED)
    check("spatial_merge_size", vision.spatialMergeSize, MOST)
    check("output_size", vision.outputSize, MOST)
}

private fun checkText(text: TextGeometry) {
    check("num_layers", text.numLayers, MOST_LAYERS)
    check("hidden_size", text.hiddenSize, MOST)
    check("intermediate_size", text.intermediateSize, MOST)
    check("num_heads", text.numHeads, MOST)
    check("num_kv_heads", text.numKvHeads, MOST)
    check("head_dim", text.headDim, MOST)
    check("vocab_size", text.vocabSize, MOST)
    check("max_position_embeddings", text.maxPositionEmbeddings, MOST_POSITIONS)
    require(text.mropeSection.min() >= 0) { "mrope_section ${text.mropeSection} must not be negative" }
}

private fun check(name: String, value: Int, most: Int) {
    require(value <= most) { "$name is $value, but must not be more than $most" }
}
