import PocketVL

/// A rectangle in points of a view.
public struct ViewBox: Sendable, Equatable {
    public let left: Double
    public let top: Double
    public let right: Double
    public let bottom: Double
    public let label: String
}

/// Where an image lies in a view that shows all of it, as large as it can be and in the middle: SwiftUI's scaledToFit.
/// What is left of the view are bars at two sides.
///
/// The image's size is the one that boxes are in, whatever was sampled down for display.
public struct Letterbox: Sendable, Equatable {
    /// Points for an image pixel.
    public let scale: Double
    public let left: Double
    public let top: Double
    private let image: PixelSize

    public init(_ image: PixelSize, viewWidth: Double, viewHeight: Double) {
        let (width, height) = (Double(image.width), Double(image.height))
        self.image = image
        scale = width > 0 && height > 0 ? max(0, min(viewWidth / width, viewHeight / height)) : 0
        left = (viewWidth - width * scale) / 2
        top = (viewHeight - height * scale) / 2
    }

    /// The box in the view; parts outside of the image are cut off. Nil where nothing of it is left.
    public func map(_ box: Box) -> ViewBox? {
        let (width, height) = (Double(image.width), Double(image.height))
        let (x1, x2) = (min(max(box.x1, 0), width), min(max(box.x2, 0), width))
        let (y1, y2) = (min(max(box.y1, 0), height), min(max(box.y2, 0), height))
        guard x1 < x2, y1 < y2, scale > 0 else { return nil }
        return ViewBox(
            left: left + x1 * scale, top: top + y1 * scale, right: left + x2 * scale, bottom: top + y2 * scale,
            label: box.label)
    }
}
