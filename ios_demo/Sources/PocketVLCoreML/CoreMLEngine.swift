#if canImport(CoreML) && (arch(arm64) || !os(macOS))  // Intel Macs lack Float16
    import Foundation
    import PocketVL

    /// Runs the .mlpackage folders of a bundle with Core ML.
    ///
    /// The packages have static shapes: this engine pads what it is given, masks the padding and cuts it off.
    @available(iOS 18, macOS 15, *)
    public enum CoreMLEngine {
        /// Both engines; nothing is loaded yet. The first load of a bundle compiles its packages and tries them, which
        /// takes minutes for a large model; later ones take seconds.
        ///
        /// - Parameters:
        ///   - cache: a folder of the app's own, for compiled packages and for what is remembered about compute units;
        ///     it may be emptied while no engine is open.
        ///   - fastest: the units that are tried first; slower ones follow where those fail or crash.
        /// - Throws: ``PocketVLError/bundle(_:)`` for another target or dynamic shapes.
        public static func open(
            _ bundle: ModelBundle, cache: URL, fastest: ComputeUnits = .neuralEngine
        ) throws(PocketVLError) -> Engine {
            try EngineChecks.target(of: bundle, is: Names.coreml)
            let identity = UnitsIdentity(
                device: Device.model, system: ProcessInfo.processInfo.operatingSystemVersionString,
                bundle: bundle.manifest.contentSha256)
            let folder = cache.appendingPathComponent(identity.bundle)
            let compiled = CompiledPackages(bundle: bundle, folder: folder)
            func probe(_ part: String) -> UnitsProbe {
                let file = UnitsFile(url: folder.appendingPathComponent("\(part).units.json"))
                return UnitsProbe(file: file, identity: identity, fastest: fastest)
            }
            return try Engine(
                vision: CoreMLVision(bundle, compiled, probe("vision")),
                text: CoreMLText(bundle, compiled, probe("text")))
        }
    }

    private enum Device {
        /// As "iPhone16,1".
        static var model: String {
            var name = utsname()
            guard uname(&name) == 0 else { return "unknown" }
            return withUnsafeBytes(of: name.machine) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
    }
#endif
