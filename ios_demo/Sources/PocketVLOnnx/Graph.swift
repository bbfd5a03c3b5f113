internal import COnnxRuntime
import Foundation
import PocketVL

/// The .onnx file of an entry point, loaded.
final class Graph {
    let file: URL
    let runtime: Runtime
    let session: Handle

    /// Throws ``PocketVLError/engine(_:)`` for a file that onnxruntime cannot load, ``PocketVLError/bundle(_:)`` for
    /// one with other tensors than its entry point.
    init(_ runtime: Runtime, _ bundle: ModelBundle, _ entryPoint: String) throws(PocketVLError) {
        guard let entry = bundle.manifest.entries(entryPoint).first else {
            throw .bundle("\(bundle.folder.path) has no \(entryPoint); export the bundle again.")
        }
        self.runtime = runtime
        file = try bundle.file(entry.file)
        session = try runtime.session(file)
        try GraphSignature(self).check(entry)
    }

    /// onnxruntime keeps what it has packed mapped: 0.16 GB of the 2B model's scales, never read again.
    func giveBackFilePages() { FilePages.giveBack(below: file.deletingLastPathComponent()) }

    /// What a call that failed says.
    func failure(_ reason: String) -> PocketVLError {
        .engine(
            "\(file.path) failed in onnxruntime \(Runtime.version) (\(reason)); copy the whole bundle again or export"
                + " it again.")
    }
}

/// Memory as onnxruntime sees it. It keeps the memory's owner.
final class Tensor {
    let value: Handle
    private let owner: AnyObject

    /// float32, row-major.
    convenience init(_ graph: Graph, _ matrix: NativeMatrix, _ shape: [Int]) throws(PocketVLError) {
        let bytes = matrix.values.count * MemoryLayout<Float>.size
        try self.init(graph, matrix, matrix.values.baseAddress, bytes, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape)
    }

    /// One int32; `shape` is [] or [1].
    convenience init(_ graph: Graph, _ number: NativeInt32, _ shape: [Int]) throws(PocketVLError) {
        try self.init(
            graph, number, number.pointer, MemoryLayout<Int32>.size, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, shape)
    }

    private init(
        _ graph: Graph, _ owner: AnyObject, _ memory: UnsafeMutableRawPointer?, _ bytes: Int,
        _ type: ONNXTensorElementDataType, _ shape: [Int]
    ) throws(PocketVLError) {
        self.owner = owner
        let api = graph.runtime.api
        let sizes = shape.map(Int64.init)
        value = try api.made(api.pointee.ReleaseValue, graph.failure) {
            api.pointee.CreateTensorWithDataAsOrtValue(
                graph.runtime.memory.pointer, memory, bytes, sizes, sizes.count, type, $0)
        }
    }
}

/// Tensors bound to all inputs and outputs of a graph, so that a run copies and allocates nothing for them.
final class Binding {
    private let binding: Handle
    private let tensors: [Tensor]
    private let graph: Graph

    init(
        _ graph: Graph, inputs: [(name: String, tensor: Tensor)], outputs: [(name: String, tensor: Tensor)]
    ) throws(PocketVLError) {
        let api = graph.runtime.api
        self.graph = graph
        tensors = (inputs + outputs).map(\.tensor)
        binding = try api.made(api.pointee.ReleaseIoBinding, graph.failure) {
            api.pointee.CreateIoBinding(graph.session.pointer, $0)
        }
        for (name, tensor) in inputs {
            try api.check(api.pointee.BindInput(binding.pointer, name, tensor.value.pointer), graph.failure)
        }
        for (name, tensor) in outputs {
            try api.check(api.pointee.BindOutput(binding.pointer, name, tensor.value.pointer), graph.failure)
        }
    }

    /// From the memory of the inputs into that of the outputs.
    func run() throws(PocketVLError) {
        let api = graph.runtime.api
        try api.check(api.pointee.RunWithBinding(graph.session.pointer, nil, binding.pointer), graph.failure)
    }
}
