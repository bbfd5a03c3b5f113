import Foundation
import Testing

@testable import PocketVL

/// One turn of the user, and what Python's answer to it was.
struct Turn {
    let parts: [Part]
    let promptTokens: Int
    let ids: [Int]
    let text: String
}

/// The conversations of tests/kotlin/engine_cases.py with the answers that one bundle gives in Python.
struct QuestionCases {
    /// Of those that ask one question about one image each: all for POCKETVL_QUESTIONS=200.
    private static let single = ProcessInfo.processInfo.environment["POCKETVL_QUESTIONS"].flatMap(Int.init) ?? 20

    let chat: ChatOptions
    let ask: AskOptions
    /// By name, in Python's order.
    let conversations: [(name: String, turns: [Turn])]

    init(_ bundle: String) throws {
        let cases = try EngineCases.json("cases")
        chat = ChatOptions(
            minPixels: try cases["min_pixels"].int, maxPixels: try cases["max_pixels"].int, keepVision: true)
        ask = AskOptions(maxTokens: try cases["max_tokens"].int, sampling: .greedy)
        let images = try StoredImages(EngineCases.url("images.rgb"), cases["images"])
        func image(_ number: JSON) throws -> RgbImage { try images[number.int] }
        func turn(_ asked: JSON, _ answered: JSON) throws -> Turn {
            var parts = try asked["images"].items.map { Part.image(try image($0)) }
            if let frames = asked["video"].asArray { parts.append(.video(try FrameList(frames.map(image)))) }
            parts.append(.text(try asked["question"].string))
            return Turn(
                parts: parts, promptTokens: try answered["prompt_tokens"].int,
                ids: try answered["ids"].items.map { try $0.int }, text: try answered["text"].string)
        }
        let (asked, answered) = (try cases["conversations"].items, try EngineCases.json(bundle)["answers"].items)
        let others = 6  // at the end: several images or turns, a video, no image
        var conversations: [(String, [Turn])] = []
        for (index, (one, answers)) in zip(asked, answered).enumerated()
        where index < Self.single || index >= asked.count - others {
            let turns = try zip(one["turns"].items, answers.items).map(turn)
            conversations.append((try one["name"].string, turns))
        }
        self.conversations = conversations
    }

    func turns(_ name: String) throws -> [Turn] { try #require(conversations.first { $0.name == name }).turns }
}

/// Raw pixels in one file, with a list of where each image is.
struct StoredImages {
    private let pixels: Data
    private let places: [JSON]

    init(_ file: URL, _ places: JSON) throws {
        pixels = try Data(contentsOf: file, options: .alwaysMapped)
        self.places = try places.items
    }

    subscript(number: Int) -> RgbImage {
        get throws {
            try #require(places.indices.contains(number))
            let place = places[number]
            let (height, width, offset) = (try place["height"].int, try place["width"].int, try place["offset"].int)
            let bytes = [UInt8](pixels[offset..<offset + 3 * height * width])
            return try RgbImage(width: width, height: height, pixels: bytes)
        }
    }
}
