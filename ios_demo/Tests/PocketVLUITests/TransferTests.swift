import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@Suite struct TransferTests {
    private let home: TemporaryFolder
    private let source: TemporaryFolder
    private let folders: BundleFolders

    init() throws {
        home = try TemporaryFolder()
        source = try TemporaryFolder()
        folders = BundleFolders(folder: home.url)
    }

    private func copy(_ name: String, free: Int = 1 << 30) async throws -> [Transfer] {
        var seen: [Transfer] = []
        let copy = FolderCopy(folders) { free }
        for try await transfer in copy.copy(source.url.appendingPathComponent(name)) { seen.append(transfer) }
        return seen
    }

    private func message(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? PocketVLError)?.message ?? "\(error)"
        }
    }

    @Test("a folder is copied whole, and a second of its name gets a number")
    func copies() async throws {
        try source.write("qwen/manifest.json", "{}")
        try source.write("qwen/text.mlpackage/Data/weights", String(repeating: "w", count: 3_000_000))
        let seen = try await copy("qwen")
        #expect(seen.last == Transfer(done: 3_000_002, total: 3_000_002))
        _ = try await copy("qwen")
        #expect(folders.list().map(\.name) == ["qwen", "qwen-2"])
        #expect(folders.list().map(\.bytes) == [3_000_002, 3_000_002])
    }

    @Test("what is no bundle, does not fit or leads elsewhere is refused, and nothing is left behind")
    func refused() async throws {
        try source.write("photos/cat.heic", "cat")
        #expect(await message { _ = try await copy("photos") }?.contains("has no manifest.json") == true)
        try source.write("qwen/manifest.json", "{}")
        #expect(await message { _ = try await copy("qwen", free: 1000) }?.contains("of free storage") == true)
        try FileManager.default.createSymbolicLink(
            atPath: source.url.appendingPathComponent("qwen/link").path, withDestinationPath: "/etc/passwd")
        #expect(await message { _ = try await copy("qwen") }?.contains("link of the folder qwen is no regular") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: home.url.path).isEmpty)
    }

    @Test("a copy that is cancelled leaves nothing behind")
    func cancelled() async throws {
        try source.write("qwen/manifest.json", "{}")
        for index in 0..<20 { try source.write("qwen/\(index)", String(repeating: "w", count: 2_000_000)) }
        let stream = FolderCopy(folders) { 1 << 30 }.copy(source.url.appendingPathComponent("qwen"))
        let reader = Task { for try await transfer in stream where transfer.done > 0 { break } }
        try await reader.value
        reader.cancel()
        let task = Task { for try await _ in stream {} }
        task.cancel()
        _ = await task.result
        let deadline = Date().addingTimeInterval(30)
        while Date() < deadline {
            let left = try FileManager.default.contentsOfDirectory(atPath: home.url.path)
            if left.isEmpty || left == ["qwen"] { break }
            try await Task.sleep(nanoseconds: 5_000_000)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: home.url.path)
        #expect(left.isEmpty || left == ["qwen"])  // whole, where it was quicker
    }

    @Test("only bundles are deleted, and what was interrupted is cleared away, but no download")
    func deletes() async throws {
        try home.write("qwen/manifest.json", "{}")
        try home.write("notes/readme.txt", "")
        try home.write(".copying-x/manifest.json", "{}")
        try home.write(".download-y/manifest.json", "{}")
        let notes = home.url.appendingPathComponent("notes")
        #expect(await message { try folders.delete(notes) }?.contains("is no bundle") == true)
        #expect(await message { try folders.delete(source.url) }?.contains("is no bundle") == true)
        try folders.delete(home.url.appendingPathComponent("qwen"))
        folders.removeLeftovers()
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: home.url.path)) == ["notes", ".download-y"])
    }

    @Test("names are such as every file system takes")
    func names() {
        #expect(BundleFolders.fileName("../..") == "bundle")
        #expect(BundleFolders.fileName("a/b c") == "a-b-c")
        #expect(BundleFolders.fileName(String(repeating: "x", count: 300)).count == 64)
    }

    @Test("an address is that of a folder, with or without manifest.json")
    func addresses() async throws {
        for text in ["https://x.org/b/qwen", " https://x.org/b/qwen/ ", "https://x.org/b/qwen/manifest.json"] {
            let address = try BundleAddress(text)
            #expect(address.folder.absoluteString == "https://x.org/b/qwen/" && address.name == "qwen")
        }
        let address = try BundleAddress("https://x.org/b/qwen")
        #expect(address.url(of: "a b/c?#.bin").absoluteString == "https://x.org/b/qwen/a%20b/c%3F%23.bin")
        #expect(await message { _ = try BundleAddress("http://x.org/b") }?.contains("use https") == true)
        for text in ["", "qwen", "ftp://x.org/b", "https://"] {
            #expect(await message { _ = try BundleAddress(text) }?.contains("is no web address") == true, "\(text)")
        }
        for text in ["https://x.org/b?a", "https://x.org/b#a", "https://u:p@x.org/b"] {
            #expect(await message { _ = try BundleAddress(text) }?.contains("more than a path") == true, "\(text)")
        }
    }

    @Test("a download goes on where it stopped, and the bundle opens when all of it is there")
    func download() throws {
        try writeGoldenBundle("onnx", into: source.url)
        let (first, folder) = try begin()
        #expect(first.present == 0 && first.missing.count == first.records.count)
        for record in first.records.dropLast() { try fetch(record, first) }
        // The app was ended here.
        let (second, _) = try begin()
        #expect(second.missing == Array(second.records.suffix(1)))
        try fetch(second.missing[0], second)
        #expect(second.present == second.total)
        try second.settle()
        try folders.finish(folder, "qwen")
        #expect(folders.list().map(\.name) == ["qwen"])
        _ = try ModelBundle.open(home.url.appendingPathComponent("qwen"), verify: .always)
    }

    @Test("files that are damaged or not there are refused and fetched again")
    func damaged() async throws {
        try writeGoldenBundle("onnx", into: source.url)
        let (folder, _) = try begin()
        let record = try #require(folder.records.first)
        try source.write("wrong", "wrong")
        let wrong = source.url.appendingPathComponent("wrong")
        #expect(
            await message { try folder.accept(wrong, status: 200, for: record) }?.contains("does not have the sha256")
                == true)
        #expect(!source.exists("wrong"))
        try source.write("wrong", "wrong")
        #expect(await message { try folder.accept(wrong, status: 404, for: record) }?.contains("is not there") == true)
        #expect(folder.missing.contains(record))
        folder.keep(Data("notes".utf8), for: record)
        #expect(folder.notes(record) == Data("notes".utf8))
        try fetch(record, folder)
        #expect(!folder.missing.contains(record) && folder.notes(record) == nil)
    }

    @Test("a file that comes when nobody waits is kept for the next download")
    func alone() throws {
        try writeGoldenBundle("onnx", into: source.url)
        let (folder, _) = try begin()
        let record = try #require(folder.records.first)
        let fetched = home.url.appendingPathComponent("fetched")
        for name in ["", "x.org-qwen none", "x.org-qwen"] {
            try Data("wrong".utf8).write(to: fetched)
            try DownloadFolder.accept(fetched, status: 200, named: name, in: folders)
            #expect(!home.exists("fetched") && folder.missing.contains(record))
        }
        try FileManager.default.copyItem(at: source.url.appendingPathComponent(record.path), to: fetched)
        let name = DownloadFolder.transferName("x.org-qwen", record)
        try DownloadFolder.accept(fetched, status: 200, named: name, in: folders)
        #expect(!folder.missing.contains(record) && !home.exists("fetched"))
    }

    @Test("a manifest that was edited is refused, and files of an earlier one are removed")
    func manifests() async throws {
        try writeGoldenBundle("onnx", into: source.url)
        let (folder, begun) = try begin()
        try fetch(folder.records[0], folder)
        try Data("old".utf8).write(to: begun.appendingPathComponent("old.bin.0123456789abcdef.whole"))
        _ = try begin()
        let left = try FileManager.default.subpathsOfDirectory(atPath: begun.path)
        #expect(!left.contains { $0.hasPrefix("old.bin") })
        let manifest = try data("manifest.json") + Data(" ".utf8)
        let hash = try data("manifest.sha256")
        #expect(
            await message { _ = try DownloadFolder(begun, manifest: manifest, recordedHash: hash) }?.contains(
                "is not what") == true)
    }

    private func data(_ name: String) throws -> Data {
        try Data(contentsOf: source.url.appendingPathComponent(name))
    }

    private func begin() throws -> (DownloadFolder, URL) {
        let begun = try folders.resume("x.org-qwen")
        let folder = try DownloadFolder(
            begun, manifest: try data("manifest.json"), recordedHash: try data("manifest.sha256"))
        return (folder, begun)
    }

    private func fetch(_ record: FileRecord, _ folder: DownloadFolder) throws {
        let fetched = home.url.appendingPathComponent("fetched")
        try FileManager.default.copyItem(at: source.url.appendingPathComponent(record.path), to: fetched)
        try folder.accept(fetched, status: 200, for: record)
    }
}
