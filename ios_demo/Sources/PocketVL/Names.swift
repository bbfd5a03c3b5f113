/// Every file, method, tensor and state name that an app reads.
public enum Names {
    public static let schemaVersion = 2

    // Files of a bundle.
    public static let manifestFile = "manifest.json"
    public static let manifestHashFile = "manifest.sha256"
    public static let tokenizerFile = "tokenizer.json"
    public static let chatTemplateFile = "chat_template.jinja"
    public static let visionEncoderPte = "vision_encoder.pte"
    public static let textDecoderPte = "text_decoder.pte"
    public static let visionEncoderPackage = "vision_encoder.mlpackage"
    public static let headPackage = "head.mlpackage"
    public static let hostVisionEncoder = "onnx/host_vision_encoder.onnx"
    public static let hostTextDecoder = "onnx/host_text_decoder.onnx"
    public static let hostLmHead = "onnx/host_lm_head.onnx"

    // Entry points.
    public static let visionEncoder = "vision_encoder"
    public static let tokenEmbedding = "token_embedding"
    public static let textDecoder = "text_decoder"
    public static let lmHead = "lm_head"

    // Tensors of the entry points.
    public static let patches = "patches"
    public static let ropeCos = "rope_cos"
    public static let ropeSin = "rope_sin"
    public static let keyMask = "key_mask"
    public static let imageEmbeddings = "image_embeddings"
    public static let embeddings = "embeddings"
    public static let cachePosition = "cache_position"
    public static let attentionMask = "attention_mask"
    public static let tokenIDs = "ids"
    public static let hidden = "hidden"
    public static let logits = "logits"
    public static let seqlensK = "seqlens_k"
    public static let totalSequenceLength = "total_sequence_length"

    // States of the Core ML decoder.
    public static let kCache = "k_cache"
    public static let vCache = "v_cache"

    // Constants of text_decoder.pte, each a method that takes nothing.
    public static let getMaxSeqLen = "get_max_seq_len"
    public static let getMaxContextLen = "get_max_context_len"
    public static let getVocabSize = "get_vocab_size"

    /// Most hidden states of one lm_head call.
    public static let maxHeadRows = 16

    // Targets.
    public static let executorch = "executorch"
    public static let coreml = "coreml"
    public static let onnx = "onnx"
    public static let targets = [executorch, coreml, onnx]

    /// Method of a vision encoder with a static shape of so many patches.
    public static func visionBucketMethod(patches: Int) -> String { "\(visionEncoder)_\(patches)" }

    /// File of the Core ML decoder, or of one of its chunks, counted from 0.
    public static func textDecoderPackage(chunk: Int, of chunks: Int) -> String {
        chunks == 1 ? "\(textDecoder).mlpackage" : "\(textDecoder)_\(chunk).mlpackage"
    }

    /// Function of the Core ML vision encoder for exactly so many patches.
    public static func encodeFunction(patches: Int) -> String { "encode_\(patches)" }

    /// Function of the Core ML decoder for exactly so many tokens.
    public static func decoderFunction(tokens: Int) -> String { tokens == 1 ? "decode" : "prefill_\(tokens)" }

    /// Buffer of the ExecuTorch decoder that is a layer's cache; part: "k" or "v".
    public static func cacheBuffer(layer: Int, part: String) -> String { "layers.\(layer).attention.\(part)_cache" }

    /// Input of the ONNX decoder that holds a layer's cache so far; part: "key" or "value".
    public static func pastTensor(layer: Int, part: String) -> String { "past_key_values.\(layer).\(part)" }

    /// Output of the ONNX decoder that holds a layer's cache with the new tokens; part: "key" or "value".
    public static func presentTensor(layer: Int, part: String) -> String { "present.\(layer).\(part)" }
}
