import Foundation
import PocketVL

/// What loading is at.
public enum LoadPhase: Sendable, Equatable {
    /// Core ML packages become the form that the system loads, and are fitted to this device.
    case compiling
    case loading
}

/// Opens bundles. Throws ``PocketVL/PocketVLError``.
public protocol ModelSource: Sendable {
    /// Checks all that can be checked without reading the weights.
    func inspect(_ folder: URL) async throws -> Manifest

    /// Compares hashes, those found equal before left out unless `always`. `onProgress` gets bytes, from any thread.
    func verify(
        _ folder: URL, always: Bool, onProgress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws

    /// Returns when the decoder is in memory. `isFirst`: everything that the system prepares once for this device is
    /// prepared now. `onPhase` is called from any thread.
    func load(
        _ folder: URL, isFirst: Bool, onPhase: @escaping @Sendable (LoadPhase) -> Void
    ) async throws -> any LoadedModel
}

/// A bundle that is ready to answer. One conversation answers at a time.
public protocol LoadedModel: Sendable {
    var manifest: Manifest { get }

    /// For timing its stages. Whoever uses it claims its KV cache.
    var engine: Engine { get }

    func chat() async throws -> any ModelChat

    /// The conversation that ``ModelChat/save(to:)`` wrote. Throws ``PocketVL/PocketVLError/conversation(_:)``.
    func restore(_ file: URL) async throws -> any ModelChat

    func live() async throws -> any LiveChat

    /// Not while an answer is made, except ``Release/vision``.
    func release(_ what: Release) async

    /// Throws ``PocketVL/PocketVLError/usage(_:)`` while an answer is made.
    func close() async throws
}

/// One conversation. Whoever drops a stream stops the answer and forgets its turn.
public protocol ModelChat: Sendable {
    func ask(_ question: Question) -> AsyncStream<AnswerEvent>

    /// Takes the last question and its answer back and asks this instead; if that fails, they are as before.
    func askInstead(_ question: Question) -> AsyncStream<AnswerEvent>

    /// The last answer made anew.
    func regenerate() -> AsyncStream<AnswerEvent>

    /// Ends the answer in progress and keeps what was said.
    func stop()

    /// Not while an answer is made. Throws ``PocketVL/PocketVLError/conversation(_:)``.
    func save(to file: URL) async throws
}

/// Answers about what a camera shows, each about the newest frame alone. Streams are as of ``ModelChat``.
///
/// Keeps the vision encoder loaded until it is closed.
public protocol LiveChat: Sendable {
    /// Encodes a frame, which the next question is about; returns when that is done.
    func see(_ frame: RgbImage) async throws

    func ask(_ question: String) -> AsyncStream<AnswerEvent>

    func stop()

    func close() async
}
