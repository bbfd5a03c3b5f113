import Foundation
import Testing

@testable import PocketVL

@Suite struct ModelBundleTests {
    @Test("a sound bundle opens whatever is checked, and says where its files are", arguments: ["onnx", "executorch"])
    func sound(target: String) throws {
        var bundle = try GoldenBundle(target)
        try bundle.seal()
        for verify in [Verify.never, .stamp, .always] {
            let opened = try ModelBundle.open(bundle.folder.url, verify: verify)
            #expect(opened.manifest.target == target)
            let table = opened.manifest.tokenEmbedding.file
            #expect(try opened.file(table).path == bundle.file(table).path)
            #expect(try refusal { _ = try opened.file("nothing") }?.isBundle == true)
        }
    }

    @Test("a changed byte is found, unless nothing is compared")
    func damaged() throws {
        var bundle = try GoldenBundle("onnx")
        try bundle.seal()
        let path = try bundle.manifest["files"][0]["path"].string
        var bytes = [UInt8](repeating: 0, count: try bundle.manifest["files"][0]["size"].int)
        bytes[bytes.count - 1] = 1
        try bundle.folder.write(path, bytes)
        for verify in [Verify.stamp, .always] {
            let error = try refusal { _ = try ModelBundle.open(bundle.folder.url, verify: verify) }
            #expect(error?.message.contains("is damaged or from another bundle") == true)
        }
        _ = try ModelBundle.open(bundle.folder.url, verify: .never)
    }

    @Test("an edited manifest is found by its hash, as is a missing hash")
    func editedManifest() throws {
        var bundle = try GoldenBundle("onnx")
        try bundle.seal()
        try bundle.writeManifest(#require(bundle.manifest.written()) + " ")
        let error = try refusal { _ = try ModelBundle.open(bundle.folder.url) }
        #expect(error?.message.contains("is not what") == true)
        try FileManager.default.removeItem(at: bundle.file("manifest.sha256"))
        #expect(try refusal { _ = try ModelBundle.open(bundle.folder.url) }?.message.contains("is missing") == true)
        _ = try ModelBundle.open(bundle.folder.url, verify: .never)
    }

    @Test("missing, cut off and linked files are refused")
    func files() throws {
        var bundle = try GoldenBundle("onnx")
        try bundle.seal()
        let path = try bundle.manifest["files"][0]["path"].string
        let size = try bundle.manifest["files"][0]["size"].int
        func message() throws -> String? {
            try refusal { _ = try ModelBundle.open(bundle.folder.url, verify: .never) }?.message
        }
        try bundle.folder.write(path, [UInt8](repeating: 0, count: size + 1))
        #expect(try message()?.contains("has \(size + 1) bytes, but the manifest says \(size)") == true)
        let file = bundle.file(path)
        try FileManager.default.removeItem(at: file)
        #expect(try message()?.contains("is missing") == true)
        try FileManager.default.createDirectory(at: file, withIntermediateDirectories: true)
        #expect(try message()?.contains("is missing") == true)
        try FileManager.default.removeItem(at: file)
        try FileManager.default.createSymbolicLink(atPath: file.path, withDestinationPath: "/dev/zero")
        #expect(try message()?.contains("leaves the bundle") == true)
        try FileManager.default.removeItem(at: file)
        try FileManager.default.createSymbolicLink(atPath: file.path, withDestinationPath: file.lastPathComponent)
        #expect(try message() != nil)
        #expect(mkfifo(bundle.file("pipe").path, 0o600) == 0)
        try FileManager.default.removeItem(at: file)
        try FileManager.default.moveItem(at: bundle.file("pipe"), to: file)
        #expect(try message()?.contains("no regular file") == true)
        let nowhere = bundle.file("nowhere")
        #expect(try refusal { _ = try ModelBundle.open(nowhere) }?.message.contains("does not exist") == true)
        let plain = bundle.file("manifest.json")
        #expect(try refusal { _ = try ModelBundle.open(plain) }?.message.contains("is a file, not a folder") == true)
    }

    @Test("hashes are remembered, and forgotten where a file changes or was written just now")
    func stamps() throws {
        var bundle = try GoldenBundle("onnx")
        try bundle.seal()
        let stamps = bundle.folder.url.appendingPathComponent("cache/stamps.json")
        func hashed(_ verify: Verify = .stamp) throws -> Int {
            let counter = Counter()
            _ = try ModelBundle.open(bundle.folder.url, verify: verify, stamps: stamps) { done, _ in counter.set(done) }
            return counter.value
        }
        let total = try bundle.manifest["files"].items.map { try $0["size"].int }.reduce(0, +)
        #expect(try hashed() == total)
        #expect(try hashed() == total)  // written less than two seconds ago
        Thread.sleep(forTimeInterval: 2.2)
        #expect(try hashed() == total)
        #expect(try hashed() == 0)
        #expect(try hashed(.always) == total)
        let path = try bundle.manifest["files"][0]["path"].string
        let size = try bundle.manifest["files"][0]["size"].int
        try bundle.folder.write(path, [UInt8](repeating: 0, count: size))
        #expect(try hashed() == size)
        try Data("[]".utf8).write(to: stamps)
        #expect(try hashed() == total)
    }
}

/// A number that any thread may set.
private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var number = 0

    var value: Int { lock.withLock { number } }

    func set(_ value: Int) { lock.withLock { number = value } }
}
