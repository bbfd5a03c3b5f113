import PocketVL
import PocketVLCoreML
import PocketVLUI
import SwiftUI
import UIKit

@main
struct PocketVLApp: App {
    @UIApplicationDelegateAdaptor private var delegate: AppDelegate

    var body: some Scene {
        WindowGroup { PocketVLRootView(delegate.app) }
    }
}

/// What lives as long as the process: the model, and the transfers that the system goes on with.
@MainActor
final class AppDelegate: NSObject, UIApplicationDelegate {
    private let folders = BundleFolders(folder: .documentsDirectory)
    private lazy var downloader = BackgroundDownloader(folders)

    /// Bundles lie in Documents, where Finder and the Files app can put them; everything else is the app's alone.
    lazy var app: AppModel = {
        let support = URL.applicationSupportDirectory.appending(path: "pocketvl", directoryHint: .isDirectory)
        let compiled = URL.cachesDirectory.appending(path: "compiled", directoryHint: .isDirectory)
        let photos = PhotoFolder(support.appending(path: "photos", directoryHint: .isDirectory))
        let source = CoreModels(
            engine: { (bundle, _) throws(PocketVLError) in try CoreMLEngine.open(bundle, cache: compiled) },
            photos: photos, stamps: support.appending(path: "stamps", directoryHint: .isDirectory))
        return AppModel(
            source: source, photos: photos, bundles: folders, downloader: downloader, folder: support)
    }()

    func application(
        _ application: UIApplication, handleEventsForBackgroundURLSession identifier: String,
        completionHandler: @escaping () -> Void
    ) {
        guard identifier == BackgroundDownloader.identifier else { return completionHandler() }
        downloader.handleEvents(completion: completionHandler)
    }
}
