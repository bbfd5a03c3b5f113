/// What happens while an answer is made. The last event is ``completed(_:)`` or ``failed(_:text:)``, and no other is
/// either of them.
public enum Event: Sendable {
    /// Images are encoded and the prompt is known. Not sent where the answer fails or is cancelled before that.
    ///
    /// - promptTokens: of the whole conversation up to where the answer begins.
    /// - reusedTokens: of those, tokens whose keys and values are in the cache and are not fed again.
    case started(promptTokens: Int, reusedTokens: Int)
    /// The next piece of the answer's text: never empty, whole characters only.
    case text(String)
    /// The answer is made, with its ``Answer/statistics``, and part of the conversation; also one that was cancelled.
    case completed(Answer)
    /// There is no answer, and the conversation is as it was before. `text` is what was said until then.
    case failed(PocketVLError, text: String)

    /// Whether no event follows.
    public var isLast: Bool {
        switch self {
        case .started, .text: false
        case .completed, .failed: true
        }
    }
}
