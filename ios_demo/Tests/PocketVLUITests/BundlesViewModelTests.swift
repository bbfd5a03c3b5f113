import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

/// Transfers come from the test.
private final class FakeDownloader: BundleDownloader {
    let running = Shared<AsyncThrowingStream<Transfer, any Error>.Continuation?>(nil)
    let cancelled = Shared(false)

    func download(_ address: String) -> AsyncThrowingStream<Transfer, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Transfer.self, throwing: (any Error).self)
        running.value = continuation
        continuation.onTermination = { [cancelled] reason in
            if case .cancelled = reason { cancelled.value = true }
        }
        return stream
    }
}

@MainActor
@Suite struct BundlesViewModelTests {
    private let home: TemporaryFolder
    private let other: TemporaryFolder
    private let source: FakeSource
    private let holder: ModelHolder
    private let downloader = FakeDownloader()
    private let view: BundlesViewModel

    init() throws {
        home = try TemporaryFolder()
        other = try TemporaryFolder()
        source = FakeSource(manifest: try manifest())
        holder = ModelHolder(
            source: source, memory: FakeMemory(),
            firstLoads: FirstLoads(file: other.url.appendingPathComponent("loads"), system: "18.2"))
        view = BundlesViewModel(
            holder: holder, source: source, store: LocalBundles(BundleFolders(folder: home.url)),
            downloader: downloader, saved: SavedChats(folder: other.url.appendingPathComponent("chats")))
    }

    private func idle() async { await until("it is idle") { view.state.work == nil } }

    @Test("a folder is copied, chosen, checked and deleted")
    func whole() async throws {
        try other.write("qwen/manifest.json", "{}")
        var isDone = false
        view.copy(other.url.appendingPathComponent("qwen")) { isDone = true }
        await idle()
        #expect(isDone && view.state.message == nil && view.state.freeBytes ?? 0 > 0)
        let bundle = try #require(view.state.bundles.first)
        view.choose(bundle)
        await until("it is ready") { holder.state == .ready(bundle) }
        view.choose(bundle)
        await settle()
        #expect(source.log.lines.filter { $0 == "load qwen" }.count == 1)
        view.check(bundle)
        await idle()
        #expect(view.state.sound == [bundle.id] && source.log.lines.contains("verify qwen whole"))
        view.delete(bundle)
        await idle()
        #expect(view.state.bundles.isEmpty && holder.state == .notChosen && source.log.lines.last == "close")
    }

    @Test("what fails is told")
    func fails() async {
        var isDone = false
        view.copy(other.url.appendingPathComponent("nothing")) { isDone = true }
        await idle()
        #expect(isDone && view.state.message?.contains("has no manifest.json") == true)
        view.messageShown()
        #expect(view.state.message == nil)
        view.download("https://x.org/qwen")
        await until("it downloads") { downloader.running.value != nil }
        downloader.running.value?.finish(throwing: PocketVLError.bundle("The device is offline."))
        await idle()
        #expect(view.state.message == "The device is offline.")
    }

    @Test("a download shows how far it is, and is cancelled without a message")
    func download() async {
        view.download("  ")
        #expect(view.state.work == nil)
        view.download("https://x.org/qwen")
        await until("it downloads") { downloader.running.value != nil }
        downloader.running.value?.yield(Transfer(done: 1, total: 2))
        await until("it shows") { view.state.work == .downloading(Transfer(done: 1, total: 2)) }
        view.cancel()
        await idle()
        #expect(downloader.cancelled.value && view.state.message == nil)
    }

    @Test("the bundle of before is chosen by its name")
    func again() async throws {
        try home.write("qwen/manifest.json", "{}")
        await view.chooseNamed("gone")
        #expect(holder.state == .notChosen)
        await view.chooseNamed("qwen")
        await until("it is ready") { holder.state.isReady }
    }

    @Test("a bundle that failed can be chosen again")
    func failed() async throws {
        try home.write("qwen/manifest.json", "{}")
        source.failure.value = .engine("No.")
        await view.chooseNamed("qwen")
        await until("it fails") { if case .failed = holder.state { true } else { false } }
        source.failure.value = nil
        view.choose(try #require(view.state.bundles.first))
        await until("it is ready") { holder.state.isReady }
    }
}
