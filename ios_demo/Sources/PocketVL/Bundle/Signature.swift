/// What goes into a graph of an ONNX bundle and comes out, in the order of its forward.
struct Signature: Equatable {
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]

    private static let parts = ["key", "value"]

    /// Those of the host graph for an entry point: vision_encoder, text_decoder or lm_head.
    static func host(_ entry: String, _ geometry: ModelGeometry) -> Signature {
        let (vision, text) = (geometry.vision, geometry.text)
        let hidden = TensorSpec(name: Names.hidden, dtype: "float32", shape: [1, "tokens", .size(text.hiddenSize)])
        if entry == Names.visionEncoder {
            let patches = TensorSpec(
                name: Names.patches, dtype: "float32", shape: ["patches", .size(vision.patchDim)])
            let embeddings = TensorSpec(
                name: Names.imageEmbeddings, dtype: "float32", shape: ["tokens", .size(vision.outputSize)])
            return Signature(
                inputs: [patches] + rope("float32", "patches", vision.headDim), outputs: [embeddings])
        }
        if entry == Names.lmHead {
            let logits = TensorSpec(
                name: Names.logits, dtype: "float32", shape: [1, "tokens", .size(text.vocabSize)])
            return Signature(inputs: [hidden], outputs: [logits])
        }
        let embeddings = TensorSpec(
            name: Names.embeddings, dtype: "float32", shape: [1, "tokens", .size(text.hiddenSize)])
        let lengths = [
            TensorSpec(name: Names.seqlensK, dtype: "int32", shape: [1]),
            TensorSpec(name: Names.totalSequenceLength, dtype: "int32", shape: []),
        ]
        return Signature(
            inputs: [embeddings] + rope("float32", "tokens", text.headDim) + lengths
                + caches(text, "past", Names.pastTensor),
            outputs: [hidden] + caches(text, "total", Names.presentTensor))
    }

    /// cos and sin, each (rows, headDim).
    static func rope(_ dtype: String, _ rows: Dimension, _ headDim: Int) -> [TensorSpec] {
        [Names.ropeCos, Names.ropeSin].map {
            TensorSpec(name: $0, dtype: dtype, shape: [rows, .size(headDim)])
        }
    }

    /// Key and value of layer 0, of layer 1 and so on.
    private static func caches(
        _ text: TextGeometry, _ slots: Dimension, _ name: (Int, String) -> String
    ) -> [TensorSpec] {
        (0..<text.numLayers).flatMap { layer in
            parts.map { part in
                TensorSpec(
                    name: name(layer, part), dtype: "float32",
                    shape: [1, .size(text.numKvHeads), slots, .size(text.headDim)])
            }
        }
    }
}
