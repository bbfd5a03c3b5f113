import Foundation
import PocketVL
import Testing

@testable import PocketVLCoreML

@Suite struct UnitsProbeTests {
    private let folder = TemporaryFolder()
    private let identity = UnitsIdentity(device: "iPhone16,1", system: "18.1", bundle: "aa")
    private var file: UnitsFile { UnitsFile(url: folder.url.appendingPathComponent("new/text.units.json")) }
    private var probe: UnitsProbe { UnitsProbe(file: file, identity: identity, fastest: .neuralEngine) }

    @Test("the attempt is on disk before anything is loaded, and struck out when it went well")
    func noted() throws {
        let file = file
        let units = try probe.open { (units) throws(PocketVLError) in
            #expect(file.read()?.attempt?.units == units)
            return units
        } trial: { (units) throws(PocketVLError) in
            #expect(file.read()?.attempt?.units == units)
        }
        #expect(units == .neuralEngine)
        #expect(file.read() == UnitsRecord(identity: identity, working: .neuralEngine))
    }

    @Test("what went well is used without another trial")
    func remembered() throws {
        try file.write(UnitsRecord(identity: identity, crashed: [.neuralEngine], working: .gpu))
        let units = try probe.open { (units) throws(PocketVLError) in
            units
        } trial: { (_) throws(PocketVLError) in
            Issue.record("a trial of what is known")
        }
        #expect(units == .gpu)
    }

    @Test("a note of a process that is gone means the next units")
    func crashed() throws {
        let attempt = UnitsRecord.Attempt(units: .neuralEngine, process: "gone")
        try file.write(UnitsRecord(identity: identity, attempt: attempt))
        let units = try probe.open { (units) throws(PocketVLError) in
            units
        } trial: { (_) throws(PocketVLError) in
        }
        #expect(units == .gpu)
        #expect(file.read() == UnitsRecord(identity: identity, crashed: [.neuralEngine], working: .gpu))
    }

    @Test("an error means the next units, and is no crash")
    func failed() throws {
        let units = try probe.open { (units) throws(PocketVLError) in
            units
        } trial: { (units) throws(PocketVLError) in
            if units == .neuralEngine { throw .engine("It does not compile.") }
        }
        #expect(units == .gpu)
        #expect(file.read() == UnitsRecord(identity: identity, working: .gpu))
    }

    @Test("where all units fail, the first failure is told and nothing is held against them")
    func allFailed() throws {
        let error = try refusal {
            _ = try probe.open { (units) throws(PocketVLError) in
                throw .engine("Not on the \(units.rawValue).")
            } trial: { (_: Int) throws(PocketVLError) in
            }
        }
        #expect(error == .engine("Not on the neural engine."))
        #expect(file.read() == UnitsRecord(identity: identity))
    }

    @Test("where all units crashed, nothing is loaded again, and the message says how to")
    func allCrashed() throws {
        let attempt = UnitsRecord.Attempt(units: .cpu, process: "gone")
        try file.write(UnitsRecord(identity: identity, attempt: attempt, crashed: [.neuralEngine, .gpu]))
        let error = try refusal {
            _ = try probe.open { (units) throws(PocketVLError) in
                Issue.record("loaded once more")
                return units
            } trial: { (_) throws(PocketVLError) in
            }
        }
        #expect(error?.message.contains("neural engine, GPU, CPU") == true)
        #expect(error?.message.contains(file.url.path) == true)
    }

    @Test("a damaged file counts as absent", arguments: ["", "{}", "[]", #"{"device":1}"#, "\u{0}"])
    func damaged(text: String) throws {
        try file.write(UnitsRecord(identity: identity, working: .cpu))
        try Data(text.utf8).write(to: file.url)
        #expect(file.read() == nil)
    }

    @Test("a folder that cannot be written is told")
    func readOnly() throws {
        let blocked = folder.url.appendingPathComponent("blocked")
        try Data("a file".utf8).write(to: blocked)
        let probe = UnitsProbe(
            file: UnitsFile(url: blocked.appendingPathComponent("x.json")), identity: identity, fastest: .cpu)
        let error = try refusal {
            _ = try probe.open { (units) throws(PocketVLError) in
                units
            } trial: { (_) throws(PocketVLError) in
            }
        }
        #expect(error?.message.contains("cannot be written") == true)
    }
}
