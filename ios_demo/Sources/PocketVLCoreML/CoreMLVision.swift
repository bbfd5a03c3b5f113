#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import Foundation
    import PocketVL

    /// A ``VisionEngine`` over vision_encoder.mlpackage.
    @available(iOS 18, macOS 15, *)
    final class CoreMLVision: VisionEngine, @unchecked Sendable {  // what changes is guarded by the lock
        private let lock = NSLock()
        private let bundle: ModelBundle
        private let packages: CompiledPackages
        private let probe: UnitsProbe
        private let entries: [EntryPoint]
        private var loaded: [Int: LoadedFunction] = [:]  // by patches
        private var units: ComputeUnits?

        init(_ bundle: ModelBundle, _ packages: CompiledPackages, _ probe: UnitsProbe) {
            self.bundle = bundle
            self.packages = packages
            self.probe = probe
            entries = bundle.manifest.entries(Names.visionEncoder)
        }

        func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
            try EngineChecks.image(bundle.manifest, patches, rope)
            lock.lock()
            defer { lock.unlock() }
            return try run(function(for: patches.rows), patches, rope)
        }

        func release() {
            lock.lock()
            defer { lock.unlock() }
            loaded = [:]
        }

        private func run(_ function: LoadedFunction, _ patches: Matrix, _ rope: Rope) throws(PocketVLError) -> Matrix {
            let vision = bundle.manifest.geometry.vision
            let rows = 0..<patches.rows
            try function.input(Names.patches).fill(patches, rows: rows)
            try function.input(Names.ropeCos).fill(rope.cos, rows: rows)
            try function.input(Names.ropeSin).fill(rope.sin, rows: rows)
            try function.input(Names.keyMask).fill { _, column in column < rows.count ? 1 : 0 }
            var embeddings = Matrix(rows: rows.count / vision.mergeArea, columns: vision.outputSize)
            try function.run(nil).copy(to: &embeddings, rows: 0..<embeddings.rows)
            return embeddings
        }

        /// The smallest function that takes so many patches.
        private func function(for patches: Int) throws(PocketVLError) -> LoadedFunction {
            guard let entry = entries.first(where: { $0.patches ?? 0 >= patches }), let size = entry.patches else {
                throw .bundle("\(bundle.folder.path) has no function for \(patches) patches; export it again.")
            }
            if let function = loaded[size] { return function }
            let function: LoadedFunction
            if let units { function = try LoadedFunction(entry, packages, units) } else { function = try tried(entry) }
            loaded[size] = function
            return function
        }

        /// The function on the units that the probe finds, where all functions are tried if nobody did before.
        private func tried(_ entry: EntryPoint) throws(PocketVLError) -> LoadedFunction {
            let vision = bundle.manifest.geometry.vision
            let (function, found) = try probe.open { (units) throws(PocketVLError) in
                (try LoadedFunction(entry, packages, units), units)
            } trial: { (_, units) throws(PocketVLError) in
                for entry in entries {
                    let rows = vision.mergeArea
                    let rope = Rope(
                        cos: Matrix(rows: rows, columns: vision.headDim),
                        sin: Matrix(rows: rows, columns: vision.headDim))
                    let function = try LoadedFunction(entry, packages, units)
                    _ = try run(function, Matrix(rows: rows, columns: vision.patchDim), rope)
                }
            }
            units = found
            return function
        }
    }
#endif
