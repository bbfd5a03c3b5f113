#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import Foundation
    import PocketVL

    /// The decoder's packages, one or several that follow each other, with the functions of each and one state that they
    /// share: what prefill wrote, decode reads.
    @available(iOS 18, macOS 15, *)
    final class DecoderChunks {
        /// Added to scores of slots that a token does not see; float16 ends at -65504.
        private static let maskedScore: Float16 = -3e4

        private struct Chunk {
            let file: String
            /// By tokens of a call.
            let functions: [Int: LoadedFunction]
            let state: MLState
        }

        private let manifest: Manifest
        private let chunks: [Chunk]
        /// Tokens of a call, ascending.
        let sizes: [Int]

        init(_ bundle: ModelBundle, _ packages: CompiledPackages, _ units: ComputeUnits) throws(PocketVLError) {
            manifest = bundle.manifest
            var order: [String] = []
            var functions: [String: [Int: LoadedFunction]] = [:]
            for entry in manifest.entries(Names.textDecoder) {
                if functions[entry.file] == nil { order.append(entry.file) }
                let tokens = try entry.tokens
                functions[entry.file, default: [:]][tokens] = try LoadedFunction(entry, packages, units)
            }
            var chunks: [Chunk] = []
            for file in order {
                guard let made = functions[file], let first = made.values.first else { continue }
                chunks.append(Chunk(file: file, functions: made, state: first.model.makeState()))
            }
            self.chunks = chunks
            sizes = (chunks.first?.functions.keys.sorted() ?? []).filter { size in
                chunks.allSatisfy { $0.functions[size] != nil }
            }
        }

        /// The smallest call for what is left, else the largest, that stays within the free slots.
        func size(for left: Int, room: Int) throws(PocketVLError) -> Int {
            let fitting = sizes.filter { $0 <= room }
            guard let largest = fitting.last else {
                throw .engine(
                    "The bundle has no decoder function for the last \(room) slots; export it again with one for 1"
                        + " token.")
            }
            return fitting.first { $0 >= left } ?? largest
        }

        /// Runs rows of the inputs, at most `size`, through all chunks. What padding writes is overwritten before
        /// anything sees it.
        func run(
            _ size: Int, _ embeddings: Matrix, _ rope: Rope, rows: Range<Int>, at position: Int,
            into hidden: inout Matrix
        ) throws(PocketVLError) {
            for (number, chunk) in chunks.enumerated() {
                guard let function = chunk.functions[size] else { continue }  // `sizes` has those that all have
                let input = try function.input(Names.embeddings)
                input.fill(number == 0 ? embeddings : hidden, rows: rows)
                try function.input(Names.ropeCos).fill(rope.cos, rows: rows)
                try function.input(Names.ropeSin).fill(rope.sin, rows: rows)
                try function.input(Names.cachePosition)[0] = NSNumber(value: position)
                try function.input(Names.attentionMask).fill { row, slot in
                    slot <= position + row ? 0 : Self.maskedScore
                }
                try function.run(chunk.state).copy(to: &hidden, rows: rows)
            }
        }

        /// The whole cache's parts by package and state, see ``SavesCache``.
        func save(length: Int) -> [String: CacheTensor] {
            var saved: [String: CacheTensor] = [:]
            forEachState { name, array in saved[name] = StateSlots(array).save(length) }
            return saved
        }

        /// Names and shapes of what ``save(length:)`` gives for all slots.
        func states() -> [(name: String, shape: [Int])] {
            var found: [(String, [Int])] = []
            forEachState { name, array in found.append((name, array.sizes)) }
            return found
        }

        /// Writes `count` slots, as checked.
        func load(_ tensors: [String: CacheTensor], count: Int) {
            forEachState { name, array in
                if let tensor = tensors[name] { StateSlots(array).load(tensor.bytes, count) }
            }
        }

        private func forEachState(_ body: (String, MLMultiArray) -> Void) {
            for chunk in chunks {
                for name in [Names.kCache, Names.vCache] {
                    chunk.state.withMultiArray(for: name) { body("\(chunk.file)/\(name)", $0) }
                }
            }
        }
    }

    extension EntryPoint {
        /// Tokens of a call of a decoder's function.
        fileprivate var tokens: Int {
            get throws(PocketVLError) {
                guard let sizes = try inputs.first(where: { $0.name == Names.embeddings })?.sizes, sizes.count == 3
                else { throw .bundle("\(method) of \(file) takes no tokens; export the bundle again.") }
                return sizes[1]
            }
        }
    }

    /// The slots of one state, float16 (layers, kvHeads, slots, headDim), in whatever layout Core ML keeps it.
    @available(iOS 18, macOS 15, *)
    private struct StateSlots {
        private let array: MLMultiArray

        init(_ array: MLMultiArray) { self.array = array }

        func save(_ length: Int) -> CacheTensor {
            var shape = array.sizes
            shape[2] = length
            var bytes = [UInt8](repeating: 0, count: shape.reduce(2, *))
            bytes.withUnsafeMutableBytes { target in
                let target = target.bindMemory(to: UInt16.self)
                visit(length) { source, place, index in target[index] = source[place] }
            }
            return CacheTensor(dtype: "float16", shape: shape, bytes: bytes)
        }

        func load(_ bytes: [UInt8], _ count: Int) {
            bytes.withUnsafeBytes { source in
                let source = source.bindMemory(to: UInt16.self)
                visit(count) { target, place, index in target[place] = source[index] }
            }
        }

        /// Each number of the first slots: where it is in the state, and where in a tensor without gaps.
        private func visit(_ slots: Int, _ body: (UnsafeMutableBufferPointer<UInt16>, Int, Int) -> Void) {
            let sizes = array.sizes
            array.withUnsafeMutableBytes { bytes, strides in
                let values = bytes.bindMemory(to: UInt16.self)
                var index = 0
                for layer in 0..<sizes[0] {
                    for head in 0..<sizes[1] {
                        for slot in 0..<slots {
                            var place = layer * strides[0] + head * strides[1] + slot * strides[2]
                            for _ in 0..<sizes[3] {
                                body(values, place, index)
                                place += strides[3]
                                index += 1
                            }
                        }
                    }
                }
            }
        }
    }
#endif
