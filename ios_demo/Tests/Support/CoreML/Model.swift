import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine
}

public final class MLModelConfiguration {
    public var computeUnits = MLComputeUnits.all
    public var functionName: String?

    public init() {}
}

public final class MLMultiArrayConstraint {
    public let shape: [NSNumber]
    public let dataType: MLMultiArrayDataType

    init(_ type: TensorType) throws {
        guard let dataType = MLMultiArrayDataType(numpy: type.dtype) else { throw Failure("\(type.dtype) is unknown") }
        shape = type.shape.map { NSNumber(value: $0) }
        self.dataType = dataType
    }
}

public final class MLFeatureDescription {
    public let multiArrayConstraint: MLMultiArrayConstraint?

    init(_ type: TensorType) throws { multiArrayConstraint = try MLMultiArrayConstraint(type) }
}

public final class MLModelDescription {
    public let inputDescriptionsByName: [String: MLFeatureDescription]
    public let outputDescriptionsByName: [String: MLFeatureDescription]

    init(_ answer: Answer) throws {
        func described(_ types: [TensorType]?) throws -> [String: MLFeatureDescription] {
            try Dictionary(uniqueKeysWithValues: (types ?? []).map { ($0.name, try MLFeatureDescription($0)) })
        }
        inputDescriptionsByName = try described(answer.inputs)
        outputDescriptionsByName = try described(answer.outputs)
    }
}

public final class MLState: @unchecked Sendable {
    let id: Int
    private let types: [TensorType]

    init(_ answer: Answer) {
        id = answer.id ?? -1
        types = answer.states ?? []
    }

    public func withMultiArray<R>(for stateName: String, _ body: (MLMultiArray) throws -> R) rethrows -> R {
        guard let type = types.first(where: { $0.name == stateName }),
            let dataType = MLMultiArrayDataType(numpy: type.dtype),
            let (_, bytes) = try? Evaluator.shared.ask(Request(task: "read", id: id, name: stateName))
        else { fatalError("there is no state \(stateName)") }  // Apple's raises an exception, too
        let array = MLMultiArray(sizes: type.shape, dataType, gap: 3)
        array.packed = bytes
        let result = try body(array)
        _ = try? Evaluator.shared.ask(Request(task: "write", id: id, name: stateName), array.packed)
        return result
    }

    deinit { _ = try? Evaluator.shared.ask(Request(task: "close", id: id)) }
}

public final class MLModel: @unchecked Sendable {
    public let modelDescription: MLModelDescription
    private let answer: Answer

    /// Notes which package it was; nothing is compiled.
    public static func compileModel(at modelURL: URL) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).mlmodelc")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(modelURL.path.utf8).write(to: folder.appendingPathComponent("package"))
        return folder
    }

    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
        let package = try String(decoding: Data(contentsOf: url.appendingPathComponent("package")), as: UTF8.self)
        let request = Request(task: "open", name: configuration.functionName, path: package)
        answer = try Evaluator.shared.ask(request).0
        modelDescription = try MLModelDescription(answer)
    }

    public func makeState() -> MLState {
        guard let made = try? Evaluator.shared.ask(Request(task: "state", id: answer.id)).0 else {
            fatalError("the evaluator makes no state")
        }
        return MLState(made)
    }

    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        try run(input, state: nil)
    }

    public func prediction(from input: any MLFeatureProvider, using state: MLState) throws -> any MLFeatureProvider {
        try run(input, state: state.id)
    }

    private func run(_ input: any MLFeatureProvider, state: Int?) throws -> any MLFeatureProvider {
        var data = Data()
        for type in answer.inputs ?? [] {
            guard let array = input.featureValue(for: type.name)?.multiArrayValue else {
                throw Failure("the input \(type.name) is missing")
            }
            data.append(array.packed)
        }
        let (_, bytes) = try Evaluator.shared.ask(Request(task: "run", id: answer.id, state: state), data)
        var values: [String: Any] = [:]
        var place = bytes.startIndex
        for type in answer.outputs ?? [] {
            let constraint = try MLMultiArrayConstraint(type)
            let array = MLMultiArray(sizes: type.shape, constraint.dataType, gap: 5)
            let size = type.shape.reduce(constraint.dataType.bytes, *)
            array.packed = bytes[place..<place + size]
            place += size
            values[type.name] = MLFeatureValue(multiArray: array)
        }
        return try MLDictionaryFeatureProvider(dictionary: values)
    }

    deinit { _ = try? Evaluator.shared.ask(Request(task: "close", id: answer.id)) }
}
