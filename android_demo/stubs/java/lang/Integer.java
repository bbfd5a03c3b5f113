package java.lang;

/** API 24, which Kotlin's data classes call */
public final class Integer {
    private Integer() {}

    public static native int hashCode(int value);
}
