package dev.pocketvl

import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.bundle.VisionGeometry

/** The full model's vision encoder, as far as media and positions look at it. */
fun visionGeometry(headDim: Int = 80, patchSize: Int = 14, outputSize: Int = 64) =
    VisionGeometry(
        depth = 1,
        hiddenSize = 2 * headDim,
        intermediateSize = 8,
        numHeads = 2,
        inChannels = 3,
        patchSize = patchSize,
        temporalPatchSize = 2,
        spatialMergeSize = 2,
        outputSize = outputSize,
        layerNormEps = 1e-6,
    )

fun textGeometry(headDim: Int, ropeTheta: Double, mropeSection: List<Int>) =
    TextGeometry(
        numLayers = 1,
        hiddenSize = 64,
        intermediateSize = 8,
        numHeads = 2,
        numKvHeads = 1,
        headDim = headDim,
        vocabSize = 16,
        ropeTheta = ropeTheta,
        rmsNormEps = 1e-6,
        mropeSection = mropeSection,
        maxPositionEmbeddings = 64,
        tieWordEmbeddings = true,
    )

/** Of a golden file's "special_tokens". */
fun specialTokens(members: Map<String, Any?>) =
    SpecialTokens(
        imagePad = members["image_pad"].int(),
        videoPad = members["video_pad"].int(),
        visionStart = members["vision_start"].int(),
        visionEnd = members["vision_end"].int(),
        eos = emptyList(),
        imEnd = null,
    )
