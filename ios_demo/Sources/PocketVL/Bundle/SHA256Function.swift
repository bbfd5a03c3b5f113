/// SHA-256 as FIPS 180-4 defines it, for systems without CryptoKit.
struct SHA256Function {
    private static let blockSize = 64

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
    private static let constants: [UInt32] = primes(64).map { fraction(of: $0, root: 3) }

    /// Likewise of the square roots of the first 8 (5.3.3).
    private static let start: [UInt32] = primes(8).map { fraction(of: $0, root: 2) }

    private var state = SHA256Function.start
    private var block: [UInt8] = []  // that is not full yet
    private var schedule = [UInt32](repeating: 0, count: 64)
    private var length: UInt64 = 0  // bytes

    init() { block.reserveCapacity(Self.blockSize) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        length += UInt64(bytes.count)
        var rest = bytes[...]
        if !block.isEmpty {
            let taken = rest.prefix(Self.blockSize - block.count)
            block.append(contentsOf: taken)
            rest = rest.dropFirst(taken.count)
            guard block.count == Self.blockSize else { return }
            let full = block
            full.withUnsafeBytes { compress($0) }
            block.removeAll(keepingCapacity: true)
        }
        let whole = rest.count / Self.blockSize * Self.blockSize
        compress(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
        block.append(contentsOf: rest.dropFirst(whole))
    }

    /// 32 bytes.
    mutating func finalize() -> [UInt8] {
        let bits = length &* 8
        var padding: [UInt8] = [0x80]
        while (block.count + padding.count) % Self.blockSize != 56 { padding.append(0) }
        padding += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
        padding.withUnsafeBytes { update($0) }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) } }
    }

    /// Whole blocks (6.2.2).
    private mutating func compress(_ blocks: UnsafeRawBufferPointer) {
        guard let base = blocks.baseAddress else { return }
        state.withUnsafeMutableBufferPointer { state in
            schedule.withUnsafeMutableBufferPointer { w in
                Self.constants.withUnsafeBufferPointer { k in
                    guard let state = state.baseAddress, let w = w.baseAddress, let k = k.baseAddress else { return }
                    for offset in stride(from: 0, to: blocks.count, by: Self.blockSize) {
                        Self.compress(base + offset, state, w, k)
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func compress(
        _ block: UnsafeRawPointer, _ state: UnsafeMutablePointer<UInt32>, _ w: UnsafeMutablePointer<UInt32>,
        _ k: UnsafePointer<UInt32>
    ) {
        for t in 0..<16 { w[t] = UInt32(bigEndian: block.loadUnaligned(fromByteOffset: 4 &* t, as: UInt32.self)) }
        for t in 16..<64 {
            let low = rotated(w[t &- 15], 7) ^ rotated(w[t &- 15], 18) ^ (w[t &- 15] &>> 3)
            let high = rotated(w[t &- 2], 17) ^ rotated(w[t &- 2], 19) ^ (w[t &- 2] &>> 10)
            w[t] = w[t &- 16] &+ low &+ w[t &- 7] &+ high
        }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = (state[4], state[5], state[6], state[7])
        for t in 0..<64 {
            let mixed = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
            let first = h &+ mixed &+ ((e & f) ^ (~e & g)) &+ k[t] &+ w[t]
            let second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) &+ ((a & b) ^ (a & c) ^ (b & c))
            h = g
            g = f
            f = e
            e = d &+ first
            d = c
            c = b
            b = a
            a = first &+ second
        }
        state[0] &+= a
        state[1] &+= b
        state[2] &+= c
        state[3] &+= d
        state[4] &+= e
        state[5] &+= f
        state[6] &+= g
        state[7] &+= h
    }

    @inline(__always)
    private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
        (word &>> count) | (word &<< (32 &- count))
    }

    private static func primes(_ count: Int) -> [UInt64] {
        var found: [UInt64] = []
        var candidate: UInt64 = 2
        while found.count < count {
            if found.allSatisfy({ candidate % $0 != 0 }) { found.append(candidate) }
            candidate += 1
        }
        return found
    }

    /// floor(frac(prime^(1/root)) * 2^32): the largest r with r^root <= prime * 2^(32 * root), without its upper bits.
    private static func fraction(of prime: UInt64, root: Int) -> UInt32 {
        var (low, high): (UInt64, UInt64) = (0, 1 << 40)
        while high - low > 1 {
            let middle = (low + high) / 2
            if isPower(middle, root, atMost: prime) { low = middle } else { high = middle }
        }
        return UInt32(truncatingIfNeeded: low)
    }

    /// Whether value^root <= prime * 2^(32 * root), in whole numbers of 32-bit digits.
    private static func isPower(_ value: UInt64, _ root: Int, atMost prime: UInt64) -> Bool {
        var power: [UInt64] = [1]
        for _ in 0..<root { power = product(power, [value & 0xFFFF_FFFF, value >> 32]) }
        let bound = [UInt64](repeating: 0, count: root) + [prime]
        for index in stride(from: max(power.count, bound.count) - 1, through: 0, by: -1) {
            let left = index < power.count ? power[index] : 0
            let right = index < bound.count ? bound[index] : 0
            if left != right { return left < right }
        }
        return true
    }

    private static func product(_ a: [UInt64], _ b: [UInt64]) -> [UInt64] {
        var digits = [UInt64](repeating: 0, count: a.count + b.count)
        for i in a.indices {
            var carry: UInt64 = 0
            for j in b.indices {
                let sum = digits[i + j] + a[i] * b[j] + carry
                digits[i + j] = sum & 0xFFFF_FFFF
                carry = sum >> 32
            }
            digits[i + b.count] += carry
        }
        return digits
    }
}
