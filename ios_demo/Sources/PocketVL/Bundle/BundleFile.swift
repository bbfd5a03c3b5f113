import Foundation

/// One file of a bundle: whether it may be opened, and the JSON in it.
enum BundleFile {
    private static let mostJSON = 16 << 20  // bytes; a manifest of the 7B model has less than a hundredth of them

    /// Bytes of the regular file `file`, a path inside the bundle. Throws `kind` for anything else there.
    static func size(
        of file: String, in folder: URL, _ kind: ErrorKind = { .bundle($0) }
    ) throws(PocketVLError) -> Int {
        let path = folder.appendingPathComponent(file).path
        var found = stat()
        guard stat(path, &found) == 0 else {
            if errno == ENOENT || errno == ENOTDIR {
                throw kind("\(path) is missing; copy the whole bundle again or export it again.")
            }
            throw kind("\(path) cannot be read (\(reason())); copy the bundle again.")
        }
        guard let real = realPath(path), let home = realPath(folder.path) else {
            throw kind("\(path) cannot be read (\(reason())); copy the bundle again.")
        }
        if !real.hasPrefix(home.hasSuffix("/") ? home : home + "/") {
            throw kind("\(path) is a link that leaves the bundle; put a copy of the file in its place.")
        }
        guard found.st_mode & S_IFMT == S_IFREG else {
            let what = found.st_mode & S_IFMT == S_IFDIR ? "is missing" : "is no regular file"
            throw kind("\(path) \(what); copy the whole bundle again or export it again.")
        }
        return Int(found.st_size)
    }

    /// All of the regular file `file`, which may have at most `most` bytes. Throws `kind`.
    static func bytes(
        of file: String, in folder: URL, most: Int, _ kind: ErrorKind = { .bundle($0) }
    ) throws(PocketVLError) -> [UInt8] {
        let url = folder.appendingPathComponent(file)
        let size = try size(of: file, in: folder, kind)
        if size > most {
            throw kind("\(url.path) has \(size) bytes, more than any that pocketvl writes; export the bundle again.")
        }
        do {
            return Array(try Data(contentsOf: url))
        } catch {
            throw kind("\(url.path) cannot be read (\(error.localizedDescription)); copy the bundle again.")
        }
    }

    /// What is in the JSON file `file`. Throws `kind` where that cannot be known.
    static func json(
        _ file: String, in folder: URL, _ kind: ErrorKind = { .bundle($0) }
    ) throws(PocketVLError) -> JSON {
        let bytes = try bytes(of: file, in: folder, most: mostJSON, kind)
        do {
            return try JSON.parse(bytes: bytes)
        } catch {
            let path = folder.appendingPathComponent(file).path
            throw kind("\(path) is not valid JSON (\(error.message)); export the bundle again.")
        }
    }

    /// Whether anything is there, be it a link that leads nowhere.
    static func exists(_ path: String) -> Bool {
        var found = stat()
        return lstat(path, &found) == 0
    }

    /// What the last system call of this thread said.
    static func reason() -> String { String(cString: strerror(errno)) }

    private static func realPath(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }
}
