internal import COnnxRuntime
import PocketVL

/// What an opened graph takes and gives.
struct GraphSignature {
    private struct Found {
        let name: String
        /// numpy's name, or one of its own; nil for what is no tensor.
        let dtype: String?
        /// Below 0 where dynamic.
        let shape: [Int64]
    }

    private let graph: Graph
    private var api: UnsafePointer<OrtApi> { graph.runtime.api }

    init(_ graph: Graph) { self.graph = graph }

    /// Throws ``PocketVLError/bundle(_:)`` for a graph that takes or gives anything else than its entry point says.
    func check(_ entry: EntryPoint) throws(PocketVLError) {
        let functions = api.pointee
        try check(
            "input", entry.inputs,
            read(functions.SessionGetInputCount, functions.SessionGetInputName, functions.SessionGetInputTypeInfo))
        try check(
            "output", entry.outputs,
            read(functions.SessionGetOutputCount, functions.SessionGetOutputName, functions.SessionGetOutputTypeInfo))
    }

    private func check(_ kind: String, _ specs: [TensorSpec], _ found: [Found]) throws(PocketVLError) {
        let names = Set(specs.map(\.name))
        if let unknown = found.map(\.name).filter({ !names.contains($0) }).sorted().first {
            throw unfit("has the \(kind) '\(unknown)', unknown to this pocketvl")
        }
        for spec in specs {
            guard let given = found.first(where: { $0.name == spec.name }) else {
                throw unfit("lacks the \(kind) '\(spec.name)'")
            }
            guard let dtype = given.dtype else {
                throw unfit("has the \(kind) '\(spec.name)', which is no tensor")
            }
            if dtype != spec.dtype || !Self.fits(spec.shape, given.shape) {
                throw unfit(
                    "has the \(kind) '\(spec.name)' as \(dtype) \(given.shape), but the manifest's geometry needs"
                        + " \(spec.dtype) \(Self.written(spec.shape))")
            }
        }
    }

    /// Equal sizes where both are static; a dynamic one must be dynamic in the graph.
    private static func fits(_ shape: [Dimension], _ found: [Int64]) -> Bool {
        shape.elementsEqual(found) { dimension, size in
            if case .size(let wanted) = dimension { size == Int64(wanted) } else { size < 0 }
        }
    }

    private static func written(_ shape: [Dimension]) -> String {
        let sizes = shape.map { dimension in
            switch dimension {
            case .size(let size): String(size)
            case .dynamic(let name): name
            }
        }
        return "[\(sizes.joined(separator: ", "))]"
    }

    private func unfit(_ what: String) -> PocketVLError {
        .bundle("\(graph.file.path) \(what); export the bundle again.")
    }

    // Functions of onnxruntime's table, which come in pairs for inputs and outputs.
    private typealias Count = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>?) -> OrtStatusPtr?
    private typealias Name =
        @convention(c) (
            OpaquePointer?, Int, UnsafeMutablePointer<OrtAllocator>?,
            UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        ) -> OrtStatusPtr?
    private typealias Info =
        @convention(c) (OpaquePointer?, Int, UnsafeMutablePointer<OpaquePointer?>?) -> OrtStatusPtr?

    private func read(_ count: Count, _ name: Name, _ info: Info) throws(PocketVLError) -> [Found] {
        let session = graph.session.pointer
        var total = 0
        try api.check(count(session, &total), graph.failure)
        var allocator: UnsafeMutablePointer<OrtAllocator>?
        try api.check(api.pointee.GetAllocatorWithDefaultOptions(&allocator), graph.failure)
        var found: [Found] = []
        for index in 0..<total {
            var text: UnsafeMutablePointer<CChar>?
            try api.check(name(session, index, allocator, &text), graph.failure)
            let called = text.map { String(cString: $0) } ?? ""
            try api.check(api.pointee.AllocatorFree(allocator, text), graph.failure)
            let type = try api.made(api.pointee.ReleaseTypeInfo, graph.failure) { info(session, index, $0) }
            found.append(try described(called, type))
        }
        return found
    }

    private func described(_ name: String, _ type: Handle) throws(PocketVLError) -> Found {
        var tensor: OpaquePointer?  // a part of `type`; nil for another kind of value
        try api.check(api.pointee.CastTypeInfoToTensorInfo(type.pointer, &tensor), graph.failure)
        guard let tensor else { return Found(name: name, dtype: nil, shape: []) }
        var element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED
        try api.check(api.pointee.GetTensorElementType(tensor, &element), graph.failure)
        var rank = 0
        try api.check(api.pointee.GetDimensionsCount(tensor, &rank), graph.failure)
        var shape = [Int64](repeating: 0, count: rank)
        try api.check(api.pointee.GetDimensions(tensor, &shape, rank), graph.failure)
        return Found(name: name, dtype: Self.dtype(element), shape: shape)
    }

    private static func dtype(_ element: ONNXTensorElementDataType) -> String {
        switch element {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: "float32"
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: "float16"
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: "int32"
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: "int64"
        default: "element type \(element.rawValue)"
        }
    }
}
