/// On which device and system a bundle ran: what was found there says nothing about another.
struct UnitsIdentity: Equatable, Sendable {
    /// The device's model, as "iPhone16,1".
    let device: String
    /// The system with its build.
    let system: String
    /// ``Manifest/contentSha256`` of the bundle.
    let bundle: String
}

/// What is remembered about a bundle's compute units.
struct UnitsRecord: Equatable, Sendable {
    /// A first prediction that was begun and not yet seen to end.
    struct Attempt: Equatable, Sendable {
        let units: ComputeUnits
        /// The process that began it.
        let process: String
    }

    let identity: UnitsIdentity
    var attempt: Attempt?
    /// Units whose first prediction ended a process.
    var crashed: [ComputeUnits] = []
    /// Units whose first prediction went well.
    var working: ComputeUnits?
}

/// On which units to run next.
enum UnitsDecision: Equatable, Sendable {
    /// They went well before.
    case use(ComputeUnits)
    /// Nobody knows yet: note it before the first prediction. `crashed` are those not to be tried again.
    case attempt(ComputeUnits, crashed: [ComputeUnits])
    /// None is left.
    case giveUp(crashed: [ComputeUnits])

    /// - Parameters:
    ///   - record: what is remembered; nil: nothing.
    ///   - process: this one. An attempt that another one noted, and did not live to strike out, crashed.
    ///   - fastest: units before it are not wanted.
    ///   - failed: units that threw an error in this process.
    init(
        _ record: UnitsRecord?, for identity: UnitsIdentity, process: String, fastest: ComputeUnits,
        failed: [ComputeUnits]
    ) {
        let known = record.flatMap { $0.identity == identity ? $0 : nil } ?? UnitsRecord(identity: identity)
        var crashed = known.crashed
        if let attempt = known.attempt, attempt.process != process, !crashed.contains(attempt.units) {
            crashed.append(attempt.units)
        }
        let wanted = ComputeUnits.allCases.drop { $0 != fastest }
            .filter { !crashed.contains($0) && !failed.contains($0) }
        if let working = known.working, wanted.contains(working) {
            self = .use(working)
        } else if let next = wanted.first {
            self = .attempt(next, crashed: crashed)
        } else {
            self = .giveUp(crashed: crashed)
        }
    }
}
