import Foundation
import Observation
import PocketVL

/// All that the benchmark screen shows. `step` is nil where nothing runs.
public struct BenchmarkState: Sendable, Equatable {
    public internal(set) var step: Step?
    public internal(set) var report: BenchmarkReport?
    public internal(set) var message: String?

    public var isRunning: Bool { step != nil }
    public var canShare: Bool { report != nil && !isRunning }
}

/// Times the loaded bundle and makes the report.
@MainActor
@Observable
public final class BenchmarkViewModel {
    public private(set) var state = BenchmarkState()

    @ObservationIgnored private let holder: ModelHolder
    @ObservationIgnored private let device: Device
    @ObservationIgnored private let memory: any MemoryReader
    @ObservationIgnored private let thermal: any ThermalReader
    @ObservationIgnored private let settings: BenchmarkSettings
    @ObservationIgnored private let clock: @Sendable () -> Double
    @ObservationIgnored private var running: Task<Void, Never>?

    /// `clock`: seconds that never go back.
    public init(
        holder: ModelHolder, device: Device, memory: any MemoryReader, thermal: any ThermalReader,
        settings: BenchmarkSettings = BenchmarkSettings(),
        clock: @escaping @Sendable () -> Double = { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }
    ) {
        self.holder = holder
        self.device = device
        self.memory = memory
        self.thermal = thermal
        self.settings = settings
        self.clock = clock
    }

    public var canStart: Bool { holder.state.isReady && !state.isRunning }

    public func start() {
        guard canStart else { return }
        state.step = Step(stage: .vision, done: 0, total: 1)
        state.message = nil
        running = Task {
            do {
                state.report = try await holder.use { try await self.time($0) }
            } catch is CancellationError {
                // by the user
            } catch {
                state.message = errorText(error)
            }
            state.step = nil
        }
    }

    /// Ends it after the run in progress; the last report stays.
    public func cancel() { running?.cancel() }

    private func time(_ model: any LoadedModel) async throws -> BenchmarkReport {
        let before = Reading(memory: memory.read(), thermal: thermal.read())
        let fitting = settings.fitting(model.manifest.maxContext)
        let timer = StageTimer(manifest: model.manifest, engine: model.engine, clock: clock)
        let timings = try await Self.run(timer, fitting) { step in
            Task { @MainActor in if self.state.isRunning { self.state.step = step } }
        }
        return BenchmarkReport(
            device: device, manifest: model.manifest, settings: fitting, timings: timings, before: before,
            after: Reading(memory: memory.read(), thermal: thermal.read()))
    }

    /// Off the main thread.
    private nonisolated static func run(
        _ timer: StageTimer, _ settings: BenchmarkSettings, _ onStep: @escaping @Sendable (Step) -> Void
    ) async throws -> Timings {
        try timer.run(settings) { step in
            try Task.checkCancellation()
            onStep(step)
        }
    }
}
