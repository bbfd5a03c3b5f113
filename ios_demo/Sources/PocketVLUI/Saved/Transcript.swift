import Foundation
import PocketVL

/// The turns on the screen as JSON. Failed and unfinished turns, statistics and readings are left out.
enum Transcript {
    private static let version = 1

    private struct Unreadable: Error {}

    /// Nil where a box holds what JSON cannot write.
    static func write(_ turns: [Turn]) -> String? {
        object([("version", integer(version)), ("turns", .array(turns.compactMap(turn)))]).written()
    }

    /// Nil for what ``write(_:)`` did not write: the app was updated or the file is damaged.
    static func read(_ bytes: [UInt8]) -> [Turn]? {
        guard let document = try? JSON.parse(bytes: bytes), let object = document.asObject,
            object["version"]?.asInteger == version
        else { return nil }
        return try? list(object, "turns", readTurn)
    }

    private static func turn(_ turn: Turn) -> JSON? {
        guard case .finished(let finish) = turn.outcome else { return nil }
        return object([
            ("question", .string(turn.question.text)),
            ("photos", .array(turn.question.photos.map(photo))),
            ("answer", .string(turn.answer)),
            ("end", .string(finish.end.rawValue)),
            ("boxes", .array(finish.boxes.map(box))),
            ("notes", .array(finish.notes.map { .string($0) })),
        ])
    }

    private static func photo(_ photo: Photo) -> JSON {
        object([
            ("file", .string(photo.file)), ("name", .string(photo.name)), ("width", integer(photo.size.width)),
            ("height", integer(photo.size.height)),
        ])
    }

    private static func box(_ box: Box) -> JSON {
        object([
            ("label", .string(box.label)), ("image", integer(box.image)),
            ("corners", .array([box.x1, box.y1, box.x2, box.y2].map { .double($0) })),
        ])
    }

    private static func readTurn(_ turn: JSONObject) throws -> Turn {
        let question = Question(try text(turn, "question"), photos: try list(turn, "photos", readPhoto))
        guard let end = StopReason(rawValue: try text(turn, "end")) else { throw Unreadable() }
        guard let notes = turn["notes"]?.asArray?.map(\.asString) else { throw Unreadable() }
        let finish = Finish(end: end, boxes: try list(turn, "boxes", readBox), notes: notes.compactMap { $0 })
        return Turn(question: question, answer: try text(turn, "answer"), outcome: .finished(finish))
    }

    private static func readPhoto(_ photo: JSONObject) throws -> Photo {
        let size = PixelSize(height: try number(photo, "height"), width: try number(photo, "width"))
        return Photo(file: try text(photo, "file"), name: try text(photo, "name"), size: size)
    }

    private static func readBox(_ box: JSONObject) throws -> Box {
        let corners = (box["corners"]?.asArray ?? []).compactMap(\.asDouble)
        guard corners.count == 4 else { throw Unreadable() }
        return Box(
            label: try text(box, "label"), image: try number(box, "image"), x1: corners[0], y1: corners[1],
            x2: corners[2], y2: corners[3])
    }

    private static func object(_ members: [(String, JSON)]) -> JSON { .object(JSONObject(members)) }

    private static func integer(_ value: Int) -> JSON { .integer(Int64(value)) }

    private static func text(_ object: JSONObject, _ key: String) throws -> String {
        guard let value = object[key]?.asString else { throw Unreadable() }
        return value
    }

    private static func number(_ object: JSONObject, _ key: String) throws -> Int {
        guard let value = object[key]?.asInteger else { throw Unreadable() }
        return value
    }

    private static func list<Value>(
        _ object: JSONObject, _ key: String, _ read: (JSONObject) throws -> Value
    ) throws -> [Value] {
        guard let items = object[key]?.asArray else { throw Unreadable() }
        return try items.map { item in
            guard let object = item.asObject else { throw Unreadable() }
            return try read(object)
        }
    }
}
