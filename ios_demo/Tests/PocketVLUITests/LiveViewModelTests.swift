import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

/// Frames come from the test.
private final class FakeCamera: FrameCamera {
    let running = Shared<AsyncThrowingStream<RgbImage, any Error>.Continuation?>(nil)

    func frames() -> AsyncThrowingStream<RgbImage, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: RgbImage.self, throwing: (any Error).self, bufferingPolicy: .bufferingNewest(1))
        running.value = continuation
        continuation.onTermination = { [running] _ in running.value = nil }
        return stream
    }
}

@MainActor
@Suite struct LiveViewModelTests {
    private let folder: TemporaryFolder
    private let source: FakeSource
    private let camera = FakeCamera()
    private let thermal = FakeThermal()
    private let time = Shared(100.0)
    private let holder: ModelHolder
    private let view: LiveViewModel

    init() throws {
        folder = try TemporaryFolder()
        source = FakeSource(manifest: try manifest())
        holder = ModelHolder(
            source: source, memory: FakeMemory(),
            firstLoads: FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "18.2"))
        view = LiveViewModel(holder: holder, camera: camera, thermal: thermal) { [time] in time.value }
    }

    private func start() async {
        await holder.choose(int4).value
        view.type("What is it?")
        view.start()
        await until("the camera runs") { camera.running.value != nil }
    }

    /// Three frames of one level, which is held still.
    private func show(_ level: UInt8) async throws {
        for _ in 0..<3 {
            let frame = try RgbImage(width: 16, height: 16, pixels: Array(repeating: level, count: 768))
            camera.running.value?.yield(frame)
            await until("the frame is seen") { view.frame == frame }
            await settle()
        }
    }

    private func live() throws -> FakeLive { try #require(source.models.value.last?.lives.value.last) }

    private var asked: [String] { source.log.lines.filter { $0.hasPrefix("ask") } }

    @Test("something new that is held still is asked about once")
    func once() async throws {
        await start()
        try await show(10)
        #expect(asked == ["ask What is it? of 10"] && view.state.phase == .answering)
        try live().answers.say(.piece("A "), .piece("cat"), .completed(finished("A cat")))
        await until("it is answered") { view.state.answer == "A cat" && view.state.statistics != nil }
        time.value = 110
        try await show(10)
        #expect(view.state.phase == .same && asked.count == 1)
        view.stop()
        await until("it is off") { view.state.phase == .off }
        #expect(view.frame == nil && source.log.lines.last == "close live")
    }

    @Test("one answer is made at a time, and the old one stays until the new begins")
    func oneInFlight() async throws {
        await start()
        try await show(10)
        try await show(100)
        #expect(asked.count == 1)
        try live().answers.say(.piece("One"), .completed(finished("One")))
        await until("it is answered") { view.state.statistics != nil }
        await settle()
        try await show(100)
        #expect(asked.count == 1 && view.state.phase == .resting)  // a second has not gone by
        time.value = 101
        try await show(100)
        #expect(asked.last == "ask What is it? of 100" && view.state.isOld && view.state.answer == "One")
        try live().answers.say(.piece("Two"))
        await until("the new one begins") { view.state.answer == "Two" && !view.state.isOld }
        view.stop()
        await until("it is off") { view.state.phase == .off }
    }

    @Test("a device that is too hot gets no answers until it has cooled down")
    func tooHot() async throws {
        thermal.now.value = Thermal(state: .critical, isLowPower: false)
        await start()
        try await show(10)
        #expect(view.state.phase == .tooHot && asked.isEmpty)
        thermal.now.value = cool
        for _ in 0..<2 {
            time.value += 31
            try await show(10)
        }
        #expect(asked.count == 1)
        view.stop()
        await until("it is off") { view.state.phase == .off }
    }

    @Test("a camera that fails ends it and says why")
    func cameraFails() async throws {
        await start()
        camera.running.value?.finish(throwing: PocketVLError.image("The camera is used by another app."))
        await until("it is off") { view.state.phase == .off }
        #expect(view.state.message == "The camera is used by another app.")
        #expect(source.log.lines.last == "close live")
    }

    @Test("another bundle ends it before the model is closed")
    func otherBundle() async throws {
        await start()
        try await show(10)
        await holder.choose(small).value
        #expect(holder.state == .ready(small) && view.state.phase == .off)
        let lines = source.log.lines
        #expect((lines.firstIndex(of: "close live") ?? 99) < (lines.firstIndex(of: "close") ?? -1), "\(lines)")
    }

    @Test("without a bundle it says so")
    func noBundle() async {
        view.type("What?")
        view.start()
        await until("it is off") { view.state.phase == .off }
        #expect(view.state.message == "No bundle is loaded; choose one first.")
    }
}
