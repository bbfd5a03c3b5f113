package java.lang;

/** API 24 */
public class Math {
    private Math() {}

    public static native int addExact(int x, int y);

    public static native long addExact(long x, long y);

    public static native int subtractExact(int x, int y);

    public static native long subtractExact(long x, long y);

    public static native int multiplyExact(int x, int y);

    public static native long multiplyExact(long x, long y);

    public static native int toIntExact(long value);
}
