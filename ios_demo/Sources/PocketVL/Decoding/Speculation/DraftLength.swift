import Foundation

/// How many drafts are worth a pass: from how often guesses were right, and what passes took here.
enum DraftLength {
    /// Drafts and the token before them are 2, 4, 8 or 16 rows: few enough sizes that each is soon measured.
    static let lengths = [1, 3, 7, 15]
    /// Times the tokens per second of passes over one token.
    static let leastGain = 1.05

    /// The length of ``lengths`` up to `limit` that makes most tokens per second; 0 if none makes more than
    /// ``leastGain`` times those of a plain pass.
    ///
    /// - Parameters:
    ///   - acceptance: the probability p that a draft is right if those before it are. A pass with k drafts yields
    ///     1 + p + .. + p^k tokens (Leviathan et al. 2023, equation 1).
    ///   - costs: of a pass over so many rows, relative to one row.
    static func best(acceptance: Double, costs: [Int: Double], limit: Int) -> Int {
        var (best, most) = (0, leastGain)
        for length in lengths where length <= limit {
            guard let cost = costs[length + 1] else { continue }
            let gain = (0...length).reduce(0) { $0 + pow(acceptance, Double($1)) } / cost
            if gain > most { (best, most) = (length, gain) }
        }
        return best
    }
}

/// How often guesses were right lately, by the length of the match that made them.
struct Acceptance {
    private static let most = 32  // guesses that tell it
    private static let doubt = 2  // guesses, counted as wrong ones beside those
    private var guesses: [Int: [Bool]] = [:]

    /// A guess after a match of `ngram` tokens was compared with the token that came.
    mutating func note(_ ngram: Int, wasRight: Bool) {
        guesses[ngram, default: []].append(wasRight)
        if guesses[ngram, default: []].count > Self.most { guesses[ngram]?.removeFirst() }
    }

    /// That the next guess is right; 0 without any so far.
    func probability(_ ngram: Int) -> Double {
        let noted = guesses[ngram, default: []]
        return Double(noted.count { $0 }) / Double(noted.count + Self.doubt)
    }
}

/// What passes of decoder and head over 1, 2, 4, 8 and 16 rows take on this device.
public final class PassCosts: @unchecked Sendable {
    private static let costPerRow = 0.2  // of one more row, as a share of the first, where nothing was measured yet
    private static let mostTimed = 9  // passes of each size, whose median counts
    private static let forget = 256  // passes after which an old measurement counts no longer

    // Guarded by the lock.
    private let lock = NSLock()
    private var timed: [Int: [(pass: Int, seconds: Double)]] = [:]
    private var passes = 0

    public init() {}

    /// One pass was timed; one of a size between counts for the next larger.
    public func note(rows: Int, seconds: Double) {
        let size = ([0] + DraftLength.lengths).map { $0 + 1 }.first { rows <= $0 } ?? rows
        lock.withLock {
            passes += 1
            timed[size, default: []].append((passes, seconds))
            if timed[size, default: []].count > Self.mostTimed { timed[size]?.removeFirst() }
        }
    }

    /// Rows of each draft length to seconds relative to one row; nil before one row was timed.
    ///
    /// A size that was not timed lately costs what the next smaller one does, and a little for each row more: so it is
    /// tried where it may pay, and tried again when what was measured is old.
    func relative() -> [Int: Double]? {
        lock.withLock {
            guard let one = median(1) else { return nil }
            var (costs, rows, cost): ([Int: Double], Int, Double) = ([:], 1, 1)
            for length in DraftLength.lengths {
                if let seconds = median(length + 1) {
                    cost = seconds / one
                } else {
                    cost += Self.costPerRow * Double(length + 1 - rows)
                }
                rows = length + 1
                costs[rows] = cost
            }
            return costs
        }
    }

    /// In seconds. Of one row old ones count, too: a plain pass may not have been needed lately.
    private func median(_ rows: Int) -> Double? {
        let lately = timed[rows, default: []].filter { rows == 1 || $0.pass > passes - Self.forget }.map(\.seconds)
            .sorted()
        if lately.isEmpty { return nil }
        return (lately[(lately.count - 1) / 2] + lately[lately.count / 2]) / 2
    }
}
