import Foundation
import PocketVL

/// Remembers which bundles this device has loaded under this version of its system, since the first load of a Core ML
/// package takes minutes: the system specialises it, and does so again after an update.
public struct FirstLoads: Sendable {
    /// One line per bundle and system.
    private let file: URL
    private let system: String

    /// `system`: the version and build of the system, such as "18.2 (22C152)".
    public init(file: URL, system: String) {
        self.file = file
        self.system = system
    }

    /// Whether the load that comes is the first of this bundle.
    public func isFirst(_ manifest: Manifest) -> Bool {
        manifest.target == Names.coreml && !lines().contains(line(manifest))
    }

    /// After a load that succeeded. What cannot be written is told again the next time.
    public func remember(_ manifest: Manifest) {
        let known = lines()
        if known.contains(line(manifest)) { return }
        try? FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        let text = (known + [line(manifest)]).joined(separator: "\n")
        try? Data(text.utf8).write(to: file, options: .atomic)
    }

    private func line(_ manifest: Manifest) -> String { "\(manifest.contentSha256) \(system)" }

    private func lines() -> [String] {
        guard let data = try? Data(contentsOf: file) else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
