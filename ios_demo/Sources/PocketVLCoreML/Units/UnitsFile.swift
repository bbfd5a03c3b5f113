import Foundation
import PocketVL

/// A small file that remembers one ``UnitsRecord``. One that cannot be read counts as absent.
struct UnitsFile: Sendable {
    let url: URL

    func read() -> UnitsRecord? {
        guard let bytes = try? Data(contentsOf: url), let json = try? JSON.parse(bytes: Array(bytes)),
            let object = json.asObject, let device = object["device"]?.asString,
            let system = object["system"]?.asString, let bundle = object["bundle"]?.asString
        else { return nil }
        var record = UnitsRecord(identity: UnitsIdentity(device: device, system: system, bundle: bundle))
        if let units = Self.units(object["attempt"]), let process = object["process"]?.asString {
            record.attempt = UnitsRecord.Attempt(units: units, process: process)
        }
        record.crashed = (object["crashed"]?.asArray ?? []).compactMap(Self.units)
        record.working = Self.units(object["working"])
        return record
    }

    /// Replaces the file, and returns once it is on the disk: the device itself may stop in what follows.
    ///
    /// Throws ``PocketVLError/engine(_:)``: without the note, a crash would come again at each start.
    func write(_ record: UnitsRecord) throws(PocketVLError) {
        func text(_ units: ComputeUnits?) -> JSON { units.map { .string($0.rawValue) } ?? .null }
        let object = JSONObject([
            ("device", .string(record.identity.device)), ("system", .string(record.identity.system)),
            ("bundle", .string(record.identity.bundle)), ("attempt", text(record.attempt?.units)),
            ("process", record.attempt.map { .string($0.process) } ?? .null),
            ("crashed", .array(record.crashed.map(text))), ("working", text(record.working)),
        ])
        let folder = url.deletingLastPathComponent()
        let new = folder.appendingPathComponent(url.lastPathComponent + ".new")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data((JSON.object(object).written() ?? "").utf8).write(to: new)
            let handle = try FileHandle(forWritingTo: new)
            defer { try? handle.close() }
            try handle.synchronize()
        } catch {
            throw .engine("\(new.path) cannot be written (\(error.localizedDescription)); free some space.")
        }
        guard rename(new.path, url.path) == 0 else {
            throw .engine("\(url.path) cannot be written (\(String(cString: strerror(errno)))); free some space.")
        }
    }

    private static func units(_ json: JSON?) -> ComputeUnits? { json?.asString.flatMap(ComputeUnits.init) }
}
