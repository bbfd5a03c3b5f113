#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import Foundation
    import PocketVL

    /// One function of a package, loaded, with memory for its inputs: a call allocates nothing but its output.
    @available(iOS 18, macOS 15, *)
    final class LoadedFunction {
        let entry: EntryPoint
        let model: MLModel
        private let package: URL
        private let arrays: [String: MLMultiArray]
        private let provider: MLDictionaryFeatureProvider

        /// Throws ``PocketVLError/engine(_:)`` where Core ML does not load it, ``PocketVLError/bundle(_:)`` where it takes
        /// or gives anything else than its entry point says.
        init(
            _ entry: EntryPoint, _ packages: CompiledPackages, _ units: ComputeUnits
        ) throws(PocketVLError) {
            self.entry = entry
            package = try packages.bundle.file(entry.file)
            let compiled = try packages.compiled(entry.file)
            let configuration = MLModelConfiguration()
            configuration.computeUnits = units.coreML
            configuration.functionName = entry.method
            do {
                model = try MLModel(contentsOf: compiled, configuration: configuration)
                var arrays: [String: MLMultiArray] = [:]
                for spec in entry.inputs {
                    let sizes = try spec.sizes.map { NSNumber(value: $0) }
                    arrays[spec.name] = try MLMultiArray(shape: sizes, dataType: spec.dataType)
                }
                self.arrays = arrays
                provider = try MLDictionaryFeatureProvider(
                    dictionary: arrays.mapValues { MLFeatureValue(multiArray: $0) })
            } catch let error as PocketVLError {
                throw error
            } catch {
                throw Self.failure(entry, package, error)
            }
            try check("input", entry.inputs, model.modelDescription.inputDescriptionsByName)
            try check("output", entry.outputs, model.modelDescription.outputDescriptionsByName)
        }

        /// The memory of an input. Throws ``PocketVLError/engine(_:)`` for one that the function does not take.
        func input(_ name: String) throws(PocketVLError) -> MLMultiArray {
            guard let array = arrays[name] else {
                throw .engine(
                    "\(entry.method) of \(package.path) takes no '\(name)', unlike this pocketvl; export the bundle"
                        + " again.")
            }
            return array
        }

        /// Runs on what the inputs hold. `state` changes where one is given.
        func run(_ state: MLState?) throws(PocketVLError) -> MLMultiArray {
            let outputs: any MLFeatureProvider
            do {
                if let state {
                    outputs = try model.prediction(from: provider, using: state)
                } else {
                    outputs = try model.prediction(from: provider)
                }
            } catch {
                throw Self.failure(entry, package, error)
            }
            let wanted = try entry.outputs.first?.sizes
            guard let spec = entry.outputs.first,
                let array = outputs.featureValue(for: spec.name)?.multiArrayValue,
                array.dataType == spec.dataType, array.sizes == wanted
            else { throw .engine("\(entry.method) of \(package.path) gave another output than it says; export again.") }
            return array
        }

        private func check(
            _ kind: String, _ specs: [TensorSpec], _ found: [String: MLFeatureDescription]
        ) throws(PocketVLError) {
            if let unknown = Set(found.keys).subtracting(specs.map(\.name)).sorted().first {
                throw unfit("has the \(kind) '\(unknown)', unknown to this pocketvl")
            }
            for spec in specs {
                guard let given = found[spec.name] else { throw unfit("lacks the \(kind) '\(spec.name)'") }
                guard let constraint = given.multiArrayConstraint else {
                    throw unfit("has the \(kind) '\(spec.name)', which is no array")
                }
                let (sizes, wanted) = (constraint.shape.map(\.intValue), try spec.sizes)
                // Core ML gives the outputs of some programs without their shape.
                let isUnknown = kind == "output" && sizes.isEmpty
                if constraint.dataType != spec.dataType || !isUnknown && sizes != wanted {
                    throw unfit(
                        "has the \(kind) '\(spec.name)' as \(sizes), but the manifest's geometry needs"
                            + " \(spec.dtype) \(wanted)")
                }
            }
        }

        private func unfit(_ what: String) -> PocketVLError {
            .bundle("\(entry.method) of \(package.path) \(what); export the bundle again.")
        }

        private static func failure(_ entry: EntryPoint, _ package: URL, _ error: any Error) -> PocketVLError {
            .engine("\(entry.method) of \(package.path) failed in Core ML: \(error.localizedDescription).")
        }
    }

    extension ComputeUnits {
        fileprivate var coreML: MLComputeUnits {
            switch self {
            case .neuralEngine: .cpuAndNeuralEngine
            case .gpu: .cpuAndGPU
            case .cpu: .cpuOnly
            }
        }
    }

    extension TensorSpec {
        /// Throws ``PocketVLError/bundle(_:)`` for a dynamic shape.
        var sizes: [Int] {
            get throws(PocketVLError) {
                var sizes: [Int] = []
                for dimension in shape {
                    guard case .size(let size) = dimension else {
                        throw .bundle("'\(name)' has a dynamic shape, which Core ML's bundles have not; export again.")
                    }
                    sizes.append(size)
                }
                return sizes
            }
        }

        var dataType: MLMultiArrayDataType { dtype == "int32" ? .int32 : .float16 }
    }
#endif
