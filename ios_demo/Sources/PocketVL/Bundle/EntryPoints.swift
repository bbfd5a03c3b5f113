/// What the graphs of each target take and give, computed from a model's geometry and an export's settings.
///
/// Exporters write these entry points into the manifest, and a bundle with any others is refused.
enum EntryPoints {
    private static let half = "float16"
    private static let float = "float32"

    /// For ExecuTorch: any number of patches (nil), or exactly so many, padding included.
    static func pteVision(_ vision: VisionGeometry, patches: Int?) -> EntryPoint {
        let rows: Dimension = patches.map { .size($0) } ?? "patches"
        let tokens: Dimension = patches.map { .size($0 / vision.mergeArea) } ?? "tokens"
        let mask = patches.map { [TensorSpec(name: Names.keyMask, dtype: float, shape: [.size($0)])] } ?? []
        return EntryPoint(
            name: Names.visionEncoder,
            file: Names.visionEncoderPte,
            method: patches.map(Names.visionBucketMethod) ?? Names.visionEncoder,
            patches: patches,
            inputs: [TensorSpec(name: Names.patches, dtype: float, shape: [rows, .size(vision.patchDim)])]
                + Signature.rope(float, rows, vision.headDim) + mask,
            outputs: [
                TensorSpec(name: Names.imageEmbeddings, dtype: float, shape: [tokens, .size(vision.outputSize)])
            ])
    }

    /// For ExecuTorch: any number of tokens up to the prefill chunk.
    static func pteDecoder(_ text: TextGeometry) -> EntryPoint {
        EntryPoint(
            name: Names.textDecoder,
            file: Names.textDecoderPte,
            method: Names.textDecoder,
            patches: nil,
            inputs: [
                TensorSpec(name: Names.embeddings, dtype: float, shape: [1, "tokens", .size(text.hiddenSize)])
            ]
                + Signature.rope(float, "tokens", text.headDim)
                + [TensorSpec(name: Names.cachePosition, dtype: "int64", shape: [1])],
            outputs: [TensorSpec(name: Names.hidden, dtype: float, shape: [1, "tokens", .size(text.hiddenSize)])])
    }

    /// For ExecuTorch: up to ``Names/maxHeadRows`` hidden states.
    static func pteHead(_ text: TextGeometry) -> EntryPoint {
        EntryPoint(
            name: Names.lmHead,
            file: Names.textDecoderPte,
            method: Names.lmHead,
            patches: nil,
            inputs: [TensorSpec(name: Names.hidden, dtype: float, shape: [1, "rows", .size(text.hiddenSize)])],
            outputs: [TensorSpec(name: Names.logits, dtype: float, shape: [1, "rows", .size(text.vocabSize)])])
    }

    /// For Core ML: exactly so many patches, padding included.
    static func packageVision(_ vision: VisionGeometry, patches: Int) -> EntryPoint {
        let tokens = Dimension.size(patches / vision.mergeArea)
        return EntryPoint(
            name: Names.visionEncoder,
            file: Names.visionEncoderPackage,
            method: Names.encodeFunction(patches: patches),
            patches: patches,
            inputs: [TensorSpec(name: Names.patches, dtype: half, shape: [.size(patches), .size(vision.patchDim)])]
                + Signature.rope(half, .size(patches), vision.headDim)
                + [TensorSpec(name: Names.keyMask, dtype: half, shape: [.size(patches)])],
            outputs: [
                TensorSpec(name: Names.imageEmbeddings, dtype: half, shape: [tokens, .size(vision.outputSize)])
            ])
    }

    /// For Core ML: exactly so many tokens, through the layers of the package `file`.
    static func packageDecoder(_ text: TextGeometry, maxContext: Int, tokens: Int, file: String) -> EntryPoint {
        let states: [Dimension] = [1, .size(tokens), .size(text.hiddenSize)]
        return EntryPoint(
            name: Names.textDecoder,
            file: file,
            method: Names.decoderFunction(tokens: tokens),
            patches: nil,
            inputs: [TensorSpec(name: Names.embeddings, dtype: half, shape: states)]
                + Signature.rope(half, .size(tokens), text.headDim)
                + [
                    TensorSpec(name: Names.cachePosition, dtype: "int32", shape: [1]),
                    TensorSpec(
                        name: Names.attentionMask, dtype: half, shape: [1, 1, .size(tokens), .size(maxContext)]),
                ],
            outputs: [TensorSpec(name: Names.hidden, dtype: half, shape: states)])
    }

    /// For Core ML: lm_head for one hidden state, and token_embedding for a whole prefill chunk.
    static func packageHead(_ text: TextGeometry, prefillChunk: Int) -> [EntryPoint] {
        func entry(_ name: String, _ given: TensorSpec, _ result: TensorSpec) -> EntryPoint {
            EntryPoint(
                name: name, file: Names.headPackage, method: name, patches: nil, inputs: [given], outputs: [result])
        }
        return [
            entry(
                Names.lmHead,
                TensorSpec(name: Names.hidden, dtype: half, shape: [1, 1, .size(text.hiddenSize)]),
                TensorSpec(name: Names.logits, dtype: half, shape: [1, 1, .size(text.vocabSize)])),
            entry(
                Names.tokenEmbedding,
                TensorSpec(name: Names.tokenIDs, dtype: "int32", shape: [1, .size(prefillChunk)]),
                TensorSpec(
                    name: Names.embeddings, dtype: half, shape: [1, .size(prefillChunk), .size(text.hiddenSize)])),
        ]
    }

    /// Tokens of each Core ML function's call: 1 to decode, and a quarter and all of a chunk to prefill.
    static func tokenCounts(prefillChunk: Int) -> [Int] {
        Set([1, max(1, prefillChunk / 4), prefillChunk]).sorted()
    }

    /// For ONNX: any number of patches or tokens.
    static func hostGraph(_ name: String, _ file: String, _ geometry: ModelGeometry) -> EntryPoint {
        let signature = Signature.host(name, geometry)
        return EntryPoint(
            name: name, file: file, method: "main", patches: nil, inputs: signature.inputs,
            outputs: signature.outputs)
    }

    /// Those that a bundle of this target, geometry and settings has, in their order.
    ///
    /// Two settings are in the entry points alone, and taken from there: whether an ExecuTorch vision encoder has a
    /// method per bucket, and into how many packages a Core ML decoder is split.
    static func expected(_ manifest: Manifest) -> [EntryPoint] {
        let (vision, text) = (manifest.geometry.vision, manifest.geometry.text)
        switch manifest.target {
        case Names.executorch:
            let isStatic = manifest.entries(Names.visionEncoder).first?.patches != nil
            let sizes: [Int?] = isStatic ? manifest.buckets : [nil]
            return sizes.map { pteVision(vision, patches: $0) } + [pteDecoder(text), pteHead(text)]
        case Names.coreml:
            let files = Set(manifest.entries(Names.textDecoder).map { Exact($0.file) })
            let chunks = min(files.count, text.numLayers)
            let decoders = (0..<chunks).flatMap { chunk in
                tokenCounts(prefillChunk: manifest.prefillChunk).map { tokens in
                    packageDecoder(
                        text, maxContext: manifest.maxContext, tokens: tokens,
                        file: Names.textDecoderPackage(chunk: chunk, of: chunks))
                }
            }
            return manifest.buckets.map { packageVision(vision, patches: $0) } + decoders
                + packageHead(text, prefillChunk: manifest.prefillChunk)
        default:
            return [
                hostGraph(Names.visionEncoder, Names.hostVisionEncoder, manifest.geometry),
                hostGraph(Names.textDecoder, Names.hostTextDecoder, manifest.geometry),
                hostGraph(Names.lmHead, Names.hostLmHead, manifest.geometry),
            ]
        }
    }

    /// What about the manifest's entry points is not as expected, to follow the manifest's name; or nil.
    static func fault(_ manifest: Manifest) -> String? {
        let (found, expected) = (manifest.entryPoints, expected(manifest))
        for (given, wanted) in zip(found, expected) {
            if let fault = difference(given, wanted) { return fault }
        }
        if found.count < expected.count { return "lacks the entry point \(called(expected[found.count]))" }
        if found.count > expected.count {
            return "has the entry point \(called(found[expected.count])), which its target and settings do not"
        }
        return nil
    }

    private static func difference(_ given: EntryPoint, _ wanted: EntryPoint) -> String? {
        let isSame =
            given.name.isExactly(wanted.name) && given.file.isExactly(wanted.file)
            && given.method.isExactly(wanted.method)
        if !isSame { return "has the entry point \(called(given)) where \(called(wanted)) belongs" }
        let method = wanted.method.quoted
        if given.patches != wanted.patches {
            return "gives the entry point \(method) the patches \(shown(given.patches)), but it needs"
                + " \(shown(wanted.patches))"
        }
        return difference("input", given.inputs, wanted.inputs, method)
            ?? difference("output", given.outputs, wanted.outputs, method)
    }

    private static func difference(
        _ kind: String, _ given: [TensorSpec], _ wanted: [TensorSpec], _ method: String
    ) -> String? {
        if !given.elementsEqual(wanted, by: { $0.name.isExactly($1.name) }) {
            return "gives the entry point \(method) the \(kind)s \(list(given.map(\.name.quoted)).shortened(to: 80)),"
                + " but it needs \(list(wanted.map(\.name.quoted)))"
        }
        for (spec, need) in zip(given, wanted) where !spec.isExactly(need) {
            return "has the \(kind) \(need.name.quoted) of the entry point \(method) as \(shown(spec)), but its"
                + " geometry and settings need \(shown(need))"
        }
        return nil
    }

    private static func called(_ entry: EntryPoint) -> String {
        "\(entry.method.quoted) (\(entry.name.quoted) in \(entry.file.quoted))"
    }

    private static func shown(_ patches: Int?) -> String { patches.map(String.init) ?? "None" }

    private static func shown(_ spec: TensorSpec) -> String {
        let isName =
            !spec.dtype.isEmpty && spec.dtype.utf8.allSatisfy { $0 < 0x80 && Unicode.Scalar($0).isAlphanumeric }
        let sizes = spec.shape.map { dimension in
            switch dimension {
            case .size(let size): String(size)
            case .dynamic(let name): name.quoted
            }
        }
        return "\(isName ? String(spec.dtype.prefix(80)) : spec.dtype.quoted) \(list(sizes).shortened(to: 80))"
    }

    private static func list(_ items: [String]) -> String { "[\(items.joined(separator: ", "))]" }
}

extension TensorSpec {
    fileprivate func isExactly(_ other: TensorSpec) -> Bool {
        dtype.isExactly(other.dtype)
            && shape.elementsEqual(other.shape) { left, right in
                if case .dynamic(let a) = left, case .dynamic(let b) = right { return a.isExactly(b) }
                return left == right
            }
    }
}
