internal import COnnxRuntime
import Foundation
import PocketVL

/// A ``VisionEngine`` over onnx/host_vision_encoder.onnx.
final class OnnxVision: VisionEngine, @unchecked Sendable {  // what changes is guarded by the lock
    private let lock = NSLock()
    private let bundle: ModelBundle
    private let runtime: Runtime
    private var loaded: Graph?
    private var call: Call?  // frames of a video are of one size

    init(_ bundle: ModelBundle, _ runtime: Runtime) {
        self.bundle = bundle
        self.runtime = runtime
    }

    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
        try EngineChecks.image(bundle.manifest, patches, rope)
        lock.lock()
        defer { lock.unlock() }
        let call = try prepared(patches.rows)
        call.patches.fill(patches)
        call.cos.fill(rope.cos)
        call.sin.fill(rope.sin)
        try call.binding.run()
        var embeddings = Matrix(rows: call.embeddings.rows, columns: call.embeddings.columns)
        call.embeddings.copy(to: &embeddings, rows: 0..<embeddings.rows)
        return embeddings
    }

    func release() {
        lock.lock()
        defer { lock.unlock() }
        call = nil
        loaded = nil
        pv_return_memory()
    }

    private func prepared(_ rows: Int) throws(PocketVLError) -> Call {
        if let call, call.patches.rows == rows { return call }
        call = nil  // its memory goes before other memory comes
        let graph: Graph
        if let loaded { graph = loaded } else { graph = try Graph(runtime, bundle, Names.visionEncoder) }
        loaded = graph
        let made = try Call(graph, bundle.manifest.geometry.vision, rows: rows)
        call = made
        return made
    }

    /// Memory of inputs and outputs for so many patches.
    private struct Call {
        let patches: NativeMatrix
        let cos: NativeMatrix
        let sin: NativeMatrix
        let embeddings: NativeMatrix
        let binding: Binding

        init(_ graph: Graph, _ vision: VisionGeometry, rows: Int) throws(PocketVLError) {
            patches = try NativeMatrix(rows: rows, columns: vision.patchDim)
            cos = try NativeMatrix(rows: rows, columns: vision.headDim)
            sin = try NativeMatrix(rows: rows, columns: vision.headDim)
            embeddings = try NativeMatrix(rows: rows / vision.mergeArea, columns: vision.outputSize)
            func whole(_ matrix: NativeMatrix) throws(PocketVLError) -> Tensor {
                try Tensor(graph, matrix, [matrix.rows, matrix.columns])
            }
            binding = try Binding(
                graph,
                inputs: [
                    (Names.patches, whole(patches)), (Names.ropeCos, whole(cos)), (Names.ropeSin, whole(sin)),
                ],
                outputs: [(Names.imageEmbeddings, whole(embeddings))])
        }
    }
}
