import Foundation

/// Repetition penalty, temperature, topK, topP, in that order; the same seed draws the same tokens.
///
/// temperature 0 takes the likeliest token (the lowest id among equals). topK 0 and topP 1 limit nothing.
public struct Sampler: Sendable {
    private let temperature: Double
    private let topK: Int
    private let topP: Double
    private let penalty: Double
    private var random: SplitMix64
    private var scores: [Double] = []  // kept, so that the likeliest token allocates nothing

    /// Ids that may be drawn, in no order that means anything, and their probabilities.
    struct Candidates {
        var ids: [Int]
        var probabilities: [Double]
    }

    /// Throws ``PocketVLError/usage(_:)`` for values that cannot be meant. Without a seed it draws others each time.
    public init(
        temperature: Double = 0, topK: Int = 0, topP: Double = 1, repetitionPenalty: Double = 1, seed: UInt64? = nil
    ) throws(PocketVLError) {
        if !(temperature.isFinite && temperature >= 0) {
            throw .usage("temperature must be 0 (greedy) or more, not \(temperature).")
        }
        if topK < 0 { throw .usage("top_k must be 0 (no limit) or more, not \(topK).") }
        if !(topP > 0 && topP <= 1) {
            throw .usage("top_p must lie above 0 and not above 1 (no limit), not \(topP).")
        }
        if !(repetitionPenalty.isFinite && repetitionPenalty > 0) {
            throw .usage("repetition_penalty must be above 0, 1 being none, not \(repetitionPenalty).")
        }
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        penalty = repetitionPenalty
        random = SplitMix64(seed ?? UInt64.random(in: .min ... .max))
    }

    /// The next token's id, one of ``candidates(_:seen:never:)`` drawn by its probability.
    public mutating func sample(
        _ logits: ArraySlice<Float>, seen: [Int] = [], never: Set<Int> = []
    ) throws(PocketVLError) -> Int {
        try score(logits, seen: seen, never: never)
        if temperature == 0 { return likeliest() }
        let candidates = withinLimits()
        let drawn = Double.random(in: 0..<1, using: &random)
        var before = 0.0
        for (id, probability) in zip(candidates.ids, candidates.probabilities) {
            before += probability
            if drawn < before { return id }
        }
        return candidates.ids[candidates.ids.count - 1]  // the sum may round to less than 1
    }

    /// - Parameters:
    ///   - logits: (V,).
    ///   - seen: ids of prompt and answer so far, for the penalty; those outside of the vocabulary count for nothing.
    ///   - never: ids that are not drawn, whatever their logits.
    /// - Throws: ``PocketVLError/engine(_:)`` if the logits are not numbers to choose by.
    mutating func candidates(
        _ logits: ArraySlice<Float>, seen: [Int], never: Set<Int>
    ) throws(PocketVLError) -> Candidates {
        try score(logits, seen: seen, never: never)
        return temperature == 0 ? Candidates(ids: [likeliest()], probabilities: [1]) : withinLimits()
    }

    private mutating func score(_ logits: ArraySlice<Float>, seen: [Int], never: Set<Int>) throws(PocketVLError) {
        scores.removeAll(keepingCapacity: true)
        scores.append(contentsOf: logits.lazy.map(Double.init))
        let top = scores.contains(where: \.isNaN) ? Double.nan : scores.max() ?? -.infinity
        if !top.isFinite {
            throw .engine(
                "The decoder's largest logit is \(top); the artifact is damaged or overflows on this device:"
                    + " run `pocketvl verify` on the bundle.")
        }
        for id in never where scores.indices.contains(id) { scores[id] = -.infinity }
        if scores.max() == -.infinity {
            throw .engine(
                "The decoder's logits leave no token of the vocabulary; the artifact is damaged:"
                    + " run `pocketvl verify` on the bundle.")
        }
        // Tokens seen before become less likely (penalty above 1), whatever the sign of their score.
        if penalty != 1 {
            for id in Set(seen) where scores.indices.contains(id) {
                scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty
            }
        }
    }

    /// After temperature, topK and topP.
    private func withinLimits() -> Candidates {
        var ids = Array(scores.indices)
        if topK > 0 && topK < scores.count { ids = Ranking.best(topK, of: scores.count) { scores[$0] } }
        let top = ids.map { scores[$0] }.max() ?? 0
        // A tiny temperature sends the rest to -infinity, which is meant.
        var weights = ids.map { exp((scores[$0] - top) / temperature) }
        weights = normalized(weights)
        if topP < 1 {
            // All tokens this unlikely weigh less than 1 - topP together: no need to sort them.
            let least = min((1 - topP) / Double(weights.count), weights.max() ?? 0)
            let likely = zip(ids, weights).filter { $1 >= least }.sorted {
                $0.1 > $1.1 || ($0.1 == $1.1 && $0.0 < $1.0)
            }
            var sum = 0.0
            let kept = likely.prefix { _, weight in
                sum += weight
                return sum - weight < topP
            }
            (ids, weights) = (kept.map(\.0), kept.map(\.1))
        }
        let kept = zip(ids, weights).filter { $1 > 0 }
        return Candidates(ids: kept.map(\.0), probabilities: normalized(kept.map(\.1)))
    }

    private func normalized(_ weights: [Double]) -> [Double] {
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    private func likeliest() -> Int {
        var best = 0
        for (id, score) in scores.enumerated() where score > scores[best] { best = id }
        return best
    }
}

/// A small generator of random numbers that a seed starts (Steele, Lea and Flood 2014).
private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
