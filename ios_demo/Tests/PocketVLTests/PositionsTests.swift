import Testing

@testable import PocketVL

@Suite struct PositionsTests {
    @Test("M-RoPE positions are the golden ones")
    func mrope() throws {
        let data = try Golden.read("mrope")
        let names = data["special_tokens"]
        let special = SpecialTokens(
            imagePad: try names["image_pad"].int, videoPad: try names["video_pad"].int,
            visionStart: try names["vision_start"].int, visionEnd: try names["vision_end"].int, eos: [], imEnd: nil)
        #expect(try data["cases"].items.count == 19)
        for one in try data["cases"].items {
            let grids = try one["grids"].items.map { Grid(t: try $0[0].int, h: try $0[1].int, w: try $0[2].int) }
            let tokens = try one["tokens"].ints
            let (ids, next) = try Positions.mrope(
                tokens, grids: grids, special: special, merge: data["spatial_merge_size"].int, start: one["start"].int)
            #expect(try [ids.t, ids.h, ids.w] == one["ids"].items.map { try $0.ints }, "\(one["name"])")
            #expect(try next == one["next_position"].int, "\(one["name"])")
            #expect(try next - one["tokens_before"].int - tokens.count == one["rope_delta"].int)
        }
    }

    @Test("placeholders and images that do not match are refused")
    func mismatch() throws {
        let pads = [Int](repeating: 151655, count: 3)
        for (tokens, grids) in [
            (pads, [Grid(t: 1, h: 4, w: 4)]), (pads, []), ([1, 2], [Grid(t: 1, h: 2, w: 2)]),
            (pads, [Grid(t: 1 << 40, h: 1 << 40, w: 4)]), (pads, [Grid(t: 0, h: 4, w: 4)]),
        ] {
            let error = try refusal {
                _ = try Positions.mrope(tokens, grids: grids, special: Sample.special, merge: 2)
            }
            #expect(error?.isPrompt == true)
        }
    }

    @Test("text rope is the golden one")
    func textRope() throws {
        let data = try Golden.read("text_rope")
        var ids = PositionIDs()
        for id in try data["ids"].items { ids.append(try id[0].int, try id[1].int, try id[2].int) }
        for one in try data["cases"].items {
            let text = try Sample.text(
                headDim: one["head_dim"].int, theta: data["theta"].double, section: one["mrope_section"].ints)
            try check(Positions.textRope(ids, text), one, tolerance: 1e-4)
        }
    }

    @Test("vision positions and rope are the golden ones")
    func visionRope() throws {
        let data = try Golden.read("vision_rope")
        for one in try data["cases"].items {
            let (rows, columns) = (try one["rows"].int, try one["columns"].int)
            if one["positions"] != .null {
                let found = try Positions.vision(rows: rows, columns: columns, merge: data["spatial_merge_size"].int)
                #expect(try found.map { [$0.row, $0.column] } == one["positions"].items.map { try $0.ints })
            }
            let vision = try Sample.vision(headDim: one["head_dim"].int)
            try check(Positions.visionRope(rows: rows, columns: columns, vision), one, tolerance: 4e-6)
        }
    }

    /// Every bit is Python's, and samples are near the reference model's.
    private func check(_ rope: Rope, _ golden: JSON, tolerance: Float) throws {
        let bits = [rope.cos, rope.sin].map { matrix in
            checksum(matrix.withUnsafeValues { $0.map { Int($0.bitPattern) } })
        }
        #expect(try bits == golden["bits"].ints)
        for sample in try golden["samples"].items {
            let (row, element) = (try sample[0].int, try sample[1].int)
            #expect(abs(rope.cos[row, element] - Float(try sample[2].double)) <= tolerance)
            #expect(abs(rope.sin[row, element] - Float(try sample[3].double)) <= tolerance)
        }
    }
}
