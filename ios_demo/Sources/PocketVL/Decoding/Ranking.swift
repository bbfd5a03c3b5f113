/// The best of many numbers, without sorting all of them.
enum Ranking {
    /// The `count` ids of 0..<size with the largest scores, best first, of equals the lowest id; no score is NaN.
    static func best<Score: Comparable>(
        _ count: Int, of size: Int, without never: Set<Int> = [], _ score: (Int) -> Score
    ) -> [Int] {
        guard count > 0 else { return [] }
        var heap: [Int] = []  // the worst of the best so far is at index 0
        func isWorse(_ a: Int, _ b: Int) -> Bool {
            let (left, right) = (score(a), score(b))
            return left < right || (left == right && a > b)
        }
        func sink(from start: Int) {
            var place = start
            while true {
                var worst = place
                for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                    if isWorse(heap[child], heap[worst]) { worst = child }
                }
                if worst == place { return }
                heap.swapAt(place, worst)
                place = worst
            }
        }
        for id in 0..<size where never.isEmpty || !never.contains(id) {
            if heap.count < count {
                heap.append(id)
                if heap.count == count {
                    for place in stride(from: count / 2, through: 0, by: -1) { sink(from: place) }
                }
            } else if isWorse(heap[0], id) {
                heap[0] = id
                sink(from: 0)
            }
        }
        return heap.sorted { isWorse($1, $0) }
    }
}
