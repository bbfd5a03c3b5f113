#if canImport(SwiftUI) && canImport(UIKit)
    import Foundation
    import PocketVL
    import SwiftUI
    import UIKit

    /// Everything that lives as long as the app: one model, its screens' view models, the folders.
    @MainActor
    public final class AppModel {
        public let holder: ModelHolder
        public let chat: ChatViewModel
        public let live: LiveViewModel
        public let bundles: BundlesViewModel
        public let benchmark: BenchmarkViewModel
        public let photos: PhotoFolder

        private static let lastBundle = "dev.pocketvl.bundle"
        private var warnings: MemoryWarnings?

        /// - Parameters:
        ///   - source: opens bundles with the engine that the app links, such as ``CoreModels``.
        ///   - photos: where attached images are kept.
        ///   - bundles: where bundles lie.
        ///   - downloader: nil in an app that may not use the network.
        ///   - folder: of the app's own, such as one in its Application Support.
        public init(
            source: any ModelSource, photos: PhotoFolder, bundles folders: BundleFolders,
            downloader: BackgroundDownloader?, folder: URL
        ) {
            let (memory, thermal) = (AppleMemory(), AppleThermal())
            let system = ProcessInfo.processInfo.operatingSystemVersionString
            let saved = SavedChats(folder: folder.appendingPathComponent("chats"))
            folders.removeLeftovers()
            photos.keep(saved.photoFiles())
            self.photos = photos
            holder = ModelHolder(
                source: source, memory: memory,
                firstLoads: FirstLoads(file: folder.appendingPathComponent("first-loads.txt"), system: system))
            chat = ChatViewModel(
                holder: holder, device: ChatDevice(photos: photos, memory: memory, thermal: thermal), saved: saved)
            live = LiveViewModel(holder: holder, camera: BackCamera(), thermal: thermal)
            bundles = BundlesViewModel(
                holder: holder, source: source, store: LocalBundles(folders), downloader: downloader, saved: saved)
            benchmark = BenchmarkViewModel(holder: holder, device: .current, memory: memory, thermal: thermal)
            warnings = MemoryWarnings { [holder] event in Task { await holder.trim(event) } }
        }

        /// The bundle that was chosen last, if it is still there.
        func begin() async {
            if let name = UserDefaults.standard.string(forKey: Self.lastBundle) { await bundles.chooseNamed(name) }
        }

        func remember(_ bundle: InstalledBundle?) {
            if let bundle { UserDefaults.standard.set(bundle.name, forKey: Self.lastBundle) }
        }

        /// The system forbids work on the GPU in the background, and ends large apps there first. What is begun here
        /// gets some seconds to end.
        func enterBackground() {
            let application = UIApplication.shared
            let time = BackgroundTime()
            time.begin(application)
            Task {
                live.stop()
                benchmark.cancel()
                await chat.enteredBackground()
                await holder.trim(.enteredBackground)
                time.end(application)
            }
        }
    }

    /// The seconds that the system gives to an app that leaves the screen; they end once.
    @MainActor
    private final class BackgroundTime {
        private var identifier = UIBackgroundTaskIdentifier.invalid

        func begin(_ application: UIApplication) {
            identifier = application.beginBackgroundTask { MainActor.assumeIsolated { self.end(application) } }
        }

        func end(_ application: UIApplication) {
            if identifier == .invalid { return }
            application.endBackgroundTask(identifier)
            identifier = .invalid
        }
    }
#endif
