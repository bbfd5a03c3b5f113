import Foundation
import PocketVL

/// Finds the compute units on which a part of a bundle runs, surviving those on which it crashes.
///
/// Core ML may end the process where a model does not suit a device's neural engine or GPU. So a first prediction is
/// noted on disk; whoever finds the note of another process at the next start knows what became of it.
struct UnitsProbe: Sendable {
    /// Of this process, among all that ever ran.
    private static let process = UUID().uuidString

    let file: UnitsFile
    let identity: UnitsIdentity
    let fastest: ComputeUnits

    /// - Parameters:
    ///   - load: loads everything on those units.
    ///   - trial: makes the first prediction with everything that was loaded; called where nobody knows yet whether
    ///     those units work.
    /// - Throws: what the first units' attempt threw where all throw, ``PocketVLError/engine(_:)`` where all crashed.
    func open<Opened>(
        load: (ComputeUnits) throws(PocketVLError) -> Opened, trial: (Opened) throws(PocketVLError) -> Void
    ) throws(PocketVLError) -> Opened {
        var failed: [ComputeUnits] = []
        var failure: PocketVLError?
        while true {
            let decision = UnitsDecision(
                file.read(), for: identity, process: Self.process, fastest: fastest, failed: failed)
            switch decision {
            case .use(let units):
                return try load(units)
            case .attempt(let units, let crashed):
                let attempt = UnitsRecord.Attempt(units: units, process: Self.process)
                try file.write(UnitsRecord(identity: identity, attempt: attempt, crashed: crashed))
                do {
                    let opened = try load(units)
                    try trial(opened)
                    try file.write(UnitsRecord(identity: identity, crashed: crashed, working: units))
                    return opened
                } catch {
                    // An error is no crash: the next start tries again.
                    try file.write(UnitsRecord(identity: identity, crashed: crashed))
                    failure = failure ?? error
                    failed.append(units)
                }
            case .giveUp(let crashed):
                if let failure { throw failure }
                let named = crashed.map(\.rawValue).joined(separator: ", ")
                throw .engine(
                    "Core ML ended the app when this bundle first ran on: \(named). Take another recipe, or delete"
                        + " \(file.url.path) to try once more.")
            }
        }
    }
}
