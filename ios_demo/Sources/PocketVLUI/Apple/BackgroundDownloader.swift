#if canImport(Darwin)
    import Foundation
    import PocketVL

    /// Downloads bundles by the system's background transfers, which go on while the app is suspended.
    ///
    /// The manifest is fetched anew each time and says which files with which hashes belong to the bundle; what is
    /// there of them already is not fetched again. One for the app's life, since the system allows one session of an
    /// identifier.
    public final class BackgroundDownloader: NSObject, BundleDownloader, @unchecked Sendable {
        /// Of the background session.
        public static let identifier = "dev.pocketvl.bundles"

        private static let mostManifest = 16 << 20  // bytes

        private let folders: BundleFolders
        private let lock = NSLock()
        // Guarded by the lock.
        private var run: DownloadRun?
        private var whenEventsEnd: (@Sendable () -> Void)?

        private var made: URLSession?

        public init(_ folders: BundleFolders) { self.folders = folders }

        /// For UIApplicationDelegate's handleEventsForBackgroundURLSession.
        @MainActor
        public func handleEvents(completion: @escaping () -> Void) {
            // UIKit wants it called on the main thread, which urlSessionDidFinishEvents does.
            nonisolated(unsafe) let completion = completion
            lock.withLock { whenEventsEnd = { completion() } }
            _ = session()
        }

        public func download(_ address: String) -> AsyncThrowingStream<Transfer, any Error> {
            AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
                let work = Task {
                    do {
                        try await self.downloadAll(try BundleAddress(address), continuation)
                        continuation.finish()
                    } catch {
                        continuation.finish(throwing: error)
                    }
                }
                continuation.onTermination = { _ in work.cancel() }
            }
        }

        /// Made when it is first wanted: from then on the system tells of transfers that an earlier process began.
        private func session() -> URLSession {
            lock.withLock {
                if let made { return made }
                let configuration = URLSessionConfiguration.background(withIdentifier: Self.identifier)
                configuration.isDiscretionary = false
                configuration.sessionSendsLaunchEvents = true
                configuration.waitsForConnectivity = true
                let session = URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
                made = session
                return session
            }
        }

        private func downloadAll(
            _ address: BundleAddress, _ progress: AsyncThrowingStream<Transfer, any Error>.Continuation
        ) async throws {
            let key = key(address)
            let begun = try folders.resume(key)
            let folder = try DownloadFolder(
                begun, manifest: try await small(address.url(of: Names.manifestFile)),
                recordedHash: try await small(address.url(of: Names.manifestHashFile)))
            try folders.requireSpace(folder.total - folder.present, free: LocalBundles.freeBytes(begun))
            let run = DownloadRun(folder, progress)
            guard
                lock.withLock({
                    self.run == nil
                        ? {
                            self.run = run; return true
                        }() : false
                })
            else {
                throw PocketVLError.bundle("Another download is running; wait until it ends or stop it.")
            }
            defer { lock.withLock { self.run = nil } }
            let going = await session().allTasks.compactMap { $0 as? URLSessionDownloadTask }
            for record in folder.missing {
                try Task.checkCancellation()
                let task =
                    going.first { $0.taskDescription == description(key, record) } ?? begin(folder, record, address)
                task.taskDescription = description(key, record)
                try await withTaskCancellationHandler {
                    try await run.fetch(record, task)
                } onCancel: {
                    task.cancel { data in
                        if let data { folder.keep(data, for: record) }
                    }
                }
            }
            try folder.settle()
            try folders.finish(begun, address.name)
        }

        private func begin(
            _ folder: DownloadFolder, _ record: FileRecord, _ address: BundleAddress
        ) -> URLSessionDownloadTask {
            if let notes = folder.notes(record) {
                return session().downloadTask(withResumeData: notes)
            }
            var request = URLRequest(url: address.url(of: record.path))
            request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")  // sizes are those of the file
            return session().downloadTask(with: request)
        }

        private func key(_ address: BundleAddress) -> String {
            BundleFolders.fileName(String(address.folder.absoluteString.dropFirst("https://".count)))
        }

        private func small(_ url: URL) async throws -> Data {
            let file: URL
            let response: URLResponse
            do {
                let request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData)
                (file, response) = try await URLSession.shared.download(for: request)
            } catch let error as URLError where error.code == .cancelled {
                throw CancellationError()
            } catch {
                throw PocketVLError.bundle(
                    "\(url) cannot be fetched (\(error.localizedDescription)); is the device online?")
            }
            defer { try? FileManager.default.removeItem(at: file) }
            let status = (response as? HTTPURLResponse)?.statusCode ?? 0
            guard status == 200 else {
                throw PocketVLError.bundle(
                    "\(url) is not there (status \(status)); is the address that of a bundle's folder?")
            }
            let data = try FileHandle(forReadingFrom: file).read(upToCount: Self.mostManifest + 1) ?? Data()
            guard data.count <= Self.mostManifest else {
                throw PocketVLError.bundle("\(url) is larger than any manifest.")
            }
            return data
        }
    }

    extension BackgroundDownloader: URLSessionDownloadDelegate {
        public func urlSession(
            _ session: URLSession, downloadTask task: URLSessionDownloadTask, didWriteData bytes: Int64,
            totalBytesWritten written: Int64, totalBytesExpectedToWrite expected: Int64
        ) {
            lock.withLock { run }?.wrote(Int(clamping: written), task)
        }

        /// The file is the system's, and gone when this returns.
        public func urlSession(
            _ session: URLSession, downloadTask task: URLSessionDownloadTask, didFinishDownloadingTo file: URL
        ) {
            let status = (task.response as? HTTPURLResponse)?.statusCode ?? 0
            if lock.withLock({ run })?.finished(task, file, status) == true { return }
            // Nobody waits: the app was ended meanwhile. What is wrong with the file is seen by the next download.
            try? DownloadFolder.accept(file, status: status, named: task.taskDescription ?? "", in: folders)
        }

        public func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
            lock.withLock { run }?.completed(task, error)
        }

        public func urlSessionDidFinishEvents(forBackgroundURLSession session: URLSession) {
            let tell = lock.withLock {
                defer { whenEventsEnd = nil }
                return whenEventsEnd
            }
            if let tell { DispatchQueue.main.async(execute: tell) }
        }
    }

    /// One bundle that is being downloaded, file after file.
    private final class DownloadRun: @unchecked Sendable {
        private let folder: DownloadFolder
        private let progress: AsyncThrowingStream<Transfer, any Error>.Continuation
        private let lock = NSLock()
        // Guarded by the lock.
        private var current: (record: FileRecord, task: URLSessionTask, done: CheckedContinuation<Void, any Error>)?
        private var outcome: Result<Void, any Error>?

        init(_ folder: DownloadFolder, _ progress: AsyncThrowingStream<Transfer, any Error>.Continuation) {
            self.folder = folder
            self.progress = progress
        }

        func fetch(_ record: FileRecord, _ task: URLSessionDownloadTask) async throws {
            try await withCheckedThrowingContinuation { done in
                lock.withLock {
                    current = (record, task, done)
                    outcome = nil
                }
                task.resume()
                // One of an earlier process may have ended before anybody waited for it.
                if task.state == .completed { completed(task, task.error) }
            }
        }

        func wrote(_ bytes: Int, _ task: URLSessionTask) {
            guard isCurrent(task) else { return }
            progress.yield(Transfer(done: folder.present + bytes, total: folder.total))
        }

        /// Whether somebody waits for this file.
        func finished(_ task: URLSessionTask, _ file: URL, _ status: Int) -> Bool {
            guard let record = lock.withLock({ current?.task == task ? current?.record : nil }) else { return false }
            let result = Result<Void, any Error> { try folder.accept(file, status: status, for: record) }
            lock.withLock { outcome = result }
            return true
        }

        func completed(_ task: URLSessionTask, _ error: (any Error)?) {
            let (running, outcome) = lock.withLock {
                defer { if current?.task == task { current = nil } }
                return (current?.task == task ? current : nil, self.outcome)
            }
            guard let running else { return }
            guard let error = error as NSError? else {
                let isThere = !folder.missing.contains(running.record)
                running.done.resume(with: outcome ?? (isThere ? .success(()) : .failure(broken("nothing came"))))
                return
            }
            if let notes = error.userInfo[NSURLSessionDownloadTaskResumeData] as? Data {
                folder.keep(notes, for: running.record)
            }
            let isCancelled = error.domain == NSURLErrorDomain && error.code == NSURLErrorCancelled
            running.done.resume(throwing: isCancelled ? CancellationError() : broken(error.localizedDescription))
        }

        private func isCurrent(_ task: URLSessionTask) -> Bool { lock.withLock { current?.task == task } }

        private func broken(_ reason: String) -> PocketVLError {
            .bundle(
                "The bundle cannot be downloaded (\(reason)); download it again later: that goes on where it stopped.")
        }
    }
#endif
