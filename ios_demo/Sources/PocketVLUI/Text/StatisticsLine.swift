import PocketVL

/// The line below an answer; what says nothing is left out.
public func statisticsLine(_ finish: Finish, _ numbers: Numbers) -> String {
    guard let statistics = finish.statistics else { return "" }
    var facts: [String] = []
    if statistics.imagesEncoded > 0 { facts.append("image \(numbers.significant(statistics.visionSeconds)) s") }
    facts.append("first word after \(numbers.significant(statistics.timeToFirstToken)) s")
    if statistics.prefillSeconds > 0 {
        facts.append("prompt \(numbers.significant(statistics.prefillRate)) tokens/s")
    }
    if statistics.decodeSeconds > 0 { facts.append("answer \(numbers.significant(statistics.decodeRate)) tokens/s") }
    facts.append("\(numbers.whole(statistics.decodeTokens + 1)) tokens")
    if statistics.reusedTokens > 0 { facts.append("\(numbers.whole(statistics.reusedTokens)) tokens reused") }
    if let memory = finish.memory { facts.append("\(numbers.megabytes(memory.process)) MB") }
    if let thermal = finish.thermal, thermal.state != .nominal { facts.append("device is \(thermal.state.said)") }
    return facts.joined(separator: " · ")
}

extension ThermalState {
    fileprivate var said: String {
        switch self {
        case .nominal: "cool"
        case .fair: "warm"
        case .serious: "hot"
        case .critical: "too hot"
        }
    }
}
