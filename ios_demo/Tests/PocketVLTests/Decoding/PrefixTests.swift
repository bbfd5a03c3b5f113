import Testing

@testable import PocketVL

@Suite struct PrefixTests {
    @Test("the slots that stay are the golden ones")
    func plan() throws {
        for one in try Golden.read("prefix")["cases"].items {
            let (held, wanted) = (try slots(one["held"]), try slots(one["wanted"]))
            let plan = Prefix.plan(held: held, wanted: wanted)
            #expect(try plan.kept == one["kept"].int, "\(one["name"])")
            if case .rebuild(let why) = plan {
                #expect(why.rawValue == one["why"].asString, "\(one["name"])")
            } else {
                #expect(one["why"] == .null, "\(one["name"])")
            }
        }
    }

    @Test("a cache knows what it holds, and forgets from a slot on")
    func cache() throws {
        let cache = KVCache()
        #expect(cache.nextPosition == 0)
        let feed = try Feed(
            [5, 151655, 151655, 6], media: [media(Grid(t: 1, h: 2, w: 4), "cat")], special: Sample.special, merge: 2)
        cache.append(tokenIDs: feed.tokenIDs, mediaKeys: feed.mediaKeys, positions: feed.positions)
        #expect(cache.slots == [Slot(5), Slot(151655, "cat"), Slot(151655, "cat"), Slot(6)])
        #expect(cache.nextPosition == feed.nextPosition)
        #expect(cache.nextPosition == 4)
        let longer = feed.then(Feed(text: [7], start: feed.nextPosition))
        #expect(cache.plan(longer) == .reuse(kept: 4))
        cache.truncate(2)
        #expect(cache.count == 2)
        #expect(cache.commonPrefix(longer) == 2)
        cache.truncate(-1)
        #expect(cache.count == 0)
    }

    @Test("one claim at a time, until it is released or dropped")
    func claim() throws {
        let cache = KVCache()
        var claim: KVCache.Claim? = try cache.claim()
        let error = try refusal { _ = try cache.claim() }
        #expect(error == .usage("This engine is answering already; wait for it, or cancel it."))
        claim?.release()
        claim?.release()
        let second = try cache.claim()
        claim = nil  // the first one's end frees nothing of the second one's
        #expect(try refusal { _ = try cache.claim() } != nil)
        second.release()
        _ = try cache.claim()
        _ = try cache.claim()
    }

    @Test("the first slots of a feed keep their images alone")
    func first() throws {
        let feed = try Feed(
            [151655, 1, 151655, 151655],
            media: [media(Grid(t: 1, h: 2, w: 2), "a"), media(Grid(t: 1, h: 2, w: 4), "b")],
            special: Sample.special, merge: 2)
        #expect(feed.first(2).media.map(\.key) == ["a"])
        #expect(feed.first(0).media.isEmpty)
        #expect(feed.first(9).count == 4)
        #expect(feed.first(4).media.map(\.key) == ["a", "b"])
    }

    private func media(_ grid: Grid, _ key: String) -> Media {
        Media(grid: grid, key: key, embeddings: Matrix(rows: grid.tokens(merge: 2), columns: 1))
    }

    private func slots(_ value: JSON) throws -> [Slot] {
        try value.items.map { Slot(try $0[0].int, $0[1].asString) }
    }
}
