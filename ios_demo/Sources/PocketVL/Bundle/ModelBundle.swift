import Foundation

/// An opened bundle: every file listed in its manifest is there and, unless it was opened with ``Verify/never``, has
/// the bytes for which the manifest was written.
public struct ModelBundle: Sendable {
    public let folder: URL
    public let manifest: Manifest

    /// Where a file of the manifest, or a folder of its files, is. Throws ``PocketVLError/bundle(_:)`` for another.
    public func file(_ path: String) throws(PocketVLError) -> URL {
        let inside = Array("\(path)/".utf8)
        guard manifest.files.contains(where: { $0.path.isExactly(path) || $0.path.utf8.starts(with: inside) }) else {
            throw .bundle("\(folder.path) has no file \(path) in its manifest.")
        }
        return folder.appendingPathComponent(path)
    }

    /// Reads the manifest and checks that the files, ids, sizes, hashes and entry points in it fit together, so that
    /// what does not fit is refused before any native code sees it.
    ///
    /// It reads whole files, so call it off the main thread.
    ///
    /// - Parameters:
    ///   - folder: what `pocketvl export` wrote.
    ///   - verify: when hashes are compared.
    ///   - stamps: a file of the app's own, one per bundle, in which hashes that were found equal are remembered; nil
    ///     remembers nothing.
    ///   - onProgress: bytes hashed so far, and in all; from any thread, one call at a time.
    /// - Throws: ``PocketVLError/bundle(_:)``, and ``PocketVLError/manifest(_:)`` for manifest.json itself.
    public static func open(
        _ folder: URL, verify: Verify = .stamp, stamps: URL? = nil,
        onProgress: @escaping @Sendable (_ bytesHashed: Int, _ bytes: Int) -> Void = { _, _ in }
    ) throws(PocketVLError) -> ModelBundle {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder)
        guard exists, isFolder.boolValue else {
            let what = exists ? "is a file, not a folder" : "does not exist"
            throw .bundle("\(folder.path) \(what); give the folder that `pocketvl export` wrote.")
        }
        let manifest = try Manifest.read(in: folder)
        if verify != .never { try ManifestHash.check(in: folder) }
        var records = manifest.files
        if verify == .always {
            records += manifest.optionalFiles.filter {
                BundleFile.exists(folder.appendingPathComponent($0.path).path)
            }
        }
        for record in records { try checkSize(record, in: folder) }
        if let fault = fault(manifest) {
            let path = folder.appendingPathComponent(Names.manifestFile).path
            throw .bundle("\(path) \(fault); export the bundle again.")
        }
        try Verification(folder: folder, stamps: stamps, onProgress: onProgress).run(records, verify)
        return ModelBundle(folder: folder, manifest: manifest)
    }

    private static func checkSize(_ record: FileRecord, in folder: URL) throws(PocketVLError) {
        let size = try BundleFile.size(of: record.path, in: folder)
        if size != record.size {
            throw .bundle(
                "\(folder.appendingPathComponent(record.path).path) has \(size) bytes, but the manifest says"
                    + " \(record.size); copy the bundle again or export it again.")
        }
    }

    /// What in the manifest does not fit together, to follow its name; or nil.
    private static func fault(_ manifest: Manifest) -> String? {
        let (text, table, tokens) = (manifest.geometry.text, manifest.tokenEmbedding, manifest.specialTokens)
        func size(_ path: String) -> Int? { manifest.files.first { $0.path.isExactly(path) }?.size }
        for needed in [Names.tokenizerFile] + (manifest.chat ? [Names.chatTemplateFile] : [])
        where size(needed) == nil {
            return "lists no \(needed)"
        }
        if table.rows != text.vocabSize || table.columns != text.hiddenSize {
            return "has an embedding table of \(table.rows) x \(table.columns), but the model needs"
                + " \(text.vocabSize) x \(text.hiddenSize)"
        }
        guard let bytes = size(table.file) else {
            return "has its embedding table in \(table.file), which is no file of it"
        }
        if table.end > bytes {
            return "ends its embedding table at byte \(table.end) of \(table.file), which has \(bytes)"
        }
        if manifest.geometry.vision.inChannels != manifest.image.mean.count {
            return
                "has in_channels \(manifest.geometry.vision.inChannels), but images have \(manifest.image.mean.count)"
        }
        if let fault = EntryPoints.fault(manifest) { return fault }
        if tokens.eos.isEmpty { return "names no token that ends an answer" }
        if manifest.chat && tokens.imEnd == nil { return "has a chat template, but no im_end token" }
        let ids = [tokens.imagePad, tokens.videoPad, tokens.visionStart, tokens.visionEnd] + tokens.eos
        for token in ids + (tokens.imEnd.map { [$0] } ?? []) where !(0..<text.vocabSize).contains(token) {
            return "uses the token id \(token), outside its vocabulary of \(text.vocabSize)"
        }
        if manifest.maxContext > text.maxPositionEmbeddings {
            return "has max_context \(manifest.maxContext), more than the model's \(text.maxPositionEmbeddings)"
        }
        return nil
    }
}
