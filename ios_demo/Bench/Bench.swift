import Foundation
import PocketVL

#if canImport(PocketVLOnnx)
    import PocketVLOnnx
#endif
#if canImport(PocketVLExecuTorch)
    import PocketVLExecuTorch
#endif

/// Speed and memory of a bundle on Linux, as `pocketvl bench` measures them in Python. Prints a line of JSON: seconds,
/// tokens per second, bytes.
///
///     Bench BUNDLE [THREADS [IMAGE.rgb WIDTH HEIGHT [TOKENS]]]
///
/// IMAGE.rgb holds raw RGB; without it, a gradient of 448 x 448. TOKENS: of the answer, 64.
@main struct Bench {
    static func main() async {
        do {
            let wanted = try Arguments(CommandLine.arguments.dropFirst())
            // The question first, since memory is that of a process that does nothing else.
            let question = try await Question.measured(wanted)
            let report = Report(question: question, stages: try Stages.measured(wanted.bundle, wanted.threads))
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = .convertToSnakeCase
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }

    static let engine: EngineFactory = { (bundle, threads) throws(PocketVLError) in
        switch bundle.manifest.target {
        #if canImport(PocketVLOnnx)
            case Names.onnx: return try OnnxEngine.open(bundle, threads: threads)
        #endif
        #if canImport(PocketVLExecuTorch)
            case Names.executorch: return try ExecuTorchEngine.open(bundle, threads: threads)
        #endif
        default: throw .usage("No engine for \(bundle.manifest.target) is linked.")
        }
    }
}

struct Arguments {
    let bundle: URL
    let threads: Int
    let image: RgbImage
    let tokens: Int

    /// Throws ``PocketVLError/usage(_:)``, ``PocketVLError/image(_:)``, and what reading a file throws.
    init(_ words: ArraySlice<String>) throws {
        let words = Array(words)
        func number(_ index: Int, _ usual: Int) throws -> Int {
            guard words.indices.contains(index) else { return usual }
            guard let number = Int(words[index]) else { throw PocketVLError.usage("\(words[index]) is no number.") }
            return number
        }
        guard let folder = words.first, [1, 2, 5, 6].contains(words.count) else {
            throw PocketVLError.usage("Give BUNDLE [THREADS [IMAGE.rgb WIDTH HEIGHT [TOKENS]]].")
        }
        bundle = URL(fileURLWithPath: folder)
        threads = try number(1, ProcessInfo.processInfo.activeProcessorCount)
        tokens = try number(5, 64)
        if words.count > 2 {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: words[2]))
            image = try RgbImage(width: number(3, 0), height: number(4, 0), pixels: Array(bytes))
        } else {
            image = try Self.gradient(side: 448)
        }
    }

    private static func gradient(side: Int) throws -> RgbImage {
        let pixels = (0..<side * side * 3).map {
            UInt8(truncatingIfNeeded: ($0 / 3 % side + $0 / 3 / side * ($0 % 3)) / 2)
        }
        return try RgbImage(width: side, height: side, pixels: pixels)
    }
}

/// Of one process.
struct Report: Encodable {
    let question: Question
    let stages: Stages

    func encode(to encoder: any Encoder) throws {
        try question.encode(to: encoder)
        try stages.encode(to: encoder)
    }
}

/// Runs `action`; the seconds that it took come first.
func timed<Value>(_ action: () throws -> Value) rethrows -> (seconds: Double, value: Value) {
    let began = DispatchTime.now().uptimeNanoseconds
    let value = try action()
    return (Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9, value)
}
