#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import Foundation
    import PocketVL

    /// The packages of a bundle as Core ML loads them: compiled once, and kept in a folder of their own.
    struct CompiledPackages: Sendable {
        let bundle: ModelBundle
        /// Of this very content of a bundle.
        let folder: URL

        /// The compiled form of a package. Throws ``PocketVLError/bundle(_:)`` for a folder that is no package,
        /// ``PocketVLError/engine(_:)`` where Core ML refuses it.
        func compiled(_ path: String) throws(PocketVLError) -> URL {
            let package = try bundle.file(path)
            let kept = folder.appendingPathComponent(package.deletingPathExtension().lastPathComponent)
                .appendingPathExtension("mlmodelc")
            if FileManager.default.fileExists(atPath: kept.path) { return kept }
            try PackageLayout.model(of: package)
            do {
                let made = try MLModel.compileModel(at: package)
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                // A move within a volume is whole or not at all.
                try FileManager.default.moveItem(at: made, to: kept)
            } catch {
                throw .engine(
                    "Core ML cannot compile \(package.path) (\(error.localizedDescription)); copy the whole bundle"
                        + " again or export it again.")
            }
            return kept
        }
    }
#endif
