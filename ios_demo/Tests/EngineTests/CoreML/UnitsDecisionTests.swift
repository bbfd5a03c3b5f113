import Testing

@testable import PocketVLCoreML

@Suite struct UnitsDecisionTests {
    private static let phone = UnitsIdentity(device: "iPhone16,1", system: "18.1", bundle: "aa")

    private struct Case: CustomTestStringConvertible {
        let testDescription: String
        var record: UnitsRecord?
        var fastest = ComputeUnits.neuralEngine
        var failed: [ComputeUnits] = []
        let decision: UnitsDecision

        init(
            _ name: String, _ record: UnitsRecord?, fastest: ComputeUnits = .neuralEngine,
            failed: [ComputeUnits] = [], _ decision: UnitsDecision
        ) {
            testDescription = name
            self.record = record
            self.fastest = fastest
            self.failed = failed
            self.decision = decision
        }
    }

    private static func record(
        attempt: ComputeUnits? = nil, by process: String = "before", crashed: [ComputeUnits] = [],
        working: ComputeUnits? = nil, identity: UnitsIdentity = phone
    ) -> UnitsRecord {
        UnitsRecord(
            identity: identity, attempt: attempt.map { UnitsRecord.Attempt(units: $0, process: process) },
            crashed: crashed, working: working)
    }

    private static let other = [
        UnitsIdentity(device: "iPhone17,1", system: "18.1", bundle: "aa"),
        UnitsIdentity(device: "iPhone16,1", system: "18.2", bundle: "aa"),
        UnitsIdentity(device: "iPhone16,1", system: "18.1", bundle: "bb"),
    ]

    private static let cases: [Case] =
        [
            Case("nothing is known", nil, .attempt(.neuralEngine, crashed: [])),
            Case("the app wants no neural engine", nil, fastest: .gpu, .attempt(.gpu, crashed: [])),
            Case("the app wants the CPU alone", nil, fastest: .cpu, .attempt(.cpu, crashed: [])),
            Case("an attempt crashed", record(attempt: .neuralEngine), .attempt(.gpu, crashed: [.neuralEngine])),
            Case(
                "a second one crashed", record(attempt: .gpu, crashed: [.neuralEngine]),
                .attempt(.cpu, crashed: [.neuralEngine, .gpu])),
            Case(
                "all crashed", record(attempt: .cpu, crashed: [.neuralEngine, .gpu]),
                .giveUp(crashed: [.neuralEngine, .gpu, .cpu])),
            Case(
                "all had crashed", record(crashed: [.neuralEngine, .gpu, .cpu]), .giveUp(crashed: ComputeUnits.allCases)
            ),
            Case(
                "a crash is counted once", record(attempt: .neuralEngine, crashed: [.neuralEngine]),
                .attempt(.gpu, crashed: [.neuralEngine])),
            Case(
                "this process is at it", record(attempt: .neuralEngine, by: "this"),
                .attempt(.neuralEngine, crashed: [])),
            Case("it went well", record(working: .neuralEngine), .use(.neuralEngine)),
            Case("it went well after a crash", record(crashed: [.neuralEngine], working: .gpu), .use(.gpu)),
            Case(
                "it went well on units that are not wanted", record(working: .neuralEngine), fastest: .gpu,
                .attempt(.gpu, crashed: [])),
            Case("units threw an error", record(), failed: [.neuralEngine], .attempt(.gpu, crashed: [])),
            Case(
                "one threw, another crashed", record(crashed: [.gpu]), failed: [.neuralEngine],
                .attempt(.cpu, crashed: [.gpu])),
            Case("all threw", record(), failed: ComputeUnits.allCases, .giveUp(crashed: [])),
            Case("what worked throws now", record(working: .gpu), failed: [.gpu], .attempt(.neuralEngine, crashed: [])),
        ]
        + other.map {
            Case(
                "found elsewhere: \($0)", record(attempt: .neuralEngine, crashed: [.gpu], working: .cpu, identity: $0),
                .attempt(.neuralEngine, crashed: []))
        }

    @Test("the decision follows from plain facts", arguments: cases)
    private func decides(example: Case) {
        let decision = UnitsDecision(
            example.record, for: Self.phone, process: "this", fastest: example.fastest, failed: example.failed)
        #expect(decision == example.decision)
    }
}
