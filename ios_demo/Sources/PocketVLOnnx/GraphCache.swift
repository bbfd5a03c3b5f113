import Foundation
import PocketVL

/// Keys and values of the decoder's graph.
///
/// One buffer of `slots` slots is past and present: GroupQueryAttention then writes in place. It never reads slots
/// after total_sequence_length, whatever is there.
final class GraphCache {
    private let names: [String]
    private let buffers: [NativeMatrix]  // rows: heads, columns: slots x headDim
    private let text: TextGeometry
    private let slots: Int

    /// The graph's inputs, and its outputs over the same memory.
    let past: [(name: String, tensor: Tensor)]
    let present: [(name: String, tensor: Tensor)]

    init(_ graph: Graph, _ text: TextGeometry, slots: Int) throws(PocketVLError) {
        self.text = text
        self.slots = slots
        names = Self.tensorNames(text, Names.pastTensor)
        var buffers: [NativeMatrix] = []
        var tensors: [Tensor] = []
        for _ in names {
            let buffer = try NativeMatrix(rows: text.numKvHeads, columns: slots * text.headDim)
            tensors.append(try Tensor(graph, buffer, [1, text.numKvHeads, slots, text.headDim]))
            buffers.append(buffer)
        }
        self.buffers = buffers
        past = zip(names, tensors).map { ($0, $1) }
        present = zip(Self.tensorNames(text, Names.presentTensor), tensors).map { ($0, $1) }
    }

    /// Copies of the first slots, float32 (1, kvHeads, length, headDim).
    func save(length: Int) -> [String: CacheTensor] {
        var saved: [String: CacheTensor] = [:]
        for (name, buffer) in zip(names, buffers) {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.numKvHeads * rowBytes(length))
            for head in 0..<text.numKvHeads { bytes.append(contentsOf: slotBytes(buffer, head, length)) }
            let shape = [1, text.numKvHeads, length, text.headDim]
            saved[name] = CacheTensor(dtype: "float32", shape: shape, bytes: bytes)
        }
        return saved
    }

    /// How many slots are given; throws ``PocketVLError/engine(_:)`` for tensors of another model.
    func check(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int {
        let whole = [1, text.numKvHeads, slots, text.headDim]
        return try EngineChecks.cache(tensors, wholes: names.map { ($0, whole) }, dtype: "float32", slotAxis: 2)
    }

    /// Writes `count` slots, as checked.
    func load(_ tensors: [String: CacheTensor], count: Int) {
        let size = rowBytes(count)
        for (name, buffer) in zip(names, buffers) {
            guard let tensor = tensors[name] else { continue }
            for head in 0..<text.numKvHeads {
                slotBytes(buffer, head, count).copyBytes(from: tensor.bytes[head * size..<(head + 1) * size])
            }
        }
    }

    private func rowBytes(_ slots: Int) -> Int { slots * text.headDim * MemoryLayout<Float>.stride }

    /// The memory of a head's first slots.
    private func slotBytes(_ buffer: NativeMatrix, _ head: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        let start = head * buffer.columns
        return UnsafeMutableRawBufferPointer(
            UnsafeMutableBufferPointer(rebasing: buffer.values[start..<start + count * text.headDim]))
    }

    private static func tensorNames(_ text: TextGeometry, _ name: (Int, String) -> String) -> [String] {
        (0..<text.numLayers).flatMap { layer in ["key", "value"].map { name(layer, $0) } }
    }
}
