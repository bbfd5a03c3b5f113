/// What is asked.
public enum Content: Sendable {
    /// One turn of the user, which follows the conversation so far.
    case parts([Part])
    /// A whole conversation, which takes the place of the one so far; or messages of the role tool alone, the results of
    /// all tools that the last answer called, after which it goes on. What the old and the new conversation begin with
    /// is not fed again.
    case messages([Message])

    /// One turn that says this.
    public static func text(_ text: String) -> Content { .parts([.text(text)]) }
}
