import Foundation

extension Manifest {
    /// Reads and checks a manifest.json. Throws ``PocketVLError/manifest(_:)``.
    static func read(in folder: URL) throws(PocketVLError) -> Manifest {
        let path = folder.appendingPathComponent(Names.manifestFile).path
        guard BundleFile.exists(path) else {
            throw .manifest("\(path) does not exist; is this folder a bundle that `pocketvl export` wrote?")
        }
        let value = try BundleFile.json(Names.manifestFile, in: folder) { .manifest($0) }
        return try Manifest(value, path)
    }

    /// From the JSON of a file; `place` is its path, for messages.
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let version = value.asObject?["schema_version"] ?? .null
        if version.asDouble != Double(Names.schemaVersion) {
            throw .manifest(
                "\(place) has schema_version \(version.shown), but this pocketvl reads \(Names.schemaVersion);"
                    + " export the bundle again with this version.")
        }
        let object = try StrictObject(
            value, place,
            known: [
                "schema_version", "target", "recipe", "quantization_method", "geometry", "special_tokens", "image",
                "buckets", "max_context", "prefill_chunk", "chat", "sampling", "entry_points", "token_embedding",
                "layers", "files", "optional_files", "provenance",
            ])
        schemaVersion = try object.int("schema_version")
        target = try object.string("target")
        recipe = try object.string("recipe")
        quantizationMethod = try object.string("quantization_method")
        geometry = try ModelGeometry(object.value("geometry"), object.place(of: "geometry"))
        specialTokens = try SpecialTokens(object.value("special_tokens"), object.place(of: "special_tokens"))
        image = try ImageSettings(object.value("image"), object.place(of: "image"))
        buckets = try object.list("buckets", Strict.int)
        maxContext = try object.int("max_context")
        prefillChunk = try object.int("prefill_chunk")
        chat = try object.bool("chat")
        sampling = try SamplingDefaults(object.value("sampling"), object.place(of: "sampling"))
        entryPoints = try object.list("entry_points", EntryPoint.init)
        tokenEmbedding = try EmbeddingTable(object.value("token_embedding"), object.place(of: "token_embedding"))
        layers = try object.list("layers", LayerGroup.init)
        files = try object.list("files", FileRecord.init)
        optionalFiles = try object.list("optional_files", FileRecord.init)
        provenance = try Provenance(object.value("provenance"), object.place(of: "provenance"))
        let read = self
        try object.valid { () throws(Fault) in try read.check() }
    }
}

extension ModelGeometry {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(value, place, known: ["vision", "text"])
        let vision = try VisionGeometry(object.value("vision"), object.place(of: "vision"))
        let text = try TextGeometry(object.value("text"), object.place(of: "text"))
        self = try object.valid { () throws(Fault) in try ModelGeometry(vision: vision, text: text) }
    }
}

extension VisionGeometry {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(
            value, place,
            known: [
                "depth", "hidden_size", "intermediate_size", "num_heads", "in_channels", "patch_size",
                "temporal_patch_size", "spatial_merge_size", "output_size", "layer_norm_eps",
            ])
        let depth = try object.int("depth")
        let hiddenSize = try object.int("hidden_size")
        let intermediateSize = try object.int("intermediate_size")
        let numHeads = try object.int("num_heads")
        let inChannels = try object.int("in_channels")
        let patchSize = try object.int("patch_size")
        let temporalPatchSize = try object.int("temporal_patch_size")
        let spatialMergeSize = try object.int("spatial_merge_size")
        let outputSize = try object.int("output_size")
        let layerNormEps = try object.double("layer_norm_eps")
        self = try object.valid { () throws(Fault) in
            try VisionGeometry(
                depth: depth, hiddenSize: hiddenSize, intermediateSize: intermediateSize, numHeads: numHeads,
                inChannels: inChannels, patchSize: patchSize, temporalPatchSize: temporalPatchSize,
                spatialMergeSize: spatialMergeSize, outputSize: outputSize, layerNormEps: layerNormEps)
        }
    }
}

extension TextGeometry {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(
            value, place,
            known: [
                "num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "head_dim",
                "vocab_size", "rope_theta", "rms_norm_eps", "mrope_section", "max_position_embeddings",
                "tie_word_embeddings",
            ])
        let numLayers = try object.int("num_layers")
        let hiddenSize = try object.int("hidden_size")
        let intermediateSize = try object.int("intermediate_size")
        let numHeads = try object.int("num_heads")
        let numKvHeads = try object.int("num_kv_heads")
        let headDim = try object.int("head_dim")
        let vocabSize = try object.int("vocab_size")
        let ropeTheta = try object.double("rope_theta")
        let rmsNormEps = try object.double("rms_norm_eps")
        let mropeSection = try object.list("mrope_section", count: 3, Strict.int)
        let maxPositionEmbeddings = try object.int("max_position_embeddings")
        let tieWordEmbeddings = try object.bool("tie_word_embeddings")
        self = try object.valid { () throws(Fault) in
            try TextGeometry(
                numLayers: numLayers, hiddenSize: hiddenSize, intermediateSize: intermediateSize, numHeads: numHeads,
                numKvHeads: numKvHeads, headDim: headDim, vocabSize: vocabSize, ropeTheta: ropeTheta,
                rmsNormEps: rmsNormEps, mropeSection: mropeSection, maxPositionEmbeddings: maxPositionEmbeddings,
                tieWordEmbeddings: tieWordEmbeddings)
        }
    }
}

extension SpecialTokens {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(
            value, place,
            known: ["image_pad", "video_pad", "vision_start", "vision_end", "eos", "im_end"])
        self.init(
            imagePad: try object.int("image_pad"), videoPad: try object.int("video_pad"),
            visionStart: try object.int("vision_start"), visionEnd: try object.int("vision_end"),
            eos: try object.list("eos", Strict.int), imEnd: try object.optionalInt("im_end"))
    }
}

extension ImageSettings {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(value, place, known: ["min_pixels", "max_pixels", "mean", "std"])
        let minPixels = try object.int("min_pixels")
        let maxPixels = try object.int("max_pixels")
        let mean = try object.list("mean", count: 3, Strict.double)
        let std = try object.list("std", count: 3, Strict.double)
        self = try object.valid { () throws(Fault) in
            try ImageSettings(minPixels: minPixels, maxPixels: maxPixels, mean: mean, std: std)
        }
    }
}

extension SamplingDefaults {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(
            value, place, known: ["temperature", "top_k", "top_p", "repetition_penalty"])
        let temperature = try object.double("temperature")
        let topK = try object.int("top_k")
        let topP = try object.double("top_p")
        let repetitionPenalty = try object.double("repetition_penalty")
        self = try object.valid { () throws(Fault) in
            try SamplingDefaults(
                temperature: temperature, topK: topK, topP: topP, repetitionPenalty: repetitionPenalty)
        }
    }
}

extension TensorSpec {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(value, place, known: ["name", "dtype", "shape"])
        name = try object.string("name")
        dtype = try object.string("dtype")
        shape = try object.list("shape") { (item, place) throws(PocketVLError) in
            if let name = item.asString { return .dynamic(name) }
            return .size(try Strict.int(item, place))
        }
    }
}

extension EntryPoint {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(
            value, place, known: ["name", "file", "method", "patches", "inputs", "outputs"])
        name = try object.string("name")
        file = try object.string("file")
        method = try object.string("method")
        patches = try object.optionalInt("patches")
        inputs = try object.list("inputs", TensorSpec.init)
        outputs = try object.list("outputs", TensorSpec.init)
    }
}

extension EmbeddingTable {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let keys = [
            "file", "rows", "columns", "storage", "data_offset", "scales_offset", "scales_dtype", "group_size",
        ]
        let object = try StrictObject(value, place, known: keys)
        let file = try object.string("file")
        let rows = try object.int("rows")
        let columns = try object.int("columns")
        let storage = try object.string("storage")
        let dataOffset = try object.int("data_offset")
        let scalesOffset = try object.optionalInt("scales_offset")
        let scalesDtype = try object.optionalString("scales_dtype")
        let groupSize = try object.optionalInt("group_size")
        self = try object.valid { () throws(Fault) in
            try EmbeddingTable(
                file: file, rows: rows, columns: columns, storage: storage, dataOffset: dataOffset,
                scalesOffset: scalesOffset, scalesDtype: scalesDtype, groupSize: groupSize)
        }
    }
}

extension LayerGroup {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let keys = ["component", "bits", "group_size", "layers", "parameters", "bytes"]
        let object = try StrictObject(value, place, known: keys)
        let component = try object.string("component")
        let bits = try object.int("bits")
        let groupSize = try object.optionalInt("group_size")
        let layers = try object.int("layers")
        let parameters = try object.int("parameters")
        let bytes = try object.int("bytes")
        self = try object.valid { () throws(Fault) in
            try LayerGroup(
                component: component, bits: bits, groupSize: groupSize, layers: layers, parameters: parameters,
                bytes: bytes)
        }
    }
}

extension FileRecord {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let object = try StrictObject(value, place, known: ["path", "size", "sha256"])
        let path = try object.string("path")
        let size = try object.int("size")
        let sha256 = try object.string("sha256")
        self = try object.valid { () throws(Fault) in try FileRecord(path: path, size: size, sha256: sha256) }
    }
}

extension Provenance {
    init(_ value: JSON, _ place: String) throws(PocketVLError) {
        let keys = [
            "source", "source_sha256", "calibration", "calibration_sha256", "pocketvl", "tools", "command",
            "source_revision",
        ]
        let object = try StrictObject(value, place, known: keys, optional: ["source_revision"])
        source = try object.string("source")
        sourceSha256 = try object.string("source_sha256")
        calibration = try object.optionalString("calibration")
        calibrationSha256 = try object.optionalString("calibration_sha256")
        pocketvl = try object.string("pocketvl")
        guard let given = object.value("tools").asObject else {
            throw .manifest("\(object.place(of: "tools")) must be an object, not \(object.value("tools").kind).")
        }
        var tools: [String: String] = [:]
        for member in given.members {
            tools[member.key] = try Strict.string(member.value, "\(object.place(of: "tools")).\(member.key)")
        }
        self.tools = tools
        command = try object.string("command")
        sourceRevision = try object.optionalString("source_revision")
    }
}

extension JSON {
    /// As Python's repr, cut where it is too long for a sentence.
    var shown: String {
        switch self {
        case .null: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .largeInteger(let digits): return digits.shortened(to: 80)
        case .double(let value): return String(value)
        case .string(let value): return value.quoted
        case .array(let values): return "[\(values.map(\.shown).joined(separator: ", "))]".shortened(to: 80)
        case .object(let object):
            let members = object.members.map { "\($0.key.quoted): \($0.value.shown)" }
            return "{\(members.joined(separator: ", "))}".shortened(to: 80)
        }
    }
}
