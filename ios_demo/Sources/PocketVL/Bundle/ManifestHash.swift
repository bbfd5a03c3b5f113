import Foundation

/// manifest.sha256: the hash of manifest.json, the one file that no record covers.
///
/// One line, as `sha256sum manifest.json` writes it: 64 lowercase hexadecimal digits, two spaces, the name.
enum ManifestHash {
    private static let most = 16 << 20  // bytes of a manifest

    /// Throws ``PocketVLError/manifest(_:)`` unless manifest.json is what manifest.sha256 was written for.
    static func check(in folder: URL) throws(PocketVLError) {
        let kind: ErrorKind = { .manifest($0) }
        let manifest = folder.appendingPathComponent(Names.manifestFile).path
        let recorded = folder.appendingPathComponent(Names.manifestHashFile).path
        guard BundleFile.exists(recorded) else {
            throw .manifest(
                "\(recorded) is missing, so that damage to \(manifest) would not be seen; copy the whole bundle again"
                    + " or export it again.")
        }
        let bytes = try BundleFile.bytes(of: Names.manifestFile, in: folder, most: most, kind)
        let expected = Array("\(Digest.hex(of: bytes))  \(Names.manifestFile)\n".utf8)
        let given = try BundleFile.bytes(of: Names.manifestHashFile, in: folder, most: most, kind)
        if given != expected {
            throw .manifest(
                "\(manifest) is not what \(recorded) was written for, so one of the two is damaged or was edited;"
                    + " copy the bundle again or export it again.")
        }
    }
}
