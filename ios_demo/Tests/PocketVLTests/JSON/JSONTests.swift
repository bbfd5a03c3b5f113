import Testing

@testable import PocketVL

@Suite struct JSONTests {
    @Test("values of every kind")
    func values() throws {
        let text = #" {"a": [1, -2.5e1, true, false, null], "é\u00e9\ud83d\ude00": "\n\/", "b": {}} "#
        let expected = JSON.object(
            JSONObject([
                ("a", .array([.integer(1), .double(-25), .bool(true), .bool(false), .null])),
                ("éé😀", .string("\n/")),
                ("b", .object(JSONObject())),
            ])
        )
        #expect(try JSON.parse(text) == expected)
        #expect(try JSON.parse(#require(expected.written())) == expected)
    }

    @Test(
        "what is not JSON is refused",
        arguments: [
            "", "{", "[1,]", #"{"a":1,}"#, "01", "1.", "-", "NaN", "Infinity", "1e999", "'a'", #""\x""#, #""\ud800""#,
            #""\ud800\u0041""#, "\"\u{1}\"", #"{"a":1,"a":2}"#, "1 2", "tru", #""\u12G4""#, #""a"#, #""\udc00""#,
        ]
    )
    func refused(text: String) {
        #expect(throws: JSONError.self) { try JSON.parse(text) }
    }

    @Test("bytes that are no UTF-8 are refused")
    func notUTF8() {
        for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22]] {
            #expect(throws: JSONError.self) { try JSON.parse(bytes: bytes) }
        }
    }

    @Test("deep nesting is refused before the stack ends")
    func deep() {
        #expect(throws: JSONError.self) { try JSON.parse(String(repeating: "[", count: 100_000)) }
    }

    @Test("keys that look alike but differ in their bytes are two keys")
    func canonicalEquivalents() throws {
        let object = try #require(try JSON.parse("{\"\u{e9}\": 1, \"e\u{301}\": 2}").asObject)
        #expect(object["\u{e9}"] == .integer(1))
        #expect(object["e\u{301}"] == .integer(2))
    }

    @Test("an integer beyond 64 bits keeps its digits, and one of thousands of them is refused")
    func large() throws {
        #expect(try JSON.parse("9223372036854775808") == .largeInteger("9223372036854775808"))
        #expect(try JSON.parse("9223372036854775808").written() == "9223372036854775808")
        #expect(try JSON.parse("-9223372036854775808") == .integer(.min))
        #expect(throws: JSONError.self) { try JSON.parse(String(repeating: "9", count: 5000)) }
    }
}
