import Foundation
import Observation
import PocketVL

/// The bundles on this device, and how to get more.
@MainActor
@Observable
public final class BundlesViewModel {
    public private(set) var state = BundlesState()

    @ObservationIgnored private let store: any BundleStore
    @ObservationIgnored private let downloader: (any BundleDownloader)?
    @ObservationIgnored private let source: any ModelSource
    @ObservationIgnored private let saved: SavedChats
    @ObservationIgnored private let holder: ModelHolder
    @ObservationIgnored private var working: Task<Void, Never>?

    /// `downloader`: nil in an app that may not use the network.
    public init(
        holder: ModelHolder, source: any ModelSource, store: any BundleStore, downloader: (any BundleDownloader)?,
        saved: SavedChats
    ) {
        self.holder = holder
        self.source = source
        self.store = store
        self.downloader = downloader
        self.saved = saved
        state.canDownload = downloader != nil
    }

    /// Looks again at what is there: for when the screen comes into view.
    public func refresh() async { await guarded { try await self.list() } }

    public func choose(_ bundle: InstalledBundle) {
        if case .failed = holder.state(of: bundle) {
            holder.choose(bundle)  // once more
        } else if bundle != holder.state.bundle || holder.state == .downloaded(bundle) {
            holder.choose(bundle)
        }
    }

    /// The bundle of this name, if it is still there: after the app was ended and started again.
    public func chooseNamed(_ name: String) async {
        await refresh()
        if let bundle = state.bundles.first(where: { $0.name == name }) { choose(bundle) }
    }

    /// From a folder that the user chose. `whenDone` is called once, whatever comes of it.
    public func copy(_ folder: URL, whenDone: @escaping @MainActor () -> Void = {}) {
        if state.work != nil { return whenDone() }
        transfer({ .copying($0) }, whenDone) { self.store.copy(folder) }
    }

    public func download(_ address: String) {
        guard let downloader, !address.allSatisfy(\.isWhitespace) else { return }
        transfer({ .downloading($0) }, {}) { downloader.download(address) }
    }

    /// Compares all hashes, those found equal before, too.
    public func check(_ bundle: InstalledBundle) {
        work(.checking(bundle, done: 0, total: bundle.bytes)) {
            self.state.sound.remove(bundle.id)
            let (updates, feed) = AsyncStream.makeStream(of: Transfer.self, bufferingPolicy: .bufferingNewest(1))
            let listener = Task {
                for await update in updates {
                    self.state.work = .checking(bundle, done: update.done, total: update.total ?? bundle.bytes)
                }
            }
            let outcome: Result<Void, any Error>
            do {
                try await self.source.verify(bundle.folder, always: true) {
                    feed.yield(Transfer(done: $0, total: $1))
                }
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            feed.finish()
            await listener.value
            try outcome.get()
            self.state.sound.insert(bundle.id)
        }
    }

    /// The view has asked the user whether it is meant.
    public func delete(_ bundle: InstalledBundle) {
        work(.deleting(bundle)) {
            if self.holder.state.bundle == bundle { await self.holder.forget().value }
            try await self.store.delete(bundle)
            self.saved.delete(bundle)
            try await self.list()
        }
    }

    /// Ends what is in progress. A copy leaves nothing behind; a download goes on from there the next time.
    public func cancel() { working?.cancel() }

    public func messageShown() { state.message = nil }

    /// A folder that could not be chosen.
    public func failed(_ error: any Error) { state.message = errorText(error) }

    private func transfer(
        _ kind: @escaping (Transfer) -> Work, _ whenDone: @escaping @MainActor () -> Void,
        _ start: @escaping () -> AsyncThrowingStream<Transfer, any Error>
    ) {
        work(kind(Transfer(done: 0, total: nil))) {
            defer { whenDone() }
            for try await transfer in start() { self.state.work = kind(transfer) }
            try Task.checkCancellation()
            try await self.list()
        }
    }

    private func work(_ begin: Work, _ block: @escaping @MainActor () async throws -> Void) {
        if state.work != nil { return }
        state.work = begin
        state.message = nil
        working = Task {
            await guarded(block)
            state.work = nil
        }
    }

    private func list() async throws {
        let bundles = try await store.list()
        state.freeBytes = await store.freeBytes()
        state.bundles = bundles
    }

    private func guarded(_ block: @MainActor () async throws -> Void) async {
        do {
            try await block()
        } catch is CancellationError {
            // by the user
        } catch {
            state.message = errorText(error)
        }
    }
}
