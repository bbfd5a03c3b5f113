import Foundation
import Testing

@testable import PocketVL

/// Files that nobody hashed: what the native runtimes refuse comes as a typed error, and leaves nothing behind.
@Suite struct DamagedFilesTests {
    @Test(
        "a file of zeros or of text is a typed error, and the whole one loads afterwards",
        arguments: EngineCases.threaded)
    func overwritten(name: String) throws {
        let folder = TemporaryFolder()
        let bundle = try copied(name, into: folder)
        let engine = try EngineCases.open(bundle)
        for entry in bundle.manifest.entryPoints {
            let file = try bundle.file(entry.file)
            let whole = try Data(contentsOf: file)
            for byte in [UInt8(0), UInt8(ascii: "x")] {
                try Data(repeating: byte, count: whole.count).write(to: file)
                let error = try refusal { _ = try everything(engine, bundle) }
                #expect(error?.message.contains(file.lastPathComponent) == true, "\(entry.file)")
                engine.close()
            }
            try whole.write(to: file)
        }
        let sound = try EngineCases.bundle(name)
        let expected = try EngineCases.open(sound)
        #expect(try everything(engine, bundle) == everything(expected, sound))
        expected.close()
        engine.close()
    }

    @Test("a graph of another entry point is refused", arguments: EngineCases.threaded)
    func exchanged(name: String) throws {
        let folder = TemporaryFolder()
        let bundle = try copied(name, into: folder)
        let entries = bundle.manifest.entryPoints
        let (first, last) = (try #require(entries.first), try #require(entries.last))
        try Data(contentsOf: bundle.file(last.file)).write(to: bundle.file(first.file))
        let engine = try EngineCases.open(bundle)
        let error = try refusal { _ = try engine.see(bundle, 16) }
        #expect(error?.isBundle == true)
        let part = name.hasPrefix("onnx") ? "unknown to this pocketvl" : "lacks the method"
        #expect(error?.message.contains(part) == true)
    }

    @Test("a file that is gone is a typed error", arguments: EngineCases.threaded)
    func missing(name: String) throws {
        let folder = TemporaryFolder()
        let bundle = try copied(name, into: folder)
        for entry in bundle.manifest.entryPoints
        where FileManager.default.fileExists(atPath: try bundle.file(entry.file).path) {
            try FileManager.default.removeItem(at: bundle.file(entry.file))
        }
        let engine = try EngineCases.open(bundle)
        #expect(try refusal { _ = try engine.see(bundle, 16) } != nil)
        #expect(try refusal { _ = try engine.step(bundle, 1, at: 0) } != nil)
        #expect(
            try refusal {
                _ = try engine.head(bundle, Matrix(rows: 1, columns: bundle.manifest.geometry.text.hiddenSize))
            } != nil)
    }

    private func copied(_ name: String, into folder: TemporaryFolder) throws -> ModelBundle {
        let copy = folder.url.appendingPathComponent(name)
        try FileManager.default.copyItem(at: EngineCases.url(name), to: copy)
        return try ModelBundle.open(copy, verify: .never)
    }

    private func everything(_ engine: Engine, _ bundle: ModelBundle) throws -> [Float] {
        try engine.see(bundle, 16).values + engine.head(bundle, engine.step(bundle, 2, at: 0)).values
    }
}
