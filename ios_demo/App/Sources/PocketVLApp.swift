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
    let app: AppModel
    private let downloader: BackgroundDownloader

    override init() {
        // Bundles lie in Documents, where Finder and the Files app can put them; everything else is the app's alone.
        let support = URL.applicationSupportDirectory.appending(path: "pocketvl", directoryHint: .isDirectory)
        let compiled = URL.cachesDirectory.appending(path: "compiled", directoryHint: .isDirectory)
        let folders = BundleFolders(folder: .documentsDirectory)
        let photos = PhotoFolder(support.appending(path: "photos", directoryHint: .isDirectory))
        let source = CoreModels(
            engine: { (bundle, _) throws(PocketVLError) in try CoreMLEngine.open(bundle, cache: compiled) },
            photos: photos, stamps: support.appending(path: "stamps", directoryHint: .isDirectory))
        downloader = BackgroundDownloader(folders)
        app = AppModel(
            source: source, photos: photos, bundles: folders, downloader: downloader, folder: support)
        super.init()
    }

    func application(
        _ application: UIApplication, handleEventsForBackgroundURLSession identifier: String,
        completionHandler: @escaping () -> Void
    ) {
        guard identifier == BackgroundDownloader.identifier else { return completionHandler() }
        downloader.handleEvents(completion: completionHandler)
    }
}
