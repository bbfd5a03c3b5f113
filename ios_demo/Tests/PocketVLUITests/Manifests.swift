import Foundation
import Testing

@testable import PocketVL

private let hash = String(repeating: "0", count: 64)

/// Of the full-size model's geometry, with files of these sizes.
func manifest(
    files: [(String, Int)] = [("text_decoder.pte", 970_000_000), ("vision_encoder.pte", 680_000_000)],
    buckets: [Int] = [256, 1024], maxContext: Int = 2048, prefillChunk: Int = 256, target: String = "coreml"
) throws -> Manifest {
    Manifest(
        schemaVersion: 2, target: target, recipe: "int4", quantizationMethod: "rtn",
        geometry: try ModelGeometry(
            vision: VisionGeometry(
                depth: 32, hiddenSize: 1280, intermediateSize: 5120, numHeads: 16, inChannels: 3, patchSize: 14,
                temporalPatchSize: 2, spatialMergeSize: 2, outputSize: 1536),
            text: TextGeometry(
                numLayers: 28, hiddenSize: 1536, intermediateSize: 8960, numHeads: 12, numKvHeads: 2, headDim: 128,
                vocabSize: 151_936, ropeTheta: 1e6, rmsNormEps: 1e-6, mropeSection: [16, 24, 24],
                maxPositionEmbeddings: 32_768, tieWordEmbeddings: true)),
        specialTokens: SpecialTokens(imagePad: 1, videoPad: 2, visionStart: 3, visionEnd: 4, eos: [5], imEnd: 5),
        image: try ImageSettings(
            minPixels: 3136, maxPixels: 200_704, mean: [0.5, 0.5, 0.5], std: [0.3, 0.3, 0.3]),
        buckets: buckets, maxContext: maxContext, prefillChunk: prefillChunk, chat: true,
        sampling: try SamplingDefaults(temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1), entryPoints: [],
        tokenEmbedding: try EmbeddingTable(
            file: "embedding", rows: 151_936, columns: 1536, storage: "int8", dataOffset: 0, scalesOffset: 0,
            scalesDtype: "float32", groupSize: 1536),
        layers: [], files: try files.map { try FileRecord(path: $0, size: $1, sha256: hash) }, optionalFiles: [],
        provenance: Provenance(
            source: "Qwen2-VL-2B", sourceSha256: hash, calibration: nil, calibrationSha256: nil, pocketvl: "0.1.0",
            tools: [:], command: "pocketvl export", sourceRevision: nil))
}

/// A sound bundle in a folder: the golden manifest of a target, whose files are zeros.
func writeGoldenBundle(_ target: String, into folder: URL) throws {
    let repository = (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
    let golden = try Data(contentsOf: repository.appendingPathComponent("tests/golden/manifests.json"))
    let parsed = try JSON.parse(bytes: Array(golden))
    var bundle = try #require(parsed.asObject?["bundles"]?.asObject?[target]?.asObject)
    let records = try #require(bundle["files"]?.asArray)
    bundle["files"] = .array(
        try records.map { record in
            var record = try #require(record.asObject)
            let path = try #require(record["path"]?.asString)
            let file = folder.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(count: #require(record["size"]?.asInteger)).write(to: file)
            record["sha256"] = .string(try sha256(ofFile: file))
            return .object(record)
        })
    let manifest = folder.appendingPathComponent(Names.manifestFile)
    try Data(#require(JSON.object(bundle).written()).utf8).write(to: manifest)
    let line = "\(try sha256(ofFile: manifest))  \(Names.manifestFile)\n"
    try Data(line.utf8).write(to: folder.appendingPathComponent(Names.manifestHashFile))
}
