package dev.pocketvl.bundle

// The part of manifest.json that says what a model is.

internal fun modelGeometry(value: Any?, where: String): ModelGeometry =
    readStrictly(value, where, listOf("vision", "text")) {
        ModelGeometry(
            vision = visionGeometry(this["vision"], at("vision")),
            text = textGeometry(this["text"], at("text")),
        )
    }

private fun visionGeometry(value: Any?, where: String): VisionGeometry =
    readStrictly(value, where, VISION) {
        VisionGeometry(
            depth = int("depth"),
            hiddenSize = int("hidden_size"),
            intermediateSize = int("intermediate_size"),
            numHeads = int("num_heads"),
            inChannels = int("in_channels"),
            patchSize = int("patch_size"),
            temporalPatchSize = int("temporal_patch_size"),
            spatialMergeSize = int("spatial_merge_size"),
            outputSize = int("output_size"),
            layerNormEps = double("layer_norm_eps"),
        )
    }

private fun textGeometry(value: Any?, where: String): TextGeometry =
    readStrictly(value, where, TEXT) {
        TextGeometry(
            numLayers = int("num_layers"),
            hiddenSize = int("hidden_size"),
            intermediateSize = int("intermediate_size"),
            numHeads = int("num_heads"),
            numKvHeads = int("num_kv_heads"),
            headDim = int("head_dim"),
            vocabSize = int("vocab_size"),
            ropeTheta = double("rope_theta"),
            rmsNormEps = double("rms_norm_eps"),
            mropeSection = triple("mrope_section", ::toInt),
            maxPositionEmbeddings = int("max_position_embeddings"),
            tieWordEmbeddings = boolean("tie_word_embeddings"),
        )
    }

internal fun specialTokens(value: Any?, where: String): SpecialTokens =
    readStrictly(value, where, SPECIAL_TOKENS) {
        SpecialTokens(
            imagePad = int("image_pad"),
            videoPad = int("video_pad"),
            visionStart = int("vision_start"),
            visionEnd = int("vision_end"),
            eos = list("eos", ::toInt),
            imEnd = intOrNull("im_end"),
        )
    }

internal fun imageSettings(value: Any?, where: String): ImageSettings =
    readStrictly(value, where, listOf("min_pixels", "max_pixels", "mean", "std")) {
        ImageSettings(
            minPixels = int("min_pixels"),
            maxPixels = int("max_pixels"),
            mean = triple("mean", ::toDouble),
            std = triple("std", ::toDouble),
        )
    }

internal fun samplingDefaults(value: Any?, where: String): SamplingDefaults =
    readStrictly(value, where, listOf("temperature", "top_k", "top_p", "repetition_penalty")) {
        SamplingDefaults(
            temperature = double("temperature"),
            // No vocabulary has so many ids: a larger limit is none.
            topK = long("top_k").coerceIn(Int.MIN_VALUE.toLong(), Int.MAX_VALUE.toLong()).toInt(),
            topP = double("top_p"),
            repetitionPenalty = double("repetition_penalty"),
        )
    }

private val VISION =
    listOf(
        "depth",
        "hidden_size",
        "intermediate_size",
        "num_heads",
        "in_channels",
        "patch_size",
        "temporal_patch_size",
        "spatial_merge_size",
        "output_size",
        "layer_norm_eps",
    )
private val TEXT =
    listOf(
        "num_layers",
        "hidden_size",
        "intermediate_size",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "vocab_size",
        "rope_theta",
        "rms_norm_eps",
        "mrope_section",
        "max_position_embeddings",
        "tie_word_embeddings",
    )
private val SPECIAL_TOKENS = listOf("image_pad", "video_pad", "vision_start", "vision_end", "eos", "im_end")
