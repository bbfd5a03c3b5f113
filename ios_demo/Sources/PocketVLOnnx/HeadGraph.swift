import PocketVL

/// The head's graph.
final class HeadGraph {
    private let graph: Graph
    private let text: TextGeometry
    private var call: Call?  // mostly of one row

    init(_ graph: Graph, _ text: TextGeometry) {
        self.graph = graph
        self.text = text
    }

    /// Sizes are as checked. More rows than ``Names/maxHeadRows`` are several calls: a row of logits is large.
    func run(_ hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        for start in stride(from: 0, to: hidden.rows, by: Names.maxHeadRows) {
            let rows = start..<min(start + Names.maxHeadRows, hidden.rows)
            let call = try prepared(rows.count)
            call.hidden.fill(hidden, rows: rows)
            try call.binding.run()
            call.logits.copy(to: &logits, rows: rows)
        }
    }

    private func prepared(_ rows: Int) throws(PocketVLError) -> Call {
        if let call, call.hidden.rows == rows { return call }
        call = nil  // its memory goes before other memory comes
        let made = try Call(graph, text, rows: rows)
        call = made
        return made
    }

    private struct Call {
        let hidden: NativeMatrix
        let logits: NativeMatrix
        let binding: Binding

        init(_ graph: Graph, _ text: TextGeometry, rows: Int) throws(PocketVLError) {
            hidden = try NativeMatrix(rows: rows, columns: text.hiddenSize)
            logits = try NativeMatrix(rows: rows, columns: text.vocabSize)
            binding = try Binding(
                graph, inputs: [(Names.hidden, Tensor(graph, hidden, [1, rows, text.hiddenSize]))],
                outputs: [(Names.logits, Tensor(graph, logits, [1, rows, text.vocabSize]))])
        }
    }
}
