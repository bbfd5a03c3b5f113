/// A byte-level BPE model.
struct BPE: Sendable {
    let vocabulary: Vocabulary
    let merges: MergeTable
    /// The tokens of the 256 single bytes, from which merges make longer ones.
    let byteIDs: [Int]

    /// The tokens of one word: its bytes, of which the pair of the lowest rank becomes one until no pair is left; of
    /// equal pairs the first. See Sennrich et al. 2016, arXiv:1508.07909. Takes O(n log n) for n bytes.
    func encode(_ word: ArraySlice<UInt8>) -> [Int] {
        var ids = word.map { byteIDs[Int($0)] }
        if ids.count < 2 { return ids }
        var next = Array(1...ids.count)
        var previous = Array(-1..<ids.count - 1)
        var waiting = MergeQueue()
        func offer(_ left: Int, _ right: Int) {
            if let rank = merges.rank(ids[left], ids[right]) { waiting.push(rank: rank, place: left) }
        }
        for place in 0..<ids.count - 1 { offer(place, place + 1) }
        while let (rank, place) = waiting.pop() {
            let right = ids[place] < 0 ? ids.count : next[place]
            // Merges beside it may have changed the pair since.
            if right == ids.count || merges.rank(ids[place], ids[right]) != rank { continue }
            ids[place] = merges.result(rank)
            ids[right] = -1
            next[place] = next[right]
            if next[place] < ids.count {
                previous[next[place]] = place
                offer(place, next[place])
            }
            if previous[place] >= 0 { offer(previous[place], place) }
        }
        return ids.filter { $0 >= 0 }
    }
}

/// Pairs that may be merged, by rank, then by place: a binary heap.
private struct MergeQueue {
    private var heap: [UInt64] = []  // rank << 32 | place

    mutating func push(rank: Int, place: Int) {
        heap.append(UInt64(UInt32(truncatingIfNeeded: rank)) << 32 | UInt64(UInt32(truncatingIfNeeded: place)))
        var at = heap.count - 1
        while at > 0, heap[(at - 1) / 2] > heap[at] {
            heap.swapAt((at - 1) / 2, at)
            at = (at - 1) / 2
        }
    }

    mutating func pop() -> (rank: Int, place: Int)? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var at = 0
            while true {
                var least = at
                for child in [2 * at + 1, 2 * at + 2] where child < heap.count && heap[child] < heap[least] {
                    least = child
                }
                if least == at { break }
                heap.swapAt(at, least)
                at = least
            }
        }
        return (Int(top >> 32), Int(top & 0xFFFF_FFFF))
    }
}
