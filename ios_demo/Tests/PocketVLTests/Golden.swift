import Foundation
import Testing

@testable import PocketVL

/// The repository that this file lies in: ios_demo/Tests/PocketVLTests/Golden.swift.
let repository = (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }

/// The checkpoint of the tiny model, whose tokenizer goldens use.
let checkpoint = repository.appendingPathComponent("export/pocketvl/export/tiny/checkpoint")

/// The files in tests/golden, which Python writes and every language reads.
enum Golden {
    static func read(_ name: String) throws -> JSON {
        let file = repository.appendingPathComponent("tests/golden/\(name).json")
        return try JSON.parse(bytes: Array(Data(contentsOf: file)))
    }
}

/// Short ways into a golden file, whose shape is known; what is not there fails the test.
extension JSON {
    subscript(key: String) -> JSON { asObject?[key] ?? .null }
    subscript(index: Int) -> JSON { asArray.map { $0.indices.contains(index) ? $0[index] : .null } ?? .null }

    var items: [JSON] { get throws { try #require(asArray) } }
    var int: Int { get throws { try #require(asInteger) } }
    var double: Double { get throws { try #require(asDouble) } }
    var string: String { get throws { try #require(asString) } }
    var bool: Bool {
        get throws {
            guard let value = asBool else { throw JSONError(message: "no bool", offset: 0) }
            return value
        }
    }
    var ints: [Int] { get throws { try items.map { try $0.int } } }
    var doubles: [Double] { get throws { try items.map { try $0.double } } }
    var strings: [String] { get throws { try items.map { try $0.string } } }
    var base64: [UInt8] { get throws { Array(try #require(Data(base64Encoded: try string))) } }
}

/// What `body` throws, which must be a ``PocketVLError``; nil where it does not throw.
func refusal(_ body: () throws -> Void) throws -> PocketVLError? {
    do {
        try body()
        return nil
    } catch let error as PocketVLError {
        return error
    }
}

/// A folder that is removed after the test.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("pocketvl-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> URL {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        return file
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}

/// Sizes of the goldens about positions and patches.
enum Sample {
    static func vision(headDim: Int = 80, patchSize: Int = 14) throws -> VisionGeometry {
        try VisionGeometry(
            depth: 1, hiddenSize: 2 * headDim, intermediateSize: 8, numHeads: 2, inChannels: 3, patchSize: patchSize,
            temporalPatchSize: 2, spatialMergeSize: 2, outputSize: 64)
    }

    static func text(headDim: Int = 16, theta: Double = 10000, section: [Int] = [2, 3, 3]) throws -> TextGeometry {
        try TextGeometry(
            numLayers: 1, hiddenSize: 64, intermediateSize: 8, numHeads: 2, numKvHeads: 1, headDim: headDim,
            vocabSize: 16, ropeTheta: theta, rmsNormEps: 1e-6, mropeSection: section, maxPositionEmbeddings: 64,
            tieWordEmbeddings: true)
    }

    static func settings(minPixels: Int = 1, maxPixels: Int = 1_000_000) throws -> ImageSettings {
        try ImageSettings(
            minPixels: minPixels, maxPixels: maxPixels, mean: [0.48145466, 0.4578275, 0.40821073],
            std: [0.26862954, 0.26130258, 0.27577711])
    }

    static let special = SpecialTokens(
        imagePad: 151655, videoPad: 151656, visionStart: 151652, visionEnd: 151653, eos: [], imEnd: nil)
}
