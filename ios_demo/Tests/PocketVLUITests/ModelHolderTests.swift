import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@MainActor
@Suite struct ModelHolderTests {
    private let folder: TemporaryFolder
    private let source: FakeSource
    private let memory = FakeMemory()
    private let holder: ModelHolder
    private let firstLoads: FirstLoads

    init() throws {
        folder = try TemporaryFolder()
        source = FakeSource(manifest: try manifest())
        firstLoads = FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "18.2")
        holder = ModelHolder(source: source, memory: memory, firstLoads: firstLoads)
    }

    @Test("a bundle is verified, loaded and ready; only its first load takes long")
    func loads() async throws {
        #expect(holder.state(of: int4) == .downloaded(int4))
        let manifest = try manifest()
        #expect(firstLoads.isFirst(manifest))
        await holder.choose(int4).value
        #expect(holder.state == .ready(int4))
        #expect(source.log.lines == ["verify int4", "load int4"])
        #expect(!firstLoads.isFirst(manifest))
        let updated = FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "18.3")
        #expect(updated.isFirst(manifest))
        #expect(!updated.isFirst(try PocketVLUITests.manifest(target: "onnx")))
        #expect(holder.state(of: small) == .downloaded(small))
    }

    @Test("progress of the verification is shown")
    func progress() async {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        source.duringVerify.value = { for await _ in gate {} }
        let task = holder.choose(int4)
        await until("half is verified") { holder.state == .verifying(int4, done: 50, total: 100) }
        open.finish()
        await task.value
        #expect(holder.state == .ready(int4))
    }

    @Test("too little memory waits for the user")
    func lowMemory() async {
        memory.now.value = Memory(available: 1_000_000_000, total: 8_000_000_000, process: 2_000_000_000)
        let task = holder.choose(int4)
        await until("it asks") { if case .lowMemory(_, _, _, .tight) = holder.state { true } else { false } }
        #expect(!source.log.lines.contains("load int4"))
        holder.loadAnyway()
        await task.value
        #expect(holder.state == .ready(int4))
    }

    @Test("another choice ends the wait for memory")
    func otherChoice() async {
        memory.now.value = Memory(available: 1_000_000_000, total: 8_000_000_000, process: 2_000_000_000)
        holder.choose(int4)
        await until("it asks") { if case .lowMemory = holder.state { true } else { false } }
        memory.now.value = roomy
        await holder.choose(small).value
        #expect(holder.state == .ready(small))
        #expect(!source.log.lines.contains("load int4"))
    }

    @Test("a load that is cancelled leaves the bundle on the device")
    func cancel() async {
        memory.now.value = Memory(available: 1, total: 8_000_000_000, process: 0)
        let task = holder.choose(int4)
        await until("it asks") { if case .lowMemory(_, _, _, .tooLarge) = holder.state { true } else { false } }
        holder.cancelLoad()
        await task.value
        await settle()
        #expect(holder.state == .downloaded(int4))
        memory.now.value = roomy
        await holder.choose(int4).value
        #expect(holder.state == .ready(int4))
    }

    @Test("a failure is told, and the bundle can be chosen again")
    func failure() async {
        source.failure.value = .engine("The package cannot be loaded; export it again.")
        await holder.choose(int4).value
        #expect(holder.state == .failed(int4, message: "The package cannot be loaded; export it again."))
        source.failure.value = nil
        await holder.choose(int4).value
        #expect(holder.state == .ready(int4))
    }

    @Test("one user of the model at a time; without a model there is none")
    func use() async throws {
        await #expect(throws: PocketVLError.self) { try await holder.use { _ in } }
        await holder.choose(int4).value
        let log = Log()
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            try await holder.use { _ in
                log.add("first")
                for await _ in gate {}
                log.add("first ends")
            }
        }
        await until("the first is in") { log.lines == ["first"] }
        let cancelled = Task { try await holder.use { _ in log.add("never") } }
        let second = Task { try await holder.use { _ in log.add("second") } }
        await settle()
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        open.finish()
        try await first.value
        try await second.value
        #expect(log.lines == ["first", "first ends", "second"])
    }

    @Test("what a memory warning wants is given back at once, or after the answer in progress")
    func trim() async throws {
        await holder.trim(.critical)  // without a model, nothing
        await holder.choose(int4).value
        await holder.trim(.enteredBackground)
        #expect(source.log.lines.last == "release vision")
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let answer = Task { try await holder.use { _ in for await _ in gate {} } }
        await settle()
        await holder.trim(.critical)
        #expect(source.log.lines.filter { $0.hasPrefix("release") } == ["release vision", "release vision"])
        open.finish()
        try await answer.value
        #expect(source.log.lines.last == "release weights")
    }

    @Test("forgetting closes the model")
    func forget() async {
        await holder.choose(int4).value
        await holder.forget().value
        #expect(holder.state == .notChosen && source.log.lines.last == "close")
    }
}
