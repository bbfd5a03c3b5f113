/// Answers that say the same thing over and over.
enum Repetition {
    private static let maxBlock = 64  // tokens
    private static let minRepeats = 8
    private static let minTokens = 128

    /// Whether the tokens end in one block of 1..64 tokens again and again, without any difference.
    ///
    /// That is at least 8 times and over at least 128 tokens: a list counts or names different things, rows of a table
    /// differ, and lines of dots or empty cells end before. Called for each new token it takes a comparison for each
    /// length of block, and more only where the answer does repeat itself.
    static func repeats(_ tokens: [Int]) -> Bool {
        guard tokens.count >= minTokens, let last = tokens.last else { return false }
        return (1...maxBlock).contains { tokens[tokens.count - 1 - $0] == last && repeats(tokens, block: $0) }
    }

    private static func repeats(_ tokens: [Int], block: Int) -> Bool {
        let span = max(minTokens, minRepeats * block)
        guard tokens.count >= span else { return false }
        return (tokens.count - span + block..<tokens.count).reversed().allSatisfy { tokens[$0] == tokens[$0 - block] }
    }
}
