/// Which frames of a video are taken.
struct FrameSampling {
    private let info: VideoInfo
    private let wanted: VideoOptions
    private let factor: Int

    private static let most = 1 << 24  // frames; a week of them, beyond which nothing is a video

    /// `wanted` was checked. `factor`: frames of a slice.
    init(_ info: VideoInfo, _ wanted: VideoOptions, factor: Int) {
        self.info = info
        self.wanted = wanted
        self.factor = factor
    }

    /// The frames to take, spread evenly from the first to the last of the range, a multiple of `factor`.
    ///
    /// nframes frames; else those of `fps` (2), but at least minFrames (4) and at most maxFrames (768), and no more
    /// than there are. A list of frames is taken whole up to maxFrames, its last one repeated if need be; a single
    /// frame is taken `factor` times, as an image is. Throws ``PocketVLError/video(_:)``.
    func indices() throws(PocketVLError) -> [Int] {
        let range = try range()
        let there = range.count
        if info.times == nil && wanted.minFrames != nil {
            throw .video("\(info.name) is a list of frames, for which min_frames means nothing; leave it out.")
        }
        let count: Int
        if let nframes = wanted.nframes {
            // Halves to the even number: 5 becomes 4.
            let pairs = (Double(nframes) / Double(factor)).rounded(.toNearestOrEven)
            count = Int(pairs) * factor
            if !(factor <= count && count <= there) {
                throw .video(
                    "\(info.name) has \(there) frames to take, so that nframes \(nframes) (rounded to a multiple of"
                        + " \(factor): \(count)) cannot be taken; give \(factor) to \(there / factor * factor), or"
                        + " leave nframes out.")
            }
        } else if info.times == nil && there <= bound {
            return Array(range) + [Int](repeating: range.upperBound - 1, count: (factor - there % factor) % factor)
        } else {
            count = counted(there)
        }
        if there < factor { return [Int](repeating: range.lowerBound, count: factor) }
        if count < factor {
            let most = wanted.maxFrames ?? VideoPlan.maxFrames
            throw .video(
                "\(info.name) cannot be taken \(factor) frames at a time up to max_frames \(most); give more."
            )
        }
        return Self.spread(there, count).map { range.lowerBound + $0 }
    }

    /// linspace(0, there - 1, count), rounded with halves to the even number, in exact arithmetic; a single one is the
    /// first.
    static func spread(_ there: Int, _ count: Int) -> [Int] {
        guard count > 1 else { return [0] }
        return (0..<count).map { k in
            let (whole, rest) = (k * (there - 1)).quotientAndRemainder(dividingBy: count - 1)
            let isUp = 2 * rest > count - 1 || (2 * rest == count - 1 && whole % 2 == 1)
            return whole + (isUp ? 1 : 0)
        }
    }

    /// The frames from videoStart to videoEnd, both included.
    private func range() throws(PocketVLError) -> Range<Int> {
        if info.frames < 1 { throw .video("\(info.name) is empty; give at least one frame.") }
        if info.frames > Self.most {
            throw .video("\(info.name) says that it has \(info.frames) frames, which cannot be; cut it.")
        }
        if !(info.seconds.isFinite && info.seconds >= 0) || info.times.map({ $0.count != info.frames }) ?? false {
            throw .video(
                "\(info.name) says that it lasts \(info.seconds) s and has times for \(info.times?.count ?? 0) of its"
                    + " \(info.frames) frames, which cannot be; copy it again or save it anew.")
        }
        if wanted.videoStart == nil && wanted.videoEnd == nil { return 0..<info.frames }
        guard let times = info.times else {
            throw .video(
                "\(info.name) is a list of frames without times; leave out video_start and video_end, and give only the"
                    + " frames that are meant.")
        }
        let start = wanted.videoStart.map { $0 - VideoPlan.tolerance } ?? -.infinity
        let end = wanted.videoEnd.map { $0 + VideoPlan.tolerance } ?? .infinity
        let first = times.firstIndex { $0 >= start } ?? times.count
        let last = times.lastIndex { $0 <= end } ?? -1
        if first > last {
            throw .video(
                "\(info.name) has no frame from \(wanted.videoStart ?? 0) s to \(wanted.videoEnd ?? info.seconds) s; it"
                    + " lasts \(info.seconds) s and has \(info.frames) frames; give other times.")
        }
        return first..<last + 1
    }

    private func counted(_ there: Int) -> Int {
        let most = min(bound, there)
        if info.times == nil { return most / factor * factor }
        let seconds = info.seconds * Double(there) / Double(info.frames)
        let least = ((wanted.minFrames ?? VideoPlan.minFrames) + factor - 1) / factor * factor
        let count = min(max(seconds * (wanted.fps ?? VideoPlan.fps), Double(least)), Double(most))
        return Int(((count + VideoPlan.tolerance) / Double(factor)).rounded(.down)) * factor
    }

    /// Most frames where nframes does not decide.
    private var bound: Int { (wanted.maxFrames ?? VideoPlan.maxFrames) / factor * factor }
}
