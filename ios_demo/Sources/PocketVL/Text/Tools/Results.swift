extension [Message] {
    /// These messages of the role tool in the order of the calls that they answer, without their ids.
    ///
    /// Results without ids are in order already. Throws ``PocketVLError/prompt(_:)`` unless each call has one.
    func inOrder(of calls: [ToolCall], _ place: String) throws(PocketVLError) -> [Message] {
        if calls.isEmpty {
            throw .prompt("\(place) is a tool's result, but the message before it calls no tool.")
        }
        if count != calls.count {
            throw .prompt("\(place) begins \(count) results for \(calls.count) calls; give one for each.")
        }
        if allSatisfy({ $0.toolCallID == nil }) { return self }
        let given = map { Exact($0.toolCallID ?? "") }
        let wanted = calls.map { Exact($0.id) }
        if given.sorted() != wanted.sorted() {
            throw .prompt(
                "\(place) begins the results of the calls \(Self.named(given)), but the calls were \(Self.named(wanted));"
                    + " give one toolCallID for each.")
        }
        return wanted.compactMap { id in
            given.firstIndex(of: id).map { Message(self[$0].role, self[$0].parts) }
        }
    }

    private static func named(_ ids: [Exact]) -> String { ids.map(\.text).joined(separator: ", ") }
}
