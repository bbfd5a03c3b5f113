package java.lang;

/** API 24, which Kotlin's data classes call */
public final class Boolean {
    private Boolean() {}

    public static native int hashCode(boolean value);
}
