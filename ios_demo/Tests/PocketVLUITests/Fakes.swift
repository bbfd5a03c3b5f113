import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

let int4 = InstalledBundle(folder: URL(fileURLWithPath: "/bundles/int4"), bytes: 1_650_000_000)
let small = InstalledBundle(folder: URL(fileURLWithPath: "/bundles/int4-small"), bytes: 1_258_000_000)
let roomy = Memory(available: 4_000_000_000, total: 8_000_000_000, process: 200_000_000)
let cool = Thermal(state: .nominal, isLowPower: false)

func photo(_ name: String) -> Photo {
    Photo(file: "\(name).heic", name: name, size: PixelSize(height: 480, width: 640))
}

func finished(
    _ text: String, _ end: StopReason = .stop, isKept: Bool = true, boxes: [Box] = []
) -> FinishedAnswer {
    FinishedAnswer(text: text, boxes: boxes, statistics: Statistics(), end: end, notes: [], isKept: isKept)
}

/// Waits until something holds that other tasks bring about; fails the test where that does not come.
@MainActor
func until(_ what: String, _ condition: @MainActor () -> Bool) async {
    let deadline = Date().addingTimeInterval(60)
    while !condition() {
        if Date() > deadline {
            Issue.record("waited in vain until \(what)")
            return
        }
        try? await Task.sleep(nanoseconds: 1_000_000)
    }
}

/// Lets everything run that can.
@MainActor
func settle() async {
    for _ in 0..<20 {
        await Task.yield()
        try? await Task.sleep(nanoseconds: 500_000)
    }
}

/// What was called, in order.
final class Log: @unchecked Sendable {
    private let lock = NSLock()
    private var held: [String] = []

    var lines: [String] { lock.withLock { held } }

    func add(_ line: String) { lock.withLock { held.append(line) } }
}

/// A value that fakes and tests share.
final class Shared<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var held: Value

    init(_ value: Value) { held = value }

    var value: Value {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }
}

struct FakeMemory: MemoryReader {
    let now = Shared(roomy)
    func read() -> Memory { now.value }
}

struct FakeThermal: ThermalReader {
    let now = Shared(cool)
    func read() -> Thermal { now.value }
}

/// Knows the photos named in its list.
struct FakePhotos: PhotoReader {
    let names: [String]

    func read(_ file: String) async throws -> Photo {
        guard let name = names.first(where: { file == "\($0).heic" }) else {
            throw PocketVLError.image("\(file) is not there any more.")
        }
        return photo(name)
    }

    func open(_ photo: Photo) -> any ImageSource {
        guard let image = try? RgbImage(width: 1, height: 1, pixels: [1, 2, 3]) else { fatalError("a sound image") }
        return image
    }
}

/// Loads models of which the tests hold the strings.
final class FakeSource: ModelSource, @unchecked Sendable {
    let log = Log()
    let models = Shared<[FakeModel]>([])
    let failure = Shared<PocketVLError?>(nil)
    /// Awaited after the first progress of a verification.
    let duringVerify = Shared<(@Sendable () async -> Void)?>(nil)
    let manifest: Manifest
    let engine: Engine

    init(manifest: Manifest, engine: Engine = FakeEngine.make()) {
        self.manifest = manifest
        self.engine = engine
    }

    func inspect(_ folder: URL) async throws -> Manifest { manifest }

    func verify(
        _ folder: URL, always: Bool, onProgress: @escaping @Sendable (Int, Int) -> Void
    ) async throws {
        log.add("verify \(folder.lastPathComponent)\(always ? " whole" : "")")
        onProgress(50, 100)
        await duringVerify.value?()
        try Task.checkCancellation()
    }

    func load(
        _ folder: URL, isFirst: Bool, onPhase: @escaping @Sendable (LoadPhase) -> Void
    ) async throws -> any LoadedModel {
        log.add("load \(folder.lastPathComponent)")
        onPhase(.compiling)
        onPhase(.loading)
        if let failure = failure.value { throw failure }
        let model = FakeModel(manifest: manifest, engine: engine, log: log)
        models.value.append(model)
        return model
    }
}

final class FakeModel: LoadedModel {
    let manifest: Manifest
    let engine: Engine
    let log: Log
    let chats = Shared<[FakeChat]>([])
    let lives = Shared<[FakeLive]>([])

    init(manifest: Manifest, engine: Engine, log: Log) {
        self.manifest = manifest
        self.engine = engine
        self.log = log
    }

    func chat() async throws -> any ModelChat { add() }

    func restore(_ file: URL) async throws -> any ModelChat {
        let text = try String(contentsOf: file, encoding: .utf8)
        log.add("restore \(text)")
        if text == "damaged" { throw PocketVLError.conversation("The saved chat is damaged; start a new one.") }
        return add()
    }

    func live() async throws -> any LiveChat {
        let live = FakeLive(log: log)
        lives.value.append(live)
        return live
    }

    func release(_ what: Release) async { log.add("release \(what)") }

    func close() async throws { log.add("close") }

    private func add() -> FakeChat {
        let chat = FakeChat(log: log)
        chats.value.append(chat)
        return chat
    }
}

/// Events of the answer in progress come from the test.
final class FakeAnswers: Sendable {
    private let running = Shared<AsyncStream<AnswerEvent>.Continuation?>(nil)

    func begin() -> AsyncStream<AnswerEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: AnswerEvent.self)
        running.value = continuation
        return stream
    }

    var isRunning: Bool { running.value != nil }

    func say(_ events: AnswerEvent...) {
        for event in events {
            running.value?.yield(event)
            if case .piece = event { continue }
            running.value?.finish()
            running.value = nil
        }
    }
}

final class FakeChat: ModelChat {
    let answers = FakeAnswers()
    let log: Log

    init(log: Log) { self.log = log }

    func ask(_ question: Question) -> AsyncStream<AnswerEvent> {
        log.add("ask \(question.text) \(question.photos.map(\.name))")
        return answers.begin()
    }

    func askInstead(_ question: Question) -> AsyncStream<AnswerEvent> {
        log.add("ask instead \(question.text)")
        return answers.begin()
    }

    func regenerate() -> AsyncStream<AnswerEvent> {
        log.add("regenerate")
        return answers.begin()
    }

    /// As the core: a stopped answer is completed.
    func stop() {
        log.add("stop")
        answers.say(.completed(finished("stopped", .cancelled)))
    }

    func save(to file: URL) async throws {
        log.add("save")
        try Data("chat".utf8).write(to: file)
    }
}

final class FakeLive: LiveChat {
    let answers = FakeAnswers()
    let log: Log
    private let seen = Shared<RgbImage?>(nil)

    init(log: Log) { self.log = log }

    func see(_ frame: RgbImage) async throws { seen.value = frame }

    func ask(_ question: String) -> AsyncStream<AnswerEvent> {
        log.add("ask \(question) of \(seen.value?.pixels.first ?? 0)")
        return answers.begin()
    }

    func stop() { answers.say(.completed(finished("", .cancelled, isKept: false))) }

    func close() async { log.add("close live") }
}

/// Does nothing, and counts.
final class FakeEngine: VisionEngine, TextEngine, @unchecked Sendable {
    let cache = KVCache()
    let log = Log()

    static func make() -> Engine {
        let engine = FakeEngine()
        return Engine(vision: engine, text: engine)
    }

    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
        log.add("encode \(patches.rows)")
        return Matrix(rows: patches.rows / 4, columns: 8)
    }

    func release() { log.add("release") }

    func decode(embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix) throws(PocketVLError) {
        log.add("decode \(embeddings.rows) at \(cachePosition)")
        if hidden.rows != embeddings.rows { throw .engine("hidden has \(hidden.rows) rows.") }
    }

    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) { log.add("logits \(hidden.rows)") }

    func close() { log.add("close") }
}

/// A folder that is removed with it.
final class TemporaryFolder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("pocketvl-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ path: String, _ text: String) throws {
        let file = url.appendingPathComponent(path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: url.appendingPathComponent(path).path)
    }
}
