import Foundation
import Testing

@testable import PocketVL

/// The golden tiny_answers.json: whole answers of the tiny model in float32, which no runtime had a part in.
@Suite struct TinyAnswersTests {
    @Test("every token is the reference's", arguments: EngineCases.unquantized)
    func answers(name: String) async throws {
        let repository = (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let file = repository.appendingPathComponent("tests/golden/tiny_answers.json")
        let golden = try JSON.parse(bytes: Array(Data(contentsOf: file)))
        let images = try StoredImages(
            EngineCases.url("golden_images.rgb"), EngineCases.json("golden_images"))
        let options = AskOptions(maxTokens: try golden["max_tokens"].int, sampling: .greedy)
        let model = try await PocketVL.load(
            EngineCases.url(name), engine: EngineCases.factory, options: LoadOptions(threads: 1))
        let chat = try model.chat(
            ChatOptions(
                minPixels: try golden["min_pixels"].int, maxPixels: try golden["max_pixels"].int, keepVision: true))
        let cases = try golden["cases"].items
        #expect(cases.count > 5)
        var number = 0
        for one in cases {
            try await chat.reset()
            for turn in try one["turns"].items {
                var parts: [Part] = []
                for _ in try turn["images"].items {
                    parts.append(.image(try images[number]))
                    number += 1
                }
                parts.append(.text(try turn["question"].string))
                let answer = try await chat.answer(to: .parts(parts), options)
                #expect(try answer.tokenIDs == turn["ids"].items.map { try $0.int })
                #expect(try answer.promptTokenIDs.count == turn["prompt_tokens"].int)
                #expect(try answer.text == turn["text"].string)
            }
        }
        try model.close()
    }
}
