package android.graphics;

/** API 26 */
public abstract class ColorSpace {
    private ColorSpace() {}

    public static native ColorSpace get(Named name);

    public enum Named {
        SRGB,
    }
}
