import Foundation

/// The tokens of words met before; a word drives out another one that falls into its place. For any thread.
final class WordCache: @unchecked Sendable {
    private struct Entry {
        let bytes: [UInt8]
        let ids: [Int]
    }

    private static let size = 1 << 12
    private static let maxBytes = 64  // longer words seldom come twice

    private let lock = NSLock()
    private var entries = [Entry?](repeating: nil, count: size)  // guarded by the lock

    /// The ids of a word, made by `encode` where they are not here.
    func ids(_ word: ArraySlice<UInt8>, _ encode: (ArraySlice<UInt8>) -> [Int]) -> [Int] {
        if word.count > Self.maxBytes { return encode(word) }
        let place = place(word)
        let known = lock.withLock { entries[place] }
        if let known, known.bytes.elementsEqual(word) { return known.ids }
        let ids = encode(word)
        lock.withLock { entries[place] = Entry(bytes: Array(word), ids: ids) }
        return ids
    }

    private func place(_ word: ArraySlice<UInt8>) -> Int {
        var hash = UInt64(word.count)
        for byte in word { hash = hash &* 31 &+ UInt64(byte) }
        return Int(truncatingIfNeeded: (hash &* 0x9E37_79B9_7F4A_7C15) >> 40) & (Self.size - 1)
    }
}
