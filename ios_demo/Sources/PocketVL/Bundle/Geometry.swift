/// The vision encoder. Sizes in elements.
public struct VisionGeometry: Sendable, Equatable {
    public let depth: Int
    /// Width of a block; "embed_dim" in the hub's config.
    public let hiddenSize: Int
    public let intermediateSize: Int
    public let numHeads: Int
    public let inChannels: Int
    /// Pixels along one side.
    public let patchSize: Int
    /// Frames in one patch.
    public let temporalPatchSize: Int
    /// Patches along one side of a token.
    public let spatialMergeSize: Int
    /// Width of an image embedding, which is the decoder's hidden size.
    public let outputSize: Int
    public let layerNormEps: Double

    /// Throws ``Fault`` for sizes that fit no encoder.
    init(
        depth: Int, hiddenSize: Int, intermediateSize: Int, numHeads: Int, inChannels: Int, patchSize: Int,
        temporalPatchSize: Int, spatialMergeSize: Int, outputSize: Int, layerNormEps: Double = 1e-6
    ) throws(Fault) {
        self.depth = depth
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.numHeads = numHeads
        self.inChannels = inChannels
        self.patchSize = patchSize
        self.temporalPatchSize = temporalPatchSize
        self.spatialMergeSize = spatialMergeSize
        self.outputSize = outputSize
        self.layerNormEps = layerNormEps
        for (name, value) in sizes { try atLeastOne(name, value) }
        if hiddenSize % numHeads != 0 || headDim % 4 != 0 {
            throw Fault(
                "vision hidden_size \(hiddenSize) must divide into \(numHeads) heads whose size is a multiple of 4")
        }
    }

    public var headDim: Int { hiddenSize / numHeads }

    /// Elements of one flattened patch: channels x frames x height x width.
    public var patchDim: Int { inChannels * temporalPatchSize * patchSize * patchSize }

    /// Patches that become one token.
    public var mergeArea: Int { Saturating.product(spatialMergeSize, spatialMergeSize) }

    /// Pixels along one side of a token; image sides are multiples of it.
    public var factor: Int { patchSize * spatialMergeSize }

    /// With the manifest's names; what must be at least 1 and not above ``Limits``.
    var sizes: [(String, Int)] {
        [
            ("depth", depth), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_heads", numHeads), ("in_channels", inChannels), ("patch_size", patchSize),
            ("temporal_patch_size", temporalPatchSize), ("spatial_merge_size", spatialMergeSize),
            ("output_size", outputSize),
        ]
    }
}

/// The decoder. Sizes in elements.
public struct TextGeometry: Sendable, Equatable {
    public let numLayers: Int
    public let hiddenSize: Int
    public let intermediateSize: Int
    public let numHeads: Int
    public let numKvHeads: Int
    public let headDim: Int
    public let vocabSize: Int
    public let ropeTheta: Double
    public let rmsNormEps: Double
    /// Rope frequencies of the t, h and w axis.
    public let mropeSection: [Int]
    public let maxPositionEmbeddings: Int
    public let tieWordEmbeddings: Bool

    /// Throws ``Fault`` for sizes that fit no decoder.
    init(
        numLayers: Int, hiddenSize: Int, intermediateSize: Int, numHeads: Int, numKvHeads: Int, headDim: Int,
        vocabSize: Int, ropeTheta: Double, rmsNormEps: Double, mropeSection: [Int], maxPositionEmbeddings: Int,
        tieWordEmbeddings: Bool
    ) throws(Fault) {
        self.numLayers = numLayers
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.numHeads = numHeads
        self.numKvHeads = numKvHeads
        self.headDim = headDim
        self.vocabSize = vocabSize
        self.ropeTheta = ropeTheta
        self.rmsNormEps = rmsNormEps
        self.mropeSection = mropeSection
        self.maxPositionEmbeddings = maxPositionEmbeddings
        self.tieWordEmbeddings = tieWordEmbeddings
        for (name, value) in sizes { try atLeastOne(name, value) }
        if numHeads % numKvHeads != 0 {
            throw Fault("\(numHeads) query heads do not divide among \(numKvHeads) key-value heads")
        }
        if headDim % 2 != 0 || mropeSection.reduce(0, Saturating.sum) != headDim / 2 {
            throw Fault("mrope_section \(mropeSection) must sum to half of head_dim \(headDim)")
        }
    }

    /// As ``VisionGeometry/sizes``.
    var sizes: [(String, Int)] {
        [
            ("num_layers", numLayers), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_heads", numHeads), ("num_kv_heads", numKvHeads), ("head_dim", headDim), ("vocab_size", vocabSize),
            ("max_position_embeddings", maxPositionEmbeddings),
        ]
    }
}

/// The sizes of a Qwen2-VL model.
public struct ModelGeometry: Sendable, Equatable {
    public let vision: VisionGeometry
    public let text: TextGeometry

    init(vision: VisionGeometry, text: TextGeometry) throws(Fault) {
        self.vision = vision
        self.text = text
        if vision.outputSize != text.hiddenSize {
            throw Fault(
                "vision output size \(vision.outputSize) differs from the decoder's hidden size \(text.hiddenSize)")
        }
    }
}

/// Token ids with a meaning of their own.
public struct SpecialTokens: Sendable, Equatable {
    public let imagePad: Int
    public let videoPad: Int
    public let visionStart: Int
    public let visionEnd: Int
    /// Any of these ends an answer.
    public let eos: [Int]
    /// Closes a turn; nil for a base model without a chat template.
    public let imEnd: Int?

    public init(imagePad: Int, videoPad: Int, visionStart: Int, visionEnd: Int, eos: [Int], imEnd: Int?) {
        self.imagePad = imagePad
        self.videoPad = videoPad
        self.visionStart = visionStart
        self.visionEnd = visionEnd
        self.eos = eos
        self.imEnd = imEnd
    }
}

/// How pixels are prepared. `mean` and `std` are per channel, for pixels in 0..1.
public struct ImageSettings: Sendable, Equatable {
    public let minPixels: Int
    public let maxPixels: Int
    public let mean: [Double]
    public let std: [Double]

    init(minPixels: Int, maxPixels: Int, mean: [Double], std: [Double]) throws(Fault) {
        self.minPixels = minPixels
        self.maxPixels = maxPixels
        self.mean = mean
        self.std = std
        if !(0 < minPixels && minPixels <= maxPixels) {
            throw Fault("min_pixels \(minPixels) must lie in 1..max_pixels \(maxPixels)")
        }
        if std.contains(where: { !($0 > 0) }) { throw Fault("image std \(std) must be positive") }
    }

    /// The same with other limits. Throws ``Fault`` where they contradict each other.
    func with(minPixels: Int, maxPixels: Int) throws(Fault) -> ImageSettings {
        try ImageSettings(minPixels: minPixels, maxPixels: maxPixels, mean: mean, std: std)
    }
}

/// What an answer uses when the caller says nothing.
public struct SamplingDefaults: Sendable, Equatable {
    /// 0 is greedy.
    public let temperature: Double
    /// 0: no limit.
    public let topK: Int
    public let topP: Double
    public let repetitionPenalty: Double

    init(temperature: Double, topK: Int, topP: Double, repetitionPenalty: Double) throws(Fault) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        if !(temperature.isFinite && temperature >= 0) {
            throw Fault("temperature must be 0 (greedy) or more, not \(temperature)")
        }
        if topK < 0 { throw Fault("top_k must be 0 (no limit) or more, not \(topK)") }
        if !(topP > 0 && topP <= 1) { throw Fault("top_p must lie above 0 and not above 1 (no limit), not \(topP)") }
        if !(repetitionPenalty.isFinite && repetitionPenalty > 0) {
            throw Fault("repetition_penalty must be above 0, 1 being none, not \(repetitionPenalty)")
        }
    }
}

/// What is wrong with a value, to be put into the sentence of whoever knows where it comes from.
struct Fault: Error, Equatable {
    let message: String

    init(_ message: String) { self.message = message }
}

private func atLeastOne(_ name: String, _ value: Int) throws(Fault) {
    if value < 1 { throw Fault("\(name) must be at least 1, not \(value)") }
}
