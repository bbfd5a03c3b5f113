import Foundation

/// Pages of mapped files that will not be read again.
enum FilePages {
    /// Lets the system take back the pages of files below `folder`, of mappings into which nothing was written. What is
    /// read again comes from the file again.
    ///
    /// On Linux alone, where they count as the process's memory. Pages that wait to be written to the disk stay, and so
    /// do those of files in memory (tmpfs), of another owner, or mapped elsewhere, too.
    static func giveBack(below folder: URL) {
        #if os(Linux)
            let start = folder.resolvingSymlinksInPath().path + "/"
            for mapping in mappings() where mapping.path.hasPrefix(start) && mapping.ownBytes == 0 {
                pageOut(mapping)
            }
        #endif
    }

    #if os(Linux)
        /// Takes pages out of memory, and loses nothing: other memory of this process may have come to where the
        /// mapping was when it was looked for, and MADV_DONTNEED would make that zeros.
        static func pageOut(_ mapping: Mapping) {
            madvise(UnsafeMutableRawPointer(bitPattern: mapping.first), Int(mapping.count), MADV_PAGEOUT)
        }

        struct Mapping {
            let first: UInt
            let count: UInt
            let path: String
            var residentBytes = 0
            /// That are no file's.
            var ownBytes = 0
        }

        /// Of this process, those of files alone; none where the system does not list them.
        static func mappings() -> [Mapping] {
            // Data(contentsOf:) would read the first page alone of a file that says it has no size.
            guard let list = try? FileHandle(forReadingAtPath: "/proc/self/smaps")?.readToEnd() else { return [] }
            var found: [Mapping] = []
            var isFile = false
            for line in String(decoding: list, as: UTF8.self).split(separator: "\n") {
                let words = line.split(separator: " ", maxSplits: 5)
                guard words.count > 1 else { continue }
                if !words[0].hasSuffix(":") {
                    let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
                    let path = words.count == 6 ? words[5].drop { $0 == " " } : ""
                    isFile = path.hasPrefix("/") && ends.count == 2 && ends[0] < ends[1]
                    if isFile {
                        found.append(Mapping(first: ends[0], count: ends[1] - ends[0], path: String(path)))
                    }
                } else if isFile, let kilobytes = Int(words[1]) {
                    if words[0] == "Rss:" { found[found.count - 1].residentBytes = kilobytes * 1024 }
                    if words[0] == "Anonymous:" { found[found.count - 1].ownBytes = kilobytes * 1024 }
                }
            }
            return found
        }
    #endif
}
