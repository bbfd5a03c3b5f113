import Foundation

/// A bundle with its engine, and the one thread on which its answers are made.
///
/// Several chats share a model, one answering at a time: a second question meanwhile fails with a
/// ``PocketVLError/usage(_:)``. For any task. A closed model refuses everything but ``close()``.
public final class Model: Sendable {
    private let parts: ModelParts
    private let gate: ModelGate
    private let threads = ModelThreads()

    init(_ bundle: ModelBundle, _ engine: Engine) throws(PocketVLError) {
        do {
            parts = try ModelParts(bundle, engine)
        } catch {
            engine.close()
            throw error
        }
        gate = ModelGate(engine.text.cache)
    }

    /// What the bundle says of itself: geometry, buckets, context, sizes, provenance.
    public var manifest: Manifest { parts.manifest }

    /// A new conversation. Throws ``PocketVLError/usage(_:)``, ``PocketVLError/prompt(_:)``.
    public func chat(_ options: ChatOptions = ChatOptions()) throws(PocketVLError) -> ChatSession {
        try gate.checkOpen()
        let (turns, start) = try SessionTurns.begin(parts, options)
        return ChatSession(turns, start: start, said: start, gate, threads)
    }

    /// The conversation that ``ChatSession/save(to:)`` wrote, here, in Python or in Kotlin, with a bundle of the same
    /// files. What was saved of keys and values takes the place of what the engine holds; the rest is fed with the next
    /// question.
    ///
    /// Throws ``PocketVLError/conversation(_:)`` for a damaged file or another bundle's; ``PocketVLError/usage(_:)``
    /// while an answer is made.
    public func loadChat(_ file: URL, keepVision: Bool = false) async throws(PocketVLError) -> ChatSession {
        let claim = try gate.claim()
        defer { claim.release() }
        let parts = parts
        let (turns, said) = try await threads.answers.run { () throws(PocketVLError) in
            try SessionTurns.restore(file, parts, keepVision: keepVision)
        }
        return ChatSession(turns, start: said.start, said: said, gate, threads)
    }

    /// Frees the vision encoder's memory until the next image that is not cached, for a system that is short of it.
    /// Waits for the image that is being encoded.
    public func releaseVision() async throws(PocketVLError) {
        try gate.checkOpen()
        let vision = parts.engine.vision
        try await threads.images.run { () throws(PocketVLError) in vision.release() }
    }

    /// Frees the decoder's memory, keys and values with it; the next question loads it again and feeds its whole
    /// conversation. Throws ``PocketVLError/usage(_:)`` while an answer is made.
    public func releaseText() async throws(PocketVLError) {
        let claim = try gate.claim()
        defer { claim.release() }
        let text = parts.engine.text
        try await threads.answers.run { () throws(PocketVLError) in text.close() }
    }

    /// Frees the memory, for good; a second time does nothing. Throws ``PocketVLError/usage(_:)`` while a chat of this
    /// model is answering, or an image is being encoded.
    public func close() throws(PocketVLError) {
        try gate.close { parts.engine.close() }
    }
}

/// The threads of one model: on one answers are made, on the other images are read and encoded meanwhile.
struct ModelThreads: Sendable {
    let answers = WorkerThread(name: "pocketvl answers")
    let images = WorkerThread(name: "pocketvl images")
}
