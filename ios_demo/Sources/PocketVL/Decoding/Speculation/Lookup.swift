/// The last `ngram` tokens were there before; `follows` is the index of what came after them then.
struct Match: Equatable {
    let ngram: Int
    let follows: Int
}

/// Prompt lookup: what followed the same tokens earlier, in the prompt or in the answer, may follow again.
///
/// Tokens of prompt and answer, and where each run of ``ngrams`` tokens ended last: a token costs a dictionary entry
/// for each length, however many there are before it. After "Prompt Lookup Decoding" (A. Saxena, 2023), with the
/// longest match of several lengths.
struct NgramIndex {
    /// Lengths of a match, the longest first.
    static let ngrams = [8, 4, 2]

    private var tokens: [Int] = []
    private let never: Set<Int>
    private var ends: [ArraySlice<Int>: Int] = [:]

    /// `never`: ids that are not drafted, such as placeholders of images.
    init(_ tokenIDs: [Int], never: Set<Int>) {
        self.never = never
        tokens.reserveCapacity(tokenIDs.count)
        for token in tokenIDs { add(token) }
    }

    /// The next token is known; so is what follows the runs that ended before it.
    mutating func add(_ token: Int) {
        for ngram in Self.ngrams where tokens.count >= ngram {
            ends[Array(tokens.suffix(ngram))[...]] = tokens.count
        }
        tokens.append(token)
    }

    /// The longest run of ``ngrams`` tokens that has an earlier like, the latest of those.
    func match() -> Match? {
        for ngram in Self.ngrams where tokens.count >= ngram {
            if let follows = ends[tokens.suffix(ngram)] { return Match(ngram: ngram, follows: follows) }
        }
        return nil
    }

    /// At most `length` tokens that followed; where they reach the end, they go on with themselves.
    ///
    /// They end before an id that is never drafted.
    func draft(_ match: Match, length: Int) -> [Int] {
        var drafts: [Int] = []
        for index in match.follows..<match.follows + max(0, length) {
            let token = index < tokens.count ? tokens[index] : drafts[index - tokens.count]
            if never.contains(token) { break }
            drafts.append(token)
        }
        return drafts
    }
}
