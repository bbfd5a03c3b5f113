import Foundation
import Testing

@testable import PocketVL

/// Valid bundles of the golden file, whose files are zeros.
struct GoldenBundle {
    var manifest: JSON
    let folder: TemporaryFolder

    /// Writes the files of the bundle for a target.
    init(_ target: String) throws {
        manifest = try Golden.read("manifests")["bundles"][target]
        folder = try TemporaryFolder()
        for record in try manifest["files"].items {
            try folder.write(record["path"].string, [UInt8](repeating: 0, count: record["size"].int))
        }
    }

    func writeManifest(_ text: String? = nil) throws {
        try folder.write("manifest.json", Array((text ?? #require(manifest.written())).utf8))
    }

    /// With the right hashes, so that it opens whatever is checked.
    mutating func seal() throws {
        for (index, record) in try manifest["files"].items.enumerated() {
            let hash = Digest.hex(of: [UInt8](repeating: 0, count: try record["size"].int))
            manifest = edited(manifest, [.string("files"), .integer(Int64(index)), .string("sha256")], .string(hash))
        }
        try writeManifest()
        let hash = Digest.hex(of: Array(try Data(contentsOf: folder.url.appendingPathComponent("manifest.json"))))
        try folder.write("manifest.sha256", Array("\(hash)  manifest.json\n".utf8))
    }

    func file(_ name: String) -> URL { folder.url.appendingPathComponent(name) }
}

/// The value with another one at a path of keys and places; nil removes what is there.
func edited(_ value: JSON, _ path: ArraySlice<JSON>, _ new: JSON?) -> JSON {
    guard let step = path.first else { return new ?? .null }
    let isLast = path.count == 1
    if var object = value.asObject, let key = step.asString {
        object[key] = isLast ? new : edited(object[key] ?? .null, path.dropFirst(), new)
        return .object(object)
    }
    if var array = value.asArray, let index = step.asInteger, array.indices.contains(index) {
        if isLast {
            if let new { array[index] = new } else { array.remove(at: index) }
        } else {
            array[index] = edited(array[index], path.dropFirst(), new)
        }
        return .array(array)
    }
    return value
}

@Suite struct ManifestTests {
    static let exported = ProcessInfo.processInfo.environment["POCKETVL_BUNDLES"]

    @Test("every edit of the golden manifests is accepted or refused as Python does")
    func edits() throws {
        let data = try Golden.read("manifests")
        var bundles: [String: GoldenBundle] = [:]
        for member in try #require(data["bundles"].asObject).members {
            bundles[member.key] = try GoldenBundle(member.key)
        }
        #expect(try data["cases"].items.count == 719)
        for one in try data["cases"].items {
            let bundle = try #require(bundles[one["bundle"].string])
            var value = bundle.manifest
            var written: [String] = []
            for edit in try one["edits"].items {
                let new: JSON? = edit["remove"] != .null ? nil : edit["raw"] != .null ? .string("<raw>") : edit["set"]
                value = edited(value, try edit["path"].items[...], new)
                if let raw = edit["raw"].asString { written.append(raw) }
            }
            var text = try #require(value.written())
            for raw in written { text = text.replacingOccurrences(of: "\"<raw>\"", with: raw) }
            try bundle.writeManifest(text)
            let error = try refusal { _ = try ModelBundle.open(bundle.folder.url, verify: .never) }
            if let expected = one["refused"].asString {
                let message = error?.message ?? "opens"
                let isSaid = expected.isEmpty ? error != nil : message.contains(expected)
                #expect(isSaid && error?.isBundle == true, "\(one["edits"].shown): \(message) for \(expected)")
            } else {
                #expect(error == nil, "\(one["edits"].shown)")
            }
        }
    }

    @Test("what is read is what was written")
    func values() throws {
        let manifest = try Manifest(Golden.read("manifests")["bundles"]["executorch"], "manifest.json")
        #expect(manifest.geometry.text.mropeSection == [1, 1, 0])
        #expect(manifest.image.std[2] == 1)
        #expect(manifest.entries("vision_encoder").map(\.patches) == [4, 16])
        #expect(manifest.entries("text_decoder")[0].inputs[0].shape == [1, "tokens", 8])
        #expect(manifest.tokenEmbedding.end == 144)
        #expect(manifest.provenance.tools == ["torch": "2.9"])
        #expect(manifest.provenance.sourceRevision == nil)
    }

    @Test("files that are no manifest are refused")
    func noManifests() throws {
        let folder = try TemporaryFolder()
        let texts = ["", "{", "[1]", "3", "null", "{}", String(repeating: "[", count: 200_000), "\u{FEFF}{}"]
        let bytes: [[UInt8]] = texts.map { Array($0.utf8) } + [[0xFF, 0xFE], [0x22, 0xC0, 0x80, 0x22]]
        for one in bytes {
            try folder.write("manifest.json", one)
            guard case .manifest(let message) = try refusal({ _ = try Manifest.read(in: folder.url) }) else {
                Issue.record("\(one.prefix(20)) was read")
                continue
            }
            #expect(message.contains("manifest.json"))
        }
        try FileManager.default.removeItem(at: folder.url.appendingPathComponent("manifest.json"))
        #expect(try refusal { _ = try Manifest.read(in: folder.url) }?.isBundle == true)
        try FileManager.default.createSymbolicLink(
            atPath: folder.url.appendingPathComponent("manifest.json").path, withDestinationPath: "/dev/zero")
        let error = try refusal { _ = try Manifest.read(in: folder.url) }
        #expect(error?.message.contains("leaves the bundle") == true)
    }

    @Test(
        "exported bundles open, for every target",
        .enabled(if: exported != nil, "only asked for by POCKETVL_BUNDLES, folders parted by colons")
    )
    func realBundles() throws {
        let given = try #require(Self.exported)
        for path in given.split(separator: ":") {
            let bundle = try ModelBundle.open(URL(fileURLWithPath: String(path)), verify: .always)
            _ = try Tokenizer(bundle.file(Names.tokenizerFile))
            let table = bundle.manifest.tokenEmbedding
            _ = try EmbeddingMap(bundle.file(table.file), table).gather([0, table.rows - 1])
            _ = try ChatTemplate(bundle.file(Names.chatTemplateFile))
        }
    }
}
