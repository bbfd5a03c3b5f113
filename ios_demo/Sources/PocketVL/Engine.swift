/// The vision encoder of one bundle, loaded when first needed.
///
/// Calls wait for each other; the text engine may run meanwhile. What is returned is a copy. Throws
/// ``PocketVLError/engine(_:)``, and ``PocketVLError/bundle(_:)`` where a file is not what the manifest says.
public protocol VisionEngine: AnyObject, Sendable {
    /// One still image or one temporal slice of a video.
    ///
    /// - Parameters:
    ///   - patches: (N, patchDim), N at most the largest bucket; an engine with static shapes pads and masks.
    ///   - rope: cos and sin, each (N, vision headDim).
    /// - Returns: (N / mergeArea, hiddenSize).
    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix

    /// Frees the encoder's memory; the next ``encode(patches:rope:)`` loads it again.
    func release()
}

/// Decoder and head of one bundle, with the KV cache as their own state, loaded when first needed.
///
/// For one task at a time, which holds the ``KVCache``'s claim. Results are written into matrices of the caller, so
/// that a token allocates nothing large. Throws as ``VisionEngine`` does.
public protocol TextEngine: AnyObject, Sendable {
    /// What the slots hold; ``decode(embeddings:rope:cachePosition:into:)`` and ``close()`` truncate it.
    var cache: KVCache { get }

    /// Runs S tokens whose keys and values go to the KV slots `cachePosition` until `cachePosition + S`.
    ///
    /// A slot written before is overwritten; slots from `cachePosition + S` on count as empty.
    ///
    /// - Parameters:
    ///   - embeddings: (S, hiddenSize), S at most prefillChunk.
    ///   - rope: cos and sin, each (S, headDim).
    ///   - cachePosition: the first slot that is written.
    ///   - hidden: becomes (S, hiddenSize).
    func decode(embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix) throws(PocketVLError)

    /// `hidden` (K, hiddenSize), any K from 1; `logits` becomes (K, vocabSize).
    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError)

    /// Frees weights and keys and values; the next call loads the files again.
    func close()
}

/// A text engine whose keys and values can be taken out and put back into an engine of the same bundle.
public protocol SavesCache: TextEngine {
    /// Copies of the slots 0 until `length` by tensor name, in the target's own layout and float type.
    ///
    /// Empty where this bundle's graphs do not let them out: then a conversation is fed again.
    func saveCache(length: Int) throws(PocketVLError) -> [String: CacheTensor]

    /// Puts what ``saveCache(length:)`` gave into the first slots, and returns how many; the caller says by
    /// ``KVCache/append(tokenIDs:mediaKeys:positions:)`` what they hold. Throws for tensors of another bundle.
    func loadCache(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int
}

/// Bytes of a tensor, little-endian and row-major.
public struct CacheTensor: Sendable, Equatable {
    /// numpy's name: float32, float16, int8.
    public let dtype: String
    public let shape: [Int]
    public let bytes: [UInt8]

    public init(dtype: String, shape: [Int], bytes: [UInt8]) {
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
    }
}

/// All graphs of one bundle.
public struct Engine: Sendable {
    public let vision: any VisionEngine
    public let text: any TextEngine
    /// Of passes of decoder and head on this device, measured while it answers.
    public let costs: PassCosts

    public init(vision: any VisionEngine, text: any TextEngine, costs: PassCosts = PassCosts()) {
        self.vision = vision
        self.text = text
        self.costs = costs
    }

    /// Frees the memory of both.
    public func close() {
        vision.release()
        text.close()
    }
}
