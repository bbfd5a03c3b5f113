import Foundation
import PocketVL
import Testing

@testable import PocketVLCoreML

@Suite(.enabled(if: EngineCases.names.contains("coreml-int4"), "there is no evaluator of packages"))
struct CoreMLEngineTests {
    private let folder = TemporaryFolder()
    private var cache: URL { folder.url.appendingPathComponent("cache") }

    private func copy() throws -> ModelBundle {
        let copy = folder.url.appendingPathComponent("bundle")
        try FileManager.default.copyItem(at: EngineCases.url("coreml-int4"), to: copy)
        return try ModelBundle.open(copy, verify: .never)
    }

    private func kept(_ bundle: ModelBundle, _ name: String) -> URL {
        cache.appendingPathComponent(bundle.manifest.contentSha256).appendingPathComponent(name)
    }

    @Test("packages are compiled once, and what they run on is remembered")
    func remembered() throws {
        let bundle = try EngineCases.bundle("coreml-int4")
        let first = try CoreMLEngine.open(bundle, cache: cache)
        let expected = try first.see(bundle, 16)
        first.close()
        let note = UnitsFile(url: kept(bundle, "vision.units.json"))
        #expect(note.read()?.working == .neuralEngine)
        let compiled = kept(bundle, "vision_encoder.mlmodelc")
        func made() throws -> Date? {
            try FileManager.default.attributesOfItem(atPath: compiled.path)[.modificationDate] as? Date
        }
        let date = try #require(try made())
        let second = try CoreMLEngine.open(bundle, cache: cache)
        #expect(try second.see(bundle, 16) == expected)
        #expect(try made() == date)
        second.close()
    }

    @Test("units that ended a process are not tried again")
    func crashed() throws {
        let bundle = try EngineCases.bundle("coreml-int4")
        let engine = try CoreMLEngine.open(bundle, cache: cache)
        _ = try engine.step(bundle, 1, at: 0)
        engine.close()
        let note = UnitsFile(url: kept(bundle, "text.units.json"))
        var record = try #require(note.read())
        record.working = nil
        record.attempt = UnitsRecord.Attempt(units: .neuralEngine, process: "gone")
        try note.write(record)
        let next = try CoreMLEngine.open(bundle, cache: cache)
        _ = try next.step(bundle, 1, at: 0)
        #expect(note.read()?.working == .gpu)
        #expect(note.read()?.crashed == [.neuralEngine])
        next.close()
    }

    @Test("a model of zeros is a typed error, and the whole one loads afterwards")
    func damaged() throws {
        let bundle = try copy()
        let engine = try CoreMLEngine.open(bundle, cache: cache)
        let file = try PackageLayout.model(of: bundle.file(Names.visionEncoderPackage))
        let whole = try Data(contentsOf: file)
        try Data(repeating: 0, count: whole.count).write(to: file)
        let error = try refusal { _ = try engine.see(bundle, 16) }
        guard case .engine(let message) = error else {
            Issue.record("not refused: \(String(describing: error))")
            return
        }
        #expect(message.contains("vision_encoder.mlpackage"))
        try whole.write(to: file)
        #expect(try engine.see(bundle, 16).values.contains { $0 != 0 })
        engine.close()
    }

    @Test("a package of another entry point is refused")
    func exchanged() throws {
        let bundle = try copy()
        let vision = try bundle.file(Names.visionEncoderPackage)
        try FileManager.default.removeItem(at: vision)
        try FileManager.default.copyItem(at: bundle.file(Names.headPackage), to: vision)
        let engine = try CoreMLEngine.open(bundle, cache: cache)
        #expect(try refusal { _ = try engine.see(bundle, 16) }?.message.contains("has no function") == true)
        engine.close()
    }

    @Test("a package without its manifest never reaches Core ML")
    func layout() throws {
        let bundle = try copy()
        try FileManager.default.removeItem(
            at: bundle.file(Names.visionEncoderPackage).appendingPathComponent("Manifest.json"))
        let engine = try CoreMLEngine.open(bundle, cache: cache)
        #expect(try refusal { _ = try engine.see(bundle, 16) }?.isBundle == true)
        engine.close()
    }
}
