import Foundation
import Observation
import PocketVL

/// Answers one question about what the camera sees, again whenever something else is held still before it.
///
/// One answer is made at a time, about the newest frame; the old answer stays until the new one begins. How long to
/// rest follows from the device's warmth.
@MainActor
@Observable
public final class LiveViewModel: ModelUser {
    public private(set) var state = LiveState()
    /// What the camera sees, as the model gets it; nil while it is off.
    public private(set) var frame: RgbImage?

    @ObservationIgnored private let holder: ModelHolder
    @ObservationIgnored private let camera: any FrameCamera
    @ObservationIgnored private let thermal: any ThermalReader
    @ObservationIgnored private let clock: @Sendable () -> Double
    @ObservationIgnored private var follower = WarmthFollower()
    @ObservationIgnored private var gate = SteadyGate()
    @ObservationIgnored private var running: Task<Void, Never>?
    @ObservationIgnored private var answering: Task<Void, Never>?
    @ObservationIgnored private var lastBegan: Double?
    @ObservationIgnored private var live: (any LiveChat)?

    /// `clock`: seconds that never go back.
    public init(
        holder: ModelHolder, camera: any FrameCamera, thermal: any ThermalReader,
        clock: @escaping @Sendable () -> Double = { ProcessInfo.processInfo.systemUptime }
    ) {
        self.holder = holder
        self.camera = camera
        self.thermal = thermal
        self.clock = clock
        holder.add(self)
    }

    public func type(_ question: String) {
        if question != state.question { gate.forget() }
        state.question = question
    }

    /// The camera may be used from here on.
    public func start() {
        guard state.canStart else { return }
        state.phase = .waiting
        state.message = nil
        let before = running
        running = Task {
            await before?.value
            do {
                try await holder.use { try await self.watch($0) }
            } catch is CancellationError {
                // by the user
            } catch {  // a camera or a runtime that fails ends it, not the app
                state.message = errorText(error)
            }
            frame = nil
            state.phase = .off
        }
    }

    /// By the user, because the app leaves the screen, or because the model is closed.
    public func stop() {
        running?.cancel()
        live?.stop()
    }

    public func stopAnswer() { stop() }

    public func modelReady(_ model: any LoadedModel, _ bundle: InstalledBundle) async { gate.forget() }

    public func modelClosing() async {}

    private func watch(_ model: any LoadedModel) async throws {
        try Task.checkCancellation()
        let live = try await model.live()
        self.live = live
        let outcome: Result<Void, any Error>
        do {
            for try await frame in camera.frames() {
                look(live, frame, await Self.thumbnail(frame))
                if Task.isCancelled { break }
            }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        live.stop()
        await answering?.value
        answering = nil
        self.live = nil
        await live.close()
        try outcome.get()
    }

    private nonisolated static func thumbnail(_ frame: RgbImage) async -> Thumbnail { Thumbnail(frame) }

    private func look(_ live: any LiveChat, _ image: RgbImage, _ small: Thumbnail) {
        frame = image
        let sight = gate.look(small)
        let now = clock()
        let warmth = follower.observe(thermal.read(), now: now)
        if state.warmth != warmth { state.warmth = warmth }
        if answering != nil || Task.isCancelled { return }
        let phase = phase(sight, warmth, now)
        if state.phase != phase { state.phase = phase }
        if phase != .answering { return }
        gate.asked(small)
        lastBegan = now
        state.isOld = !state.answer.isEmpty
        let question = state.question.trimmingCharacters(in: .whitespacesAndNewlines)
        answering = Task {
            await answer(live, image, question)
            answering = nil
        }
    }

    private func phase(_ sight: Sight, _ warmth: Warmth, _ now: Double) -> LivePhase {
        guard let interval = ThermalPolicy.frameInterval(warmth) else { return .tooHot }
        switch sight {
        case .moving: return .moving
        case .same: return .same
        case .new:
            if let lastBegan, now - lastBegan < interval { return .resting }
            return .answering
        }
    }

    private func answer(_ live: any LiveChat, _ frame: RgbImage, _ question: String) async {
        do {
            try await live.see(frame)
        } catch {
            state.message = errorText(error)
            return
        }
        for await event in live.ask(question) {
            switch event {
            case .piece(let text):
                state.answer = state.isOld ? text : state.answer + text
                state.isOld = false
            case .completed(let answer):
                state.isOld = false
                state.statistics = answer.statistics
                state.message = nil
            case .failed(let message): state.message = message
            }
        }
    }
}
