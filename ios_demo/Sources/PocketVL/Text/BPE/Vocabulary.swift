/// The bytes of each token, by id; an id may have none.
struct Vocabulary: Sendable {
    private var pool: [UInt8] = []
    private var starts: [Int32] = []
    private var sizes: [Int32] = []  // -1 for an id without a token
    private var slots = [Int32](repeating: 0, count: 1 << 11)  // id + 1, by hash of the bytes: an open table
    private(set) var count = 0

    /// Above the largest id.
    var end: Int { sizes.count }

    func contains(_ id: Int) -> Bool { sizes.indices.contains(id) && sizes[id] >= 0 }

    /// nil for an id without a token.
    func bytes(_ id: Int) -> ArraySlice<UInt8>? {
        guard contains(id) else { return nil }
        return pool[Int(starts[id])..<Int(starts[id] + sizes[id])]
    }

    /// The id of a token of these bytes.
    func find(_ bytes: ArraySlice<UInt8>) -> Int? {
        let stored = slots[slot(of: bytes)]
        return stored == 0 ? nil : Int(stored - 1)
    }

    /// Adds a token; the id is not negative. False where the id or the bytes are there already.
    mutating func add(_ bytes: ArraySlice<UInt8>, id: Int) -> Bool {
        if contains(id) { return false }
        if 2 * count >= slots.count { rehash() }
        let slot = slot(of: bytes)
        if slots[slot] != 0 { return false }
        if id >= sizes.count {
            let missing = id + 1 - sizes.count
            sizes += repeatElement(-1, count: missing)
            starts += repeatElement(0, count: missing)
        }
        starts[id] = Int32(pool.count)
        sizes[id] = Int32(bytes.count)
        pool += bytes
        slots[slot] = Int32(id + 1)
        count += 1
        return true
    }

    private mutating func rehash() {
        slots = [Int32](repeating: 0, count: 2 * slots.count)
        for id in sizes.indices {
            if let bytes = bytes(id) { slots[slot(of: bytes)] = Int32(id + 1) }
        }
    }

    /// Where those bytes are, or the free place where they belong.
    private func slot(of bytes: ArraySlice<UInt8>) -> Int {
        var hash = UInt64(bytes.count)
        for byte in bytes { hash = hash &* 31 &+ UInt64(byte) }
        var slot = Int(truncatingIfNeeded: (hash &* 0x9E37_79B9_7F4A_7C15) >> 32) & (slots.count - 1)
        while slots[slot] != 0, let held = self.bytes(Int(slots[slot] - 1)), held != bytes {
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }
}

/// Which pairs of tokens become one, and which first.
struct MergeTable: Sendable {
    private var ranks: [UInt64: Int32] = [:]
    private var results: [Int32] = []

    var count: Int { results.count }

    mutating func reserveCapacity(_ count: Int) {
        ranks.reserveCapacity(count)
        results.reserveCapacity(count)
    }

    /// The next pair: of a higher rank than all before. False if it is there already.
    mutating func add(_ left: Int, _ right: Int, becomes result: Int) -> Bool {
        guard ranks.updateValue(Int32(results.count), forKey: key(left, right)) == nil else { return false }
        results.append(Int32(result))
        return true
    }

    /// The lowest is merged first; nil for a pair that stays.
    func rank(_ left: Int, _ right: Int) -> Int? { ranks[key(left, right)].map(Int.init) }

    /// The token that the pair of that rank becomes.
    func result(_ rank: Int) -> Int { Int(results[rank]) }

    private func key(_ left: Int, _ right: Int) -> UInt64 {
        UInt64(UInt32(truncatingIfNeeded: left)) << 32 | UInt64(UInt32(truncatingIfNeeded: right))
    }
}

/// The characters by which a vocabulary writes bytes: printable Latin-1 as itself, the other bytes in order as U+0100
/// and up (GPT-2's alphabet).
enum ByteAlphabet {
    private static let bytes: [UInt8?] = {
        var table = [UInt8?](repeating: nil, count: 0x200)
        var next = 0x100
        for byte in UInt8.min...UInt8.max {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: table[Int(byte)] = byte
            default:
                table[next] = byte
                next += 1
            }
        }
        return table
    }()

    /// The bytes that a text in UTF-8 stands for; nil where a character stands for none.
    static func decoded(_ utf8: [UInt8]) -> [UInt8]? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(utf8.count)
        var at = 0
        while at < utf8.count {
            var code = Int(utf8[at])
            if code >= 0x80 {
                // All of the alphabet has two bytes at most.
                guard (0xC2...0xC7).contains(code), at + 1 < utf8.count, utf8[at + 1] & 0xC0 == 0x80 else {
                    return nil
                }
                code = (code & 0x1F) << 6 | Int(utf8[at + 1] & 0x3F)
                at += 1
            }
            guard let byte = bytes[code] else { return nil }
            decoded.append(byte)
            at += 1
        }
        return decoded
    }
}
