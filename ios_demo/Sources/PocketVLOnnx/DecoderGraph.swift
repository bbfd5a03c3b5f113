import PocketVL

/// The decoder's graph with its cache.
final class DecoderGraph {
    let cache: GraphCache
    private let graph: Graph
    private let text: TextGeometry
    private var call: Call?  // tokens come one by one

    init(_ graph: Graph, _ manifest: Manifest) throws(PocketVLError) {
        self.graph = graph
        text = manifest.geometry.text
        cache = try GraphCache(graph, text, slots: manifest.maxContext)
    }

    /// Sizes are as checked.
    func run(
        _ embeddings: Matrix, _ rope: Rope, cachePosition: Int, into hidden: inout Matrix
    ) throws(PocketVLError) {
        let rows = embeddings.rows
        let call = try prepared(rows)
        call.embeddings.fill(embeddings)
        call.cos.fill(rope.cos)
        call.sin.fill(rope.sin)
        call.lastSlot.value = cachePosition + rows - 1
        call.total.value = cachePosition + rows
        try call.binding.run()
        call.hidden.copy(to: &hidden, rows: 0..<rows)
    }

    private func prepared(_ rows: Int) throws(PocketVLError) -> Call {
        if let call, call.embeddings.rows == rows { return call }
        call = nil  // its memory goes before other memory comes
        let made = try Call(graph, cache, text, rows: rows)
        call = made
        return made
    }

    /// Memory of inputs and outputs for so many tokens.
    private struct Call {
        let embeddings: NativeMatrix
        let cos: NativeMatrix
        let sin: NativeMatrix
        let hidden: NativeMatrix
        let lastSlot = NativeInt32()
        let total = NativeInt32()
        let binding: Binding

        init(_ graph: Graph, _ cache: GraphCache, _ text: TextGeometry, rows: Int) throws(PocketVLError) {
            embeddings = try NativeMatrix(rows: rows, columns: text.hiddenSize)
            cos = try NativeMatrix(rows: rows, columns: text.headDim)
            sin = try NativeMatrix(rows: rows, columns: text.headDim)
            hidden = try NativeMatrix(rows: rows, columns: text.hiddenSize)
            let own = [
                (Names.embeddings, try Tensor(graph, embeddings, [1, rows, text.hiddenSize])),
                (Names.ropeCos, try Tensor(graph, cos, [rows, text.headDim])),
                (Names.ropeSin, try Tensor(graph, sin, [rows, text.headDim])),
                (Names.seqlensK, try Tensor(graph, lastSlot, [1])),
                (Names.totalSequenceLength, try Tensor(graph, total, [])),
            ]
            let result = try Tensor(graph, hidden, [1, rows, text.hiddenSize])
            binding = try Binding(
                graph, inputs: own + cache.past, outputs: [(Names.hidden, result)] + cache.present)
        }
    }
}
