import Foundation
import PocketVL

/// The address of a bundle's folder on a web server: that of its manifest.json, without the name.
struct BundleAddress: Sendable, Equatable {
    /// Ends with a slash.
    let folder: URL

    /// Throws ``PocketVL/PocketVLError/bundle(_:)`` for what is no https address of a folder: whoever is on the way can
    /// change what comes over http, manifest and hashes included.
    init(_ text: String) throws {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard var parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            ["http", "https"].contains(scheme), parts.host?.isEmpty == false
        else {
            throw PocketVLError.bundle(
                "'\(text)' is no web address; it looks like https://example.org/bundles/qwen2-vl-2b.")
        }
        if scheme == "http" {
            throw PocketVLError.bundle(
                "\(text) is an http address, over which files can be changed on the way; use https.")
        }
        if parts.query != nil || parts.fragment != nil || parts.user != nil || parts.password != nil {
            throw PocketVLError.bundle("\(text) holds more than a path; give the address of the bundle's folder alone.")
        }
        var path = parts.percentEncodedPath
        if path.hasSuffix("/\(Names.manifestFile)") { path.removeLast(Names.manifestFile.count) }
        while path.hasSuffix("/") { path.removeLast() }
        parts.percentEncodedPath = path + "/"
        guard let url = parts.url else { throw PocketVLError.bundle("'\(text)' is no web address.") }
        folder = url
    }

    /// The last part of the path, for the folder on the device.
    var name: String { folder.lastPathComponent }

    /// Where a file of the bundle is; `path` is relative, with slashes.
    func url(of path: String) -> URL {
        path.split(separator: "/").reduce(folder) { $0.appendingPathComponent(String($1), isDirectory: false) }
    }
}
