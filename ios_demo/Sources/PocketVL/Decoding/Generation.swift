import Foundation

/// Guesses the tokens that follow, so that one pass of the decoder can check several at once.
public protocol Proposer: AnyObject {
    /// The next token of the answer is known.
    func add(_ token: Int)

    /// At most `limit` drafts of what follows the tokens so far, maybe none.
    func propose(limit: Int) -> [Int]

    /// A pass of decoder and head over so many tokens took so long; `drafted` of them were drafts.
    func notePass(rows: Int, seconds: Double, drafted: Int)
}

/// An answer's tokens, one after the other, without end; what follows a token is computed only when it is asked for.
///
/// Whoever reads the tokens decides where the answer stops. Drafts change no token: each is chosen from the logits
/// after the tokens before it, in their order. A draft that was not chosen is taken out of the KV cache again.
public struct Generation {
    private var decoder: Decoder
    private var chooser: Chooser
    private let proposer: (any Proposer)?
    private let mostSeen: Int  // tokens of prompt and answer, beyond which nothing is drafted
    private var seen: [Int]
    private var drafts: [Int] = []
    private var row = 0  // of the logits, which the next token is chosen from
    private var isFirst = true

    /// - Parameters:
    ///   - decoder: has fed the prompt; its last hidden state is the last prompt token's.
    ///   - prompt: the ids before the answer, which the KV cache holds.
    ///   - most: tokens that the answer may have, beyond which nothing is drafted.
    public init(
        _ decoder: Decoder, _ chooser: Chooser, prompt: [Int], most: Int, proposer: (any Proposer)? = nil
    ) {
        self.decoder = decoder
        self.chooser = chooser
        self.proposer = proposer
        mostSeen = Saturating.sum(prompt.count, most)
        seen = prompt
    }

    /// Throws ``PocketVLError/engine(_:)``.
    public mutating func next() throws(PocketVLError) -> Choice {
        if isFirst {
            try decoder.computeLogits(ofLastAlone: true)
            isFirst = false
        } else if row > drafts.count || drafts[row - 1] != seen[seen.count - 1] {
            try pass()
        }
        let choice = try chooser.choose(decoder.logits.row(row), seen: seen)
        row += 1
        seen.append(choice.token)
        proposer?.add(choice.token)
        return choice
    }

    /// Forgets the drafts that were not chosen, and feeds the last token with new ones.
    private mutating func pass() throws(PocketVLError) {
        decoder.truncate(seen.count - 1)
        drafts = proposer?.propose(limit: max(0, mostSeen - seen.count - 1)) ?? []
        let began = DispatchTime.now().uptimeNanoseconds
        try decoder.extend(seen[seen.count - 1], drafts: drafts)
        try decoder.computeLogits()
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9
        proposer?.notePass(rows: drafts.count + 1, seconds: seconds, drafted: drafts.count)
        row = 0
    }
}
