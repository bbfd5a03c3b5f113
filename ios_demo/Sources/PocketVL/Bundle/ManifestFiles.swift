import Foundation

/// What a download has to know of a manifest before the files that it lists are there.
package enum ManifestFiles {
    /// The files that make up the bundle, after manifest.json was compared with manifest.sha256.
    package static func read(in folder: URL) throws(PocketVLError) -> [FileRecord] {
        try ManifestHash.check(in: folder)
        return try Manifest.read(in: folder).files
    }
}

/// SHA-256 of a file, in hex. Throws ``PocketVLError/bundle(_:)`` where it cannot be read.
package func sha256(ofFile file: URL) throws(PocketVLError) -> String {
    do {
        let handle = try FileHandle(forReadingFrom: file)
        defer { try? handle.close() }
        var digest = Digest()
        while let data = try handle.read(upToCount: 1 << 20), !data.isEmpty {
            data.withUnsafeBytes { digest.update($0) }
        }
        return digest.hex()
    } catch {
        throw .bundle("\(file.path) cannot be read (\(error.localizedDescription)); download it again.")
    }
}
