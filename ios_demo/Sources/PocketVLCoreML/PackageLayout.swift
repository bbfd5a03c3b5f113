import Foundation
import PocketVL

/// Where the files of an .mlpackage folder stand: its Manifest.json, read with suspicion before Core ML sees it.
enum PackageLayout {
    /// The model file that the root item of Manifest.json names, below the folder Data.
    ///
    /// Throws ``PocketVLError/bundle(_:)`` where the manifest is missing, malformed or names a file outside the package.
    @discardableResult
    static func model(of package: URL) throws(PocketVLError) -> URL {
        let manifest = package.appendingPathComponent("Manifest.json")
        let json = try read(manifest)
        guard let root = json.asObject?["rootModelIdentifier"]?.asString,
            let path = json.asObject?["itemInfoEntries"]?.asObject?[root]?.asObject?["path"]?.asString
        else { throw .bundle("\(manifest.path) names no root model; copy the bundle again or export it again.") }
        let data = package.appendingPathComponent("Data")
        let file = data.appendingPathComponent(path)
        let parts = path.split(separator: "/")
        let leaves = path.hasPrefix("/") || parts.contains("..") || path.contains("\\") || parts.isEmpty
        if leaves || !file.resolvingSymlinksInPath().path.hasPrefix(package.resolvingSymlinksInPath().path + "/") {
            throw .bundle(
                "\(manifest.path) names the file '\(path)', which is not inside the package; export again.")
        }
        var isFolder: ObjCBool = false
        if !FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder) || isFolder.boolValue {
            throw .bundle("\(file.path) is missing; copy the whole bundle again or export it again.")
        }
        return file
    }

    private static func read(_ manifest: URL) throws(PocketVLError) -> JSON {
        let bytes: Data
        do {
            bytes = try Data(contentsOf: manifest)
        } catch {
            let package = manifest.deletingLastPathComponent().path
            throw .bundle(
                "\(manifest.path) cannot be read (\(error.localizedDescription)); is \(package) an .mlpackage folder?")
        }
        do {
            return try JSON.parse(bytes: Array(bytes))
        } catch {
            throw .bundle("\(manifest.path) is not valid JSON: \(error.message); export the bundle again.")
        }
    }
}
