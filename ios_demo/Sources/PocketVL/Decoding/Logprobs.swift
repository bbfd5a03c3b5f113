import Foundation

/// A token and the natural logarithm of its probability: what the model itself thought, before any sampling setting.
public struct TokenLogprob: Sendable, Equatable {
    public let tokenID: Int
    public let logprob: Double
    /// Its bytes in UTF-8, maybe part of a character; those of a special token are its name.
    public var token: [UInt8] = []
}

/// The token that was drawn at one place of an answer, and the likeliest ones there.
public struct Logprobs: Sendable, Equatable {
    public private(set) var drawn: TokenLogprob
    /// Best first; the drawn token is among them only where it is one of the likeliest.
    public private(set) var top: [TokenLogprob]

    public static let maxAlternatives = 20

    /// log(softmax(logits)) at `token` and at the `count` likeliest ids; of equals the lowest id is first.
    ///
    /// - Parameters:
    ///   - logits: (V,), the model's own.
    ///   - token: one of 0..<V.
    ///   - never: ids without a token, which are no alternatives, though they have their share of the probability.
    init(_ logits: ArraySlice<Float>, token: Int, count: Int, never: Set<Int>) {
        let top = Double(logits.max() ?? 0)
        let total = logits.reduce(0.0) { $0 + exp(Double($1) - top) }
        let shift = top + log(total)
        func noted(_ id: Int) -> TokenLogprob {
            TokenLogprob(tokenID: id, logprob: Double(logits[logits.startIndex + id]) - shift)
        }
        drawn = noted(token)
        let ranked = Ranking.best(count, of: logits.count, without: never) { logits[logits.startIndex + $0] }
        self.top = ranked.filter { logits[logits.startIndex + $0] > -.infinity }.map(noted)
    }

    /// The same with the bytes of each token, which `spell` knows.
    public func spelled(_ spell: (Int) -> [UInt8]) -> Logprobs {
        var spelled = self
        spelled.drawn.token = spell(drawn.tokenID)
        for index in top.indices { spelled.top[index].token = spell(top[index].tokenID) }
        return spelled
    }

    /// Throws ``PocketVLError/usage(_:)`` for a number of alternatives that is not 0...``maxAlternatives``.
    static func check(_ count: Int) throws(PocketVLError) {
        if !(0...maxAlternatives).contains(count) {
            throw .usage("logprobs must be 0 (none) to \(maxAlternatives) alternatives, not \(count).")
        }
    }
}
