import Foundation
import Observation
import PocketVL

/// A part of the app that keeps something of the model, and has to let go of it before the model is closed.
@MainActor
public protocol ModelUser: AnyObject {
    /// Ends an answer in progress soon; does not wait.
    func stopAnswer()

    /// The model was loaded; called before ``ModelState/ready(_:)``.
    func modelReady(_ model: any LoadedModel, _ bundle: InstalledBundle) async

    /// The model is closed after this returns.
    func modelClosing() async
}

/// The app's one model, which all screens share: two would not go into a phone's memory.
@MainActor
@Observable
public final class ModelHolder {
    public private(set) var state = ModelState.notChosen

    @ObservationIgnored private let source: any ModelSource
    @ObservationIgnored private let memory: any MemoryReader
    @ObservationIgnored private let firstLoads: FirstLoads
    @ObservationIgnored private let engine = Turnstile()  // passed by whoever uses the model
    @ObservationIgnored private var users: [any ModelUser] = []
    @ObservationIgnored private var model: (any LoadedModel)?
    @ObservationIgnored private var loading: Task<Void, Never>?
    @ObservationIgnored private var anyway: AsyncStream<Void>.Continuation?
    @ObservationIgnored private var postponed = Release.nothing

    public init(source: any ModelSource, memory: any MemoryReader, firstLoads: FirstLoads) {
        self.source = source
        self.memory = memory
        self.firstLoads = firstLoads
    }

    /// `user` hears of all models loaded from now on.
    public func add(_ user: any ModelUser) { users.append(user) }

    /// Verifies and loads a bundle in place of the one before.
    @discardableResult
    public func choose(_ bundle: InstalledBundle) -> Task<Void, Never> {
        replace { try await self.open(bundle) }
    }

    /// The answer to ``ModelState/lowMemory(_:_:_:_:)``.
    public func loadAnyway() { anyway?.finish() }

    /// Ends a load in progress; the bundle stays where it is.
    public func cancelLoad() {
        guard state.isLoading, let bundle = state.bundle else { return }
        state = .downloaded(bundle)
        // What native code had begun is finished first.
        replace { self.state = self.model == nil ? .downloaded(bundle) : .ready(bundle) }
    }

    /// Closes the model, so that its files may be deleted.
    @discardableResult
    public func forget() -> Task<Void, Never> {
        replace {
            try await self.closeModel()
            self.state = .notChosen
        }
    }

    /// What the list of bundles shows beside one of them.
    public func state(of bundle: InstalledBundle) -> ModelState {
        state.bundle == bundle ? state : .downloaded(bundle)
    }

    /// Runs `block` when nobody else uses the model.
    ///
    /// Throws ``PocketVL/PocketVLError/usage(_:)`` where no bundle is loaded, and what `block` throws.
    public func use<Value>(_ block: @MainActor (any LoadedModel) async throws -> Value) async throws -> Value {
        try await engine.pass {
            guard let loaded = model else { throw PocketVLError.usage("No bundle is loaded; choose one first.") }
            do {
                let value = try await block(loaded)
                await releasePostponed(loaded)
                return value
            } catch {
                await releasePostponed(loaded)
                throw error
            }
        }
    }

    /// For the system's memory warnings and for when the app leaves the screen.
    public func trim(_ event: MemoryEvent) async {
        let wanted = MemoryPolicy.release(on: event, available: memory.read().available)
        guard let loaded = model, wanted != .nothing else { return }
        if engine.tryEnter() {
            await loaded.release(wanted)
            engine.leave()
        } else {  // what an answer is made with stays until it is made
            postponed = max(postponed, wanted)
            await loaded.release(.vision)
        }
    }

    @discardableResult
    private func replace(_ block: @escaping @MainActor () async throws -> Void) -> Task<Void, Never> {
        let before = loading
        before?.cancel()
        let task = Task {
            await before?.value
            if Task.isCancelled { return }
            // What is cancelled was replaced by a later choice, which tells of itself.
            try? await block()
        }
        loading = task
        return task
    }

    private func open(_ bundle: InstalledBundle) async throws {
        do {
            state = .verifying(bundle, done: 0, total: bundle.bytes)
            try await closeModel()
            try await verify(bundle)
            try Task.checkCancellation()
            let manifest = try await source.inspect(bundle.folder)
            try await checkMemory(bundle, manifest)
            try Task.checkCancellation()
            let isFirst = firstLoads.isFirst(manifest)
            state = .loading(bundle, isFirst: isFirst)
            try await engine.passAnyway {
                try await self.load(bundle, isFirst: isFirst)
                self.firstLoads.remember(manifest)
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            state = .failed(bundle, message: errorText(error))
        }
    }

    private func verify(_ bundle: InstalledBundle) async throws {
        let (updates, feed) = AsyncStream.makeStream(of: Transfer.self, bufferingPolicy: .bufferingNewest(1))
        let listener = Task {
            for await update in updates {
                guard case .verifying(bundle, _, _) = state else { continue }
                state = .verifying(bundle, done: update.done, total: update.total ?? bundle.bytes)
            }
        }
        let outcome: Result<Void, any Error>
        do {
            try await source.verify(bundle.folder, always: false) { done, total in
                feed.yield(Transfer(done: done, total: total))
            }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        feed.finish()
        await listener.value
        try outcome.get()
    }

    /// Waits for the user where the bundle does not fit.
    private func checkMemory(_ bundle: InstalledBundle, _ manifest: Manifest) async throws {
        let (need, free) = (MemoryPolicy.need(manifest), memory.read())
        let verdict = MemoryPolicy.verdict(need, free)
        if verdict == .fits { return }
        let (answer, continuation) = AsyncStream.makeStream(of: Void.self)
        anyway = continuation
        state = .lowMemory(bundle, need, free, verdict)
        for await _ in answer {}
        anyway = nil
    }

    private func load(_ bundle: InstalledBundle, isFirst: Bool) async throws {
        let (phases, feed) = AsyncStream.makeStream(of: LoadPhase.self)
        let listener = Task {
            for await phase in phases where state.isLoading {
                state = phase == .compiling ? .compiling(bundle) : .loading(bundle, isFirst: isFirst)
            }
        }
        let outcome: Result<any LoadedModel, any Error>
        do {
            outcome = .success(try await source.load(bundle.folder, isFirst: isFirst) { feed.yield($0) })
        } catch {
            outcome = .failure(error)
        }
        feed.finish()
        await listener.value
        let loaded = try outcome.get()
        model = loaded
        postponed = .nothing
        for user in users { await user.modelReady(loaded, bundle) }
        state = .ready(bundle)
    }

    private func closeModel() async throws {
        for user in users { user.stopAnswer() }
        try await engine.passAnyway {
            guard let loaded = self.model else { return }
            for user in self.users { await user.modelClosing() }
            self.model = nil
            try await loaded.close()
        }
    }

    private func releasePostponed(_ loaded: any LoadedModel) async {
        let wanted = postponed
        postponed = .nothing
        if wanted != .nothing { await loaded.release(wanted) }
    }
}
