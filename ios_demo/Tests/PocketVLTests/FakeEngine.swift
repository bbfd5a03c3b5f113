import Foundation

@testable import PocketVL

/// Engines that stand in for native ones: what they compute depends on everything that a real one would look at.
///
/// A slot's state is a hash of the slot before it, its embedding and its rope; logits are pseudorandom numbers from that
/// state. So a slot that holds something else than it should, or a position that is off by one, changes the answer.
final class FakeEngine: @unchecked Sendable {
    static let hidden = 16

    let text: Text
    let vision: Vision
    var engine: Engine { Engine(vision: vision, text: text) }

    private let lock = NSLock()
    private var encodeHook: @Sendable (Int) throws(PocketVLError) -> Void = { _ in }
    private var decodeHook: @Sendable (Int) -> Void = { _ in }

    /// - Parameters:
    ///   - firstSpecial: of the ids that are never likeliest unless `eos` is given.
    ///   - eos: likeliest after every 16th state, so that answers end.
    init(vocabulary: Int, firstSpecial: Int, slots: Int, seed: UInt64 = 1, eos: Int? = nil) {
        text = Text(vocabulary: vocabulary, firstSpecial: firstSpecial, slots: slots, seed: seed, eos: eos)
        vision = Vision(seed: seed)
        text.owner = self
        vision.owner = self
    }

    /// Called at the beginning of each vision encode, with its number from 1.
    var onEncode: @Sendable (Int) throws(PocketVLError) -> Void {
        get { lock.withLock { encodeHook } }
        set { lock.withLock { encodeHook = newValue } }
    }

    /// Likewise of each decode.
    var onDecode: @Sendable (Int) -> Void {
        get { lock.withLock { decodeHook } }
        set { lock.withLock { decodeHook = newValue } }
    }

    final class Vision: VisionEngine, @unchecked Sendable {
        fileprivate weak var owner: FakeEngine?
        private let seed: UInt64
        private let lock = NSLock()
        private var calls = (encoded: 0, released: 0)

        fileprivate init(seed: UInt64) { self.seed = seed }

        var encoded: Int { lock.withLock { calls.encoded } }
        var released: Int { lock.withLock { calls.released } }

        func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
            let call = lock.withLock {
                calls.encoded += 1
                return calls.encoded
            }
            try owner?.onEncode(call)
            var result = Matrix(rows: patches.rows / 4, columns: FakeEngine.hidden)
            for row in 0..<result.rows {
                var state = seed
                for patch in 4 * row..<4 * row + 4 {
                    for matrix in [patches, rope.cos, rope.sin] { state = FakeEngine.hash(state, matrix, patch) }
                }
                FakeEngine.write(state, &result, row)
            }
            return result
        }

        func release() { lock.withLock { calls.released += 1 } }
    }

    final class Text: SavesCache, @unchecked Sendable {
        let cache = KVCache()
        fileprivate weak var owner: FakeEngine?
        private let vocabulary: Int
        private let firstSpecial: Int
        private let seed: UInt64
        private let lock = NSLock()
        private var ending: Int?
        private var counts = (decoded: 0, closed: 0)
        private var script: [Int] = []
        private var said = 0
        private var calls: [(first: Int, count: Int)] = []
        private var states: [UInt64]

        fileprivate init(vocabulary: Int, firstSpecial: Int, slots: Int, seed: UInt64, eos: Int?) {
            self.vocabulary = vocabulary
            self.firstSpecial = firstSpecial
            self.seed = seed
            ending = eos
            states = [UInt64](repeating: 0, count: slots)
        }

        var decoded: Int { lock.withLock { counts.decoded } }
        var closed: Int { lock.withLock { counts.closed } }

        /// First slot and slots of each call since this was emptied.
        var fed: [(first: Int, count: Int)] {
            get { lock.withLock { calls } }
            set { lock.withLock { calls = newValue } }
        }

        var eos: Int? {
            get { lock.withLock { ending } }
            set { lock.withLock { ending = newValue } }
        }

        /// Tokens that are chosen one after the other, whatever the state; then those of the state.
        func follow(_ tokens: [Int]) {
            lock.withLock {
                script = tokens
                said = 0
            }
        }

        func decode(
            embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix
        ) throws(PocketVLError) {
            let call = lock.withLock {
                counts.decoded += 1
                calls.append((cachePosition, embeddings.rows))
                return counts.decoded
            }
            owner?.onDecode(call)
            cache.truncate(cachePosition)
            guard cachePosition + embeddings.rows <= states.count else { throw .engine("The context is full.") }
            for row in 0..<embeddings.rows {
                let slot = cachePosition + row
                var state = slot == 0 ? seed : states[slot - 1]
                for matrix in [embeddings, rope.cos, rope.sin] { state = FakeEngine.hash(state, matrix, row) }
                states[slot] = state
                FakeEngine.write(state, &hidden, row)
            }
        }

        func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
            let (vocabulary, firstSpecial) = (vocabulary, firstSpecial)
            for row in 0..<hidden.rows {
                let state = FakeEngine.read(hidden, row)
                let (scripted, eos): (Int?, Int?) = lock.withLock {
                    defer { said += 1 }
                    return (said < script.count ? script[said] : nil, ending)
                }
                logits.withUnsafeMutableValues { values in
                    for id in 0..<vocabulary {
                        let noise = Float(FakeEngine.mix(state &+ UInt64(id)) >> 40) / Float(1 << 24)
                        let value: Float =
                            if let scripted {
                                id == scripted ? 1 : 0
                            } else if eos == nil && id >= firstSpecial {
                                -1
                            } else if id == eos && state & 15 == 0 {
                                2
                            } else {
                                noise
                            }
                        values[row * vocabulary + id] = value
                    }
                }
            }
        }

        func saveCache(length: Int) throws(PocketVLError) -> [String: CacheTensor] {
            var matrix = Matrix(rows: length, columns: 4)
            for slot in 0..<length { FakeEngine.write(states[slot], &matrix, slot) }
            let bytes = matrix.values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
            return ["states": CacheTensor(dtype: "float32", shape: [length, 4], bytes: bytes)]
        }

        func loadCache(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int {
            guard let tensor = tensors["states"], tensors.count == 1, tensor.shape.count == 2, tensor.shape[1] == 4,
                tensor.shape[0] <= states.count
            else { throw .engine("These are tensors of another engine.") }
            let values = stride(from: 0, to: tensor.bytes.count, by: 4).map { start in
                Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(tensor.bytes[start + $1]) << (8 * $1) })
            }
            let matrix = try Matrix(rows: tensor.shape[0], columns: 4, values: values)
            cache.truncate(0)
            for slot in 0..<matrix.rows { states[slot] = FakeEngine.read(matrix, slot) }
            return matrix.rows
        }

        func close() {
            lock.withLock { counts.closed += 1 }
            cache.truncate(0)
            states = [UInt64](repeating: 0, count: states.count)
        }
    }

    /// 64 bits as four whole numbers, which float32 holds exactly.
    private static func write(_ state: UInt64, _ matrix: inout Matrix, _ row: Int) {
        for part in 0..<4 { matrix[row, part] = Float(state >> (16 * part) & 0xFFFF) }
    }

    private static func read(_ matrix: Matrix, _ row: Int) -> UInt64 {
        (0..<4).reduce(0) { $0 | UInt64(max(0, min(65535, matrix[row, $1]))) << (16 * $1) }
    }

    private static func hash(_ start: UInt64, _ matrix: Matrix, _ row: Int) -> UInt64 {
        matrix.row(row).reduce(start) { mix($0 ^ UInt64($1.bitPattern)) }
    }

    /// Of SplitMix64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
