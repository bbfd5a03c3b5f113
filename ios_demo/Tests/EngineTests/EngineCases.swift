import Foundation
import PocketVLCoreML
import Testing

@testable import PocketVL

#if canImport(PocketVLOnnx)
    import PocketVLOnnx
#endif
#if canImport(PocketVLExecuTorch)
    import PocketVLExecuTorch
#endif

/// What tests/kotlin/engine_cases.py wrote: bundles of the tiny model, and what Python's engines make of them.
enum EngineCases {
    /// Absent where swift.sh said why.
    static let folder = ProcessInfo.processInfo.environment["POCKETVL_CASES"].map { URL(fileURLWithPath: $0) }

    /// Bundles whose engine is linked.
    static let names: [String] = {
        var names: [String] = []
        guard folder != nil else { return names }
        #if canImport(PocketVLOnnx)
            names += ["onnx-int4", "onnx-fp32"]
        #endif
        #if canImport(PocketVLExecuTorch)
            names += ["executorch-int4", "executorch-fp32"]
        #endif
        // Core ML's packages are evaluated by Python, see Tests/Support/CoreML.
        if ProcessInfo.processInfo.environment["POCKETVL_EVALUATOR"] != nil { names.append("coreml-int4") }
        return names
    }()

    /// The quantized ones, for tests that one recipe is enough for.
    static let quantized = names.filter { $0.hasSuffix("int4") }

    /// Those that keep the checkpoint's float32.
    static let unquantized = names.filter { $0.hasSuffix("fp32") }

    /// Of runtimes that have threads.
    static let threaded = quantized.filter { !$0.hasPrefix("coreml") }

    static func url(_ name: String) throws -> URL { try #require(folder).appendingPathComponent(name) }

    static func bundle(_ name: String) throws -> ModelBundle { try ModelBundle.open(url(name), verify: .never) }

    /// Where Core ML's engine keeps what it compiled, removed when the tests end.
    private static let cache = TemporaryFolder()

    static func open(_ bundle: ModelBundle, threads: Int? = 1) throws -> Engine { try factory(bundle, threads) }

    /// For ``PocketVL/load(_:engine:options:)``.
    static let factory: EngineFactory = { (bundle, threads) throws(PocketVLError) in
        switch bundle.manifest.target {
        case Names.coreml: return try CoreMLEngine.open(bundle, cache: cache.url)
        #if canImport(PocketVLOnnx)
            case Names.onnx: return try OnnxEngine.open(bundle, threads: threads)
        #endif
        #if canImport(PocketVLExecuTorch)
            case Names.executorch: return try ExecuTorchEngine.open(bundle, threads: threads)
        #endif
        default: throw PocketVLError.bundle("No engine for \(bundle.manifest.target) is linked.")
        }
    }

    static func json(_ name: String) throws -> JSON {
        try JSON.parse(bytes: Array(Data(contentsOf: url("\(name).json"))))
    }

    /// Whether Python's numbers come from the very runtime that runs here. Versions of onnxruntime round activations
    /// to 8 bits differently, so quantized bundles give other numbers, and an answer in twenty or so is another one.
    static func isSameRuntime(_ name: String) throws -> Bool {
        #if canImport(PocketVLOnnx)
            if name.hasPrefix("onnx") { return try json(name)["runtime"].asString == OnnxEngine.runtimeVersion }
        #endif
        return true
    }
}

/// Short ways into JSON whose shape is known; what is not there fails the test.
extension JSON {
    subscript(key: String) -> JSON { asObject?[key] ?? .null }

    var items: [JSON] { get throws { try #require(asArray) } }
    var int: Int { get throws { try #require(asInteger) } }
    var string: String { get throws { try #require(asString) } }
    var floats: [Float] { get throws { try items.map { Float(try #require($0.asDouble)) } } }
}

/// The numbers of wave() in engine_cases.py.
func wave(_ rows: Int, _ columns: Int, _ scale: Float, _ seed: Int) -> Matrix {
    var matrix = Matrix(rows: rows, columns: columns)
    matrix.withUnsafeMutableValues { values in
        for index in values.indices {
            values[index] = Float((index * 37 + seed * 11) % 101 - 50) / 50 * scale
        }
    }
    return matrix
}

extension Engine {
    /// A step of the decoder over the numbers of _steps() in engine_cases.py.
    func step(_ bundle: ModelBundle, _ count: Int, at slot: Int) throws -> Matrix {
        let text = bundle.manifest.geometry.text
        var hidden = Matrix(rows: count, columns: text.hiddenSize)
        let rope = Rope(
            cos: wave(count, text.headDim, 1, slot + 2), sin: wave(count, text.headDim, 1, slot + 3))
        try self.text.decode(
            embeddings: wave(count, text.hiddenSize, 0.05, slot + 1), rope: rope, cachePosition: slot, into: &hidden)
        return hidden
    }

    func head(_ bundle: ModelBundle, _ hidden: Matrix) throws -> Matrix {
        var logits = Matrix(rows: hidden.rows, columns: bundle.manifest.geometry.text.vocabSize)
        try text.logits(hidden: hidden, into: &logits)
        return logits
    }

    func see(_ bundle: ModelBundle, _ patches: Int) throws -> Matrix {
        let vision = bundle.manifest.geometry.vision
        let rope = Rope(cos: wave(patches, vision.headDim, 1, 2), sin: wave(patches, vision.headDim, 1, 3))
        return try self.vision.encode(patches: wave(patches, vision.patchDim, 1, 1), rope: rope)
    }
}

extension Matrix {
    var last: Matrix { slice(rows - 1..<rows) }
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

    init() {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("pocketvl-\(UUID().uuidString)")
        try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}
