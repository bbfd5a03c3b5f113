internal import CPocketVLExecuTorch

/// A method of a .pte file with the sizes of its inputs and its output, made once, so that a run allocates nothing.
final class MethodCall {
    let method: String
    let name: [CChar]  // the method's, as C takes it
    /// Of the output, float32.
    let output: pv_type
    let count: Int
    private(set) var inputs: [pv_tensor]

    init(_ method: String, inputs: [pv_type], output shape: [Int]) {
        self.method = method
        name = Array(method.utf8CString)
        output = .floats(shape)
        count = shape.reduce(1, *)
        self.inputs = inputs.map { pv_tensor(type: $0, data: nil) }
    }

    /// Where an input's numbers are, row-major; they must stay there until the run ends.
    func set(_ input: Int, _ memory: UnsafeRawPointer?) { inputs[input].data = memory }
}

extension pv_type {
    static func floats(_ shape: [Int]) -> pv_type { pv_type(Int32(PV_FLOAT32), shape) }

    /// One int64.
    static let integer = pv_type(Int32(PV_INT64), [1])

    private init(_ dtype: Int32, _ shape: [Int]) {
        self.init()
        self.dtype = dtype
        rank = Int32(shape.count)
        withUnsafeMutableBytes(of: &sizes) { bytes in
            let sizes = bytes.bindMemory(to: Int32.self)
            for (axis, size) in shape.prefix(sizes.count).enumerated() { sizes[axis] = Int32(clamping: size) }
        }
    }

    var shape: [Int] {
        withUnsafeBytes(of: sizes) { bytes in bytes.bindMemory(to: Int32.self).prefix(Int(rank)).map(Int.init) }
    }

    func hasShape(of other: pv_type) -> Bool {
        guard rank == other.rank else { return false }
        return withUnsafeBytes(of: sizes) { sizes in
            withUnsafeBytes(of: other.sizes) { sizes.elementsEqual($0) }  // those from rank on are 0
        }
    }
}
