package android.media;

public class ExifInterface {
    /** API 24 */
    public ExifInterface(java.io.InputStream stream) throws java.io.IOException {}
}
