import Foundation

/// What would make a video fit where it does not: settings that are computed, not guessed.
struct VideoFit {
    let info: VideoInfo
    let wanted: VideoOptions
    /// What is too long.
    let plan: VideoPlan
    /// Pixels along one side of a token.
    let factor: Int
    /// Tokens that there are.
    let room: Int
    /// The plan of the same video with other options.
    let planWith: (VideoOptions) throws(PocketVLError) -> VideoPlan

    private static let leastTokens = 4  // of a slice: below, there is nothing to see

    /// Settings each of which alone brings the video to at most `room` tokens, such as ["nframes 40 (fps 0.033)",
    /// "max_pixels 12544"]; empty where nothing helps.
    func settings() -> [String] {
        var found: [String] = []
        let fewer = [fewerFrames(wanted), fewerFrames(noLarger())].compactMap { $0 }
        // The first of those with the most frames.
        if let most = fewer.compactMap(\.nframes).max(), let best = fewer.first(where: { $0.nframes == most }) {
            let pinned = best.maxPixels == wanted.maxPixels ? "" : best.maxPixels.map { " with max_pixels \($0)" } ?? ""
            found.append("nframes \(most)\(asFps(best))\(pinned)")
        }
        for tokens in stride(from: room / plan.grid.t, through: Self.leastTokens, by: -1) {
            let area = Saturating.product(tokens, factor * factor)
            var smaller = wanted
            if wanted.minPixels ?? 0 > area { smaller.minPixels = nil }
            smaller.maxPixels = area
            if fits(smaller) {
                let without = smaller.minPixels == wanted.minPixels ? "" : " without its min_pixels"
                found.append("max_pixels \(area)\(without)")
                break
            }
        }
        return found
    }

    private func fits(_ options: VideoOptions) -> Bool {
        guard let plan = try? planWith(options) else { return false }
        return plan.tokens(factor: factor) <= room
    }

    /// With frames no larger than the plan's: fewer of them would each get more pixels.
    private func noLarger() -> VideoOptions {
        var options = wanted
        let area = plan.size.pixels
        if wanted.minPixels ?? 0 > area { options.minPixels = nil }
        options.maxPixels = min(area, wanted.maxPixels ?? area)
        return options
    }

    /// With the most frames that fit.
    private func fewerFrames(_ wanted: VideoOptions) -> VideoOptions? {
        let depth = plan.indices.count / plan.grid.t
        var options = wanted
        options.fps = nil
        options.minFrames = nil
        options.maxFrames = nil
        for count in stride(from: plan.indices.count - depth, to: 0, by: -depth) {
            options.nframes = count
            if fits(options) { return options }
        }
        return nil
    }

    /// As frames per second, of a video that has times: " (fps 0.5)".
    private func asFps(_ options: VideoOptions) -> String {
        guard let nframes = options.nframes, info.times != nil else { return "" }
        let start = options.videoStart ?? 0
        let seconds = min(options.videoEnd ?? info.seconds, info.seconds) - start
        guard seconds > 0 else { return "" }
        var asked = options
        asked.nframes = nil
        var fps = twoDigits(Double(nframes) / seconds)
        for _ in 0..<2 {  // rounded up, it may take one slice too many
            asked.fps = fps
            if fits(asked) { return " (fps \(String(format: "%g", fps)))" }
            fps = twoDigits(fps * 0.95)
        }
        return ""
    }

    private func twoDigits(_ value: Double) -> Double { Double(String(format: "%.2g", value)) ?? value }
}
