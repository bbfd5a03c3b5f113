internal import COnnxRuntime
import Foundation
import PocketVL

/// onnxruntime, its sessions, and its errors as sentences.
final class Runtime: @unchecked Sendable {  // nothing changes after init, and the environment takes any thread
    /// The table of functions only grows: this number, that of onnxruntime 1.11, stands for all that are used here.
    private static let apiVersion: UInt32 = 11

    static var version: String {
        guard let base = OrtGetApiBase(), let text = base.pointee.GetVersionString() else { return "unknown" }
        return String(cString: text)
    }

    let api: UnsafePointer<OrtApi>
    /// Says that tensors are in the processor's memory.
    let memory: Handle
    private let environment: Handle
    private let threads: Int?

    init(threads: Int?) throws(PocketVLError) {
        guard let base = OrtGetApiBase(), let api = base.pointee.GetApi(Self.apiVersion) else {
            throw .engine("onnxruntime \(Self.version) is too old for this pocketvl; take a newer one into the app.")
        }
        self.api = api
        self.threads = threads
        let failure = { @Sendable (reason: String) in PocketVLError.engine("onnxruntime cannot start: \(reason).") }
        environment = try api.made(api.pointee.ReleaseEnv, failure) {
            api.pointee.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "pocketvl", $0)
        }
        memory = try api.made(api.pointee.ReleaseMemoryInfo, failure) {
            api.pointee.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, $0)
        }
        try api.check(api.pointee.DisableTelemetryEvents(environment.pointer), failure)
    }

    /// A session over a model file. onnxruntime itself refuses data files that are missing, too short or outside of
    /// the model's folder.
    func session(_ file: URL) throws(PocketVLError) -> Handle {
        let options = try options(file)
        return try api.made(api.pointee.ReleaseSession, { Self.refusal(file, $0) }) {
            api.pointee.CreateSession(environment.pointer, file.path, options.pointer, $0)
        }
    }

    private func options(_ file: URL) throws(PocketVLError) -> Handle {
        let failure = { (reason: String) in Self.refusal(file, reason) }
        let handle = try api.made(api.pointee.ReleaseSessionOptions, failure) {
            api.pointee.CreateSessionOptions($0)
        }
        let (functions, options) = (api.pointee, handle.pointer)
        for status in [
            functions.SetIntraOpNumThreads(options, Int32(threads ?? 0)),
            functions.SetInterOpNumThreads(options, 1),
            functions.SetSessionExecutionMode(options, ORT_SEQUENTIAL),
            functions.SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL),
            // Errors are returned, too.
            functions.SetSessionLogSeverityLevel(options, Int32(ORT_LOGGING_LEVEL_FATAL.rawValue)),
            // An arena keeps the activations of the longest call for good, a pattern allocates those of a whole call
            // at once: 0.1 GB more for 256 tokens of the 2B model, and no faster.
            functions.DisableCpuMemArena(options),
            functions.DisableMemPattern(options),
            // Threads that sleep between operators take 4 % longer per token; threads that spin for longer than this
            // take half of the speed where another process wants the core.
            functions.AddSessionConfigEntry(options, "session.intra_op.spin_duration_us", "10"),
        ] {
            try api.check(status, failure)
        }
        return handle
    }

    /// What onnxruntime says of a file that it does not load, as a sentence.
    private static func refusal(_ file: URL, _ reason: String) -> PocketVLError {
        let newer = /Unsupported model IR version: (\d+)|Opset (\d+) is under development.*support for domain (\S+) is/
        guard let match = reason.firstMatch(of: newer) else {
            return .engine(
                "onnxruntime \(version) cannot load \(file.path): \(reason). Copy the whole bundle again or export it"
                    + " again.")
        }
        let written = match.1.map { "IR version \($0)" } ?? "opset \(match.2 ?? "") of \(match.3 ?? "")"
        return .engine(
            "\(file.path) is written in \(written), which onnxruntime \(version) does not know; take a newer one into"
                + " the app, or export the bundle again.")
    }
}

extension UnsafePointer<OrtApi> {
    /// Throws what `failure` makes of the reason where a call failed.
    func check(_ status: OrtStatusPtr?, _ failure: (String) -> PocketVLError) throws(PocketVLError) {
        guard let status else { return }
        defer { pointee.ReleaseStatus(status) }
        let text = pointee.GetErrorMessage(status).map { String(cString: $0) } ?? "it does not say why"
        // On one line and without a full stop.
        let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        throw failure(String(words.reversed().drop { $0 == "." }.reversed()))
    }

    /// What a function of onnxruntime makes.
    func made(
        _ release: @escaping Handle.Release, _ failure: (String) -> PocketVLError,
        _ make: (UnsafeMutablePointer<OpaquePointer?>) -> OrtStatusPtr?
    ) throws(PocketVLError) -> Handle {
        var pointer: OpaquePointer?
        try check(make(&pointer), failure)
        guard let pointer else { throw failure("it made nothing") }
        return Handle(pointer, release)
    }
}
