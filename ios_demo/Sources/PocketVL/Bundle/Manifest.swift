/// A named input or output of an entry point.
public struct TensorSpec: Sendable, Equatable {
    public let name: String
    /// numpy's name.
    public let dtype: String
    public let shape: [Dimension]
}

/// A size, or the name of a dynamic one; equal names are equal sizes.
public enum Dimension: Sendable, Equatable {
    case size(Int)
    case dynamic(String)
}

extension Dimension: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    public init(integerLiteral value: Int) { self = .size(value) }
    public init(stringLiteral value: String) { self = .dynamic(value) }
}

/// One callable graph.
public struct EntryPoint: Sendable, Equatable {
    /// vision_encoder, text_decoder (all its chunks, in their order), lm_head or token_embedding.
    public let name: String
    /// A file, or a folder: a .mlpackage.
    public let file: String
    /// Differs from `name` for static shapes: vision_encoder_256, encode_256, prefill_64.
    public let method: String
    /// Static number of patches, nil where it is dynamic.
    public let patches: Int?
    public let inputs: [TensorSpec]
    public let outputs: [TensorSpec]
}

/// Where a token's embedding is, to be gathered from a memory map.
///
/// Row r of the table starts at `dataOffset` + r * row bytes. int8: value * scale; offset_int8: stored as value + 128.
/// int4: two values per byte, low nibble first, stored as value + 8; signed_int4: in two's complement. Scales are
/// row-major (rows, columns / groupSize).
public struct EmbeddingTable: Sendable, Equatable {
    public enum Storage: String, Sendable, CaseIterable {
        case float32, float16, int8
        case offsetInt8 = "offset_int8"
        case int4
        case signedInt4 = "signed_int4"

        /// Bits of one value.
        var bits: Int {
            switch self {
            case .float32: 32
            case .float16: 16
            case .int8, .offsetInt8: 8
            case .int4, .signedInt4: 4
            }
        }

        var isInteger: Bool { self != .float32 && self != .float16 }
    }

    public enum ScalesType: String, Sendable, CaseIterable {
        case float32, bfloat16, float16

        /// Of one scale.
        var bytes: Int { self == .float32 ? 4 : 2 }
    }

    /// Scales of an integer table.
    public struct Scales: Sendable, Equatable {
        /// Bytes from the start of the file.
        public let offset: Int
        public let type: ScalesType
        /// Columns that share a scale; it divides them.
        public let groupSize: Int
    }

    public let file: String
    public let rows: Int
    public let columns: Int
    public let storage: Storage
    /// Bytes from the start of the file.
    public let dataOffset: Int
    /// nil for float storage.
    public let scales: Scales?

    /// The strings are the manifest's. Throws ``Fault`` for what contradicts itself.
    init(
        file: String, rows: Int, columns: Int, storage: String, dataOffset: Int, scalesOffset: Int?,
        scalesDtype: String?, groupSize: Int?
    ) throws(Fault) {
        guard let kind = Storage(rawValue: storage) else {
            throw Fault("storage \(storage.quoted) is none of \(Self.named(Storage.allCases.map(\.rawValue)))")
        }
        var scales: Scales?
        if kind.isInteger {
            guard let scalesOffset, let scalesDtype, let groupSize else {
                throw Fault("an integer table needs scales_offset, scales_dtype and group_size")
            }
            guard let type = ScalesType(rawValue: scalesDtype) else {
                let known = Self.named(ScalesType.allCases.map(\.rawValue))
                throw Fault("scales_dtype \(scalesDtype.quoted) is none of \(known)")
            }
            guard groupSize >= 1, columns.isMultiple(of: groupSize) else {
                throw Fault("group_size \(groupSize) does not divide \(columns) columns")
            }
            scales = Scales(offset: scalesOffset, type: type, groupSize: groupSize)
        } else if scalesOffset != nil || scalesDtype != nil || groupSize != nil {
            throw Fault("a float table has no scales")
        }
        guard dataOffset >= 0, scales?.offset ?? 0 >= 0, rows >= 1, columns >= 1 else {
            throw Fault("offsets must not be negative, rows and columns at least 1")
        }
        self.file = file
        self.rows = rows
        self.columns = columns
        self.storage = kind
        self.dataOffset = dataOffset
        self.scales = scales
    }

    /// Bytes of one row of values.
    public var rowBytes: Int { Saturating.product(columns, storage.bits) / 8 }

    /// Bytes of one row of scales; 0 for float storage.
    public var scalesRowBytes: Int { scales.map { columns / $0.groupSize * $0.type.bytes } ?? 0 }

    /// The first byte behind the table and its scales; the largest `Int` where that is beyond any file.
    public var end: Int {
        let dataEnd = Saturating.sum(dataOffset, Saturating.product(rows, rowBytes))
        guard let scales else { return dataEnd }
        let width = Saturating.product(columns / scales.groupSize, scales.type.bytes)
        return max(dataEnd, Saturating.sum(scales.offset, Saturating.product(rows, width)))
    }

    private static func named(_ names: [String]) -> String { names.joined(separator: ", ") }
}

/// Layers of one component that share bits.
public struct LayerGroup: Sendable, Equatable {
    /// vision_encoder, text_decoder, lm_head or token_embedding.
    public let component: String
    /// 4, 8, 16 or 32.
    public let bits: Int
    /// Inputs that share a scale; nil: one scale per output channel, or no scale.
    public let groupSize: Int?
    public let layers: Int
    public let parameters: Int
    /// Weights and scales as stored.
    public let bytes: Int

    init(component: String, bits: Int, groupSize: Int?, layers: Int, parameters: Int, bytes: Int) throws(Fault) {
        if bits < 1 || groupSize.map({ $0 != 0 && $0 < 1 }) ?? false || layers < 1 || parameters < 0 || bytes < 0 {
            throw Fault("bits, group_size and layers must be at least 1, parameters and bytes at least 0")
        }
        try Limits.checkLayers(bits: bits, groupSize: groupSize, layers: layers)
        self.component = component
        self.bits = bits
        self.groupSize = groupSize
        self.layers = layers
        self.parameters = parameters
        self.bytes = bytes
    }
}

/// A file of the bundle.
public struct FileRecord: Sendable, Equatable {
    public let path: String
    /// Bytes.
    public let size: Int
    /// 64 lowercase hexadecimal digits.
    public let sha256: String

    init(path: String, size: Int, sha256: String) throws(Fault) {
        let isHex = sha256.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard sha256.utf8.count == 64, isHex else {
            throw Fault("the sha256 of \(path) is not 64 lowercase hexadecimal digits")
        }
        self.path = path
        self.size = size
        self.sha256 = sha256
    }
}

/// Where a bundle comes from.
public struct Provenance: Sendable, Equatable {
    /// The model as its exporter named it, without a machine's folders.
    public let source: String
    /// Over names, sizes and contents of config and weight files.
    public let sourceSha256: String
    /// What the samples were drawn from, and how many.
    public let calibration: String?
    /// Over their images, prompts and answers.
    public let calibrationSha256: String?
    public let pocketvl: String
    /// Package to version.
    public let tools: [String: String]
    public let command: String
    /// Commit on the hub.
    public let sourceRevision: String?
}

/// manifest.json: all that a runtime must know about a bundle, in one strict, versioned file.
public struct Manifest: Sendable, Equatable {
    public let schemaVersion: Int
    public let target: String
    public let recipe: String
    /// none, rtn, hqq, gptq; gptq checkpoint, awq checkpoint; several joined by " + ".
    public let quantizationMethod: String
    public let geometry: ModelGeometry
    public let specialTokens: SpecialTokens
    public let image: ImageSettings
    /// Patches, ascending; the last bounds an image.
    public let buckets: [Int]
    /// Tokens that the KV cache holds.
    public let maxContext: Int
    /// Most tokens of one text_decoder call.
    public let prefillChunk: Int
    /// false: a base model, prompted by completion.
    public let chat: Bool
    public let sampling: SamplingDefaults
    public let entryPoints: [EntryPoint]
    public let tokenEmbedding: EmbeddingTable
    public let layers: [LayerGroup]
    /// What an app needs.
    public let files: [FileRecord]
    /// What transformers.js alone reads; an app may leave them out.
    public let optionalFiles: [FileRecord]
    public let provenance: Provenance

    /// The entry points of that name, smallest static shape first.
    public func entries(_ name: String) -> [EntryPoint] {
        // Swift's sort is not promised to be stable, so the place in the file decides among equals.
        entryPoints.enumerated().filter { $0.element.name.isExactly(name) }
            .sorted { ($0.element.patches ?? 0, $0.offset) < ($1.element.patches ?? 0, $1.offset) }
            .map(\.element)
    }

    /// Equal for bundles of equal files: in hex, over a line "sha256  path" for each of them, by path.
    public var contentSha256: String {
        let lines = files.sorted { Exact($0.path) < Exact($1.path) }.map { "\($0.sha256)  \($0.path)\n" }
        return Digest.hex(of: Array(lines.joined().utf8))
    }

    /// Whether its parts fit together. Throws ``Fault``.
    func check() throws(Fault) {
        if !Names.targets.contains(where: target.isExactly) {
            throw Fault("target \(target.quoted) is none of \(Names.targets.joined(separator: ", "))")
        }
        let ascending = zip(buckets, buckets.dropFirst()).allSatisfy { $0 < $1 }
        guard let smallest = buckets.first, ascending, smallest >= 1 else {
            throw Fault("buckets must be ascending numbers of patches, 1 or more")
        }
        let area = geometry.vision.mergeArea
        if buckets.contains(where: { !$0.isMultiple(of: area) }) {
            throw Fault("each bucket must be a multiple of \(area) patches")
        }
        if !(1 <= prefillChunk && prefillChunk <= maxContext) {
            throw Fault("prefill_chunk \(prefillChunk) must lie in 1..\(maxContext)")
        }
        try Limits.check(geometry, image, buckets: buckets, maxContext: maxContext)
        try checkFiles()
        for needed in [Names.visionEncoder, Names.textDecoder, Names.lmHead] where entries(needed).isEmpty {
            throw Fault("the entry point \(needed) is missing")
        }
    }

    private func checkFiles() throws(Fault) {
        var listed = Set<Exact>()
        for record in files + optionalFiles {
            try Self.checkRelative(record.path)
            guard listed.insert(Exact(record.path)).inserted else {
                throw Fault("the file \(record.path) is listed twice")
            }
        }
        let needed = Set(files.map { Exact($0.path) })
        for path in entryPoints.map(\.file) + [tokenEmbedding.file] {
            let folder = Array("\(path)/".utf8)
            if !needed.contains(Exact(path)) && !needed.contains(where: { $0.text.utf8.starts(with: folder) }) {
                throw Fault("\(path) is used but not listed under files")
            }
        }
    }

    private static func checkRelative(_ path: String) throws(Fault) {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"))
        let isOutside = path.utf8.first == UInt8(ascii: "/") || parts.contains { $0.elementsEqual("..".utf8) }
        if path.isEmpty || isOutside || path.utf8.contains(UInt8(ascii: "\\")) {
            throw Fault("the file path \(path.quoted) must stay inside the bundle")
        }
        if !path.unicodeScalars.allSatisfy(\.isPrintable) {
            throw Fault("the file path \(path.quoted) holds characters that cannot be printed")
        }
    }
}
