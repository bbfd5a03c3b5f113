import Testing

@testable import PocketVL

@Suite struct AnswerTests {
    @Test("what is shown up to a stop string is the golden text")
    func stopStrings() throws {
        for one in try Golden.read("stop_strings")["cases"].items {
            var stop = try StopStrings(one["stop"].strings)
            var shown = try one["pieces"].strings.map { stop.push($0) }
            shown.append(stop.finish())
            #expect(try shown == one["shown"].strings, "\(one)")
            #expect(stop.found == one["found"].asString, "\(one)")
        }
        #expect(try refusal { _ = try StopStrings(["a", "b", "c", "d", "e"]) } != nil)
        #expect(try refusal { _ = try StopStrings([""]) } != nil)
    }

    @Test("a stop string is found where a character joins the one before it, and only byte for byte")
    func joined() throws {
        var stop = try StopStrings(["\u{301}x"])
        #expect([stop.push("e"), stop.push("\u{301}"), stop.push("x")] == ["e", "", ""])
        #expect(stop.found == "\u{301}x")
        var other = try StopStrings(["\u{e9}"])
        #expect(other.push("e\u{301}") == "e\u{301}")
        var line = try StopStrings(["\n"])
        #expect(line.push("a\r\nb") == "a\r")
    }

    @Test("answers' text and boxes are the golden ones")
    func answers() throws {
        let data = try Golden.read("grounding")
        let size = PixelSize(height: try data["image_size"][0].int, width: try data["image_size"][1].int)
        for one in try data["answers"].items {
            var answer = AnswerText(try Tiny.tokenizer.get())
            let shown = try one["ids"].ints.map { answer.push($0) }.joined() + answer.finish()
            #expect(try answer.text == one["text"].string)
            #expect(shown == answer.text)
            let boxes = FoundShape.boxes(answer.boxes, in: [size])
            let expected = try one["boxes"].items
            #expect(boxes.map(\.label) == expected.map { $0[0].asString })
            for (box, wanted) in zip(boxes, expected) {
                #expect(try [box.x1, box.y1, box.x2, box.y2] == (1...4).map { try wanted[$0].double })
                #expect(box.image == 0)
            }
            #expect(FoundShape.boxes(answer.boxes, in: []).isEmpty)
        }
    }

    @Test("shapes are written as the golden markup")
    func shapes() throws {
        for one in try Golden.read("grounding")["shapes"].items {
            let kind = try #require(Shape.Kind(rawValue: one["kind"].string))
            let numbers = try one["numbers"].doubles
            let size = one["size"]
            let sizes = try size == .null ? [] : [PixelSize(height: size[0].int, width: size[1].int)]
            let shape = try Shape(kind, numbers, unit: size == .null ? .thousandths : .pixels(image: nil))
            #expect(try shape.inThousandths(sizes).markup == one["markup"].string, "\(one)")
        }
    }

    @Test("shapes that lie nowhere are refused")
    func refused() throws {
        for (kind, numbers) in [
            (Shape.Kind.box, [1.0, 2, 3]), (.box, [5, 5, 5, 9]), (.box, [0, 0, 1001, 5]), (.box, [.nan, 0, 1, 1]),
            (.quad, [0, 0, 1, 1]), (.box, [-1, 0, 1, 1]),
        ] {
            #expect(try refusal { _ = try Shape(kind, numbers) }?.isPrompt == true)
        }
        let shape = try Shape(.box, [0, 0, 300, 100], unit: .pixels(image: nil))
        let size = PixelSize(height: 100, width: 200)
        #expect(try refusal { _ = try shape.inThousandths([]) }?.isPrompt == true)
        #expect(try refusal { _ = try shape.inThousandths([size]) }?.isPrompt == true)
        #expect(try refusal { _ = try Shape(.box, [0, 0, 1, 1], unit: .pixels(image: -1)) }?.isPrompt == true)
        let messages = [
            Message(.user, [.image(nil), .shape(try Shape(.box, [0, 0, 100, 50], unit: .pixels(image: nil)))])
        ]
        let changed = try messages.withThousandths([size], earlier: 0)
        guard case .shape(let found) = changed[0].parts[1] else {
            Issue.record("the shape is gone")
            return
        }
        #expect(found.markup == "(0,0),(500,500)")
        #expect(try refusal { _ = try messages.withThousandths([], earlier: -1) }?.isPrompt == true)
    }
}
