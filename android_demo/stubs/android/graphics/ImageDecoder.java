package android.graphics;

import android.content.ContentResolver;
import android.net.Uri;

/** API 28 */
public final class ImageDecoder {
    private ImageDecoder() {}

    public static final int ALLOCATOR_SOFTWARE = 1;

    public static native Source createSource(ContentResolver resolver, Uri uri);

    public static native Bitmap decodeBitmap(Source source, OnHeaderDecodedListener listener) throws java.io.IOException;

    public native void setTargetSampleSize(int sampleSize);

    public native void setAllocator(int allocator);

    public native void setUnpremultipliedRequired(boolean unpremultipliedRequired);

    public native void setTargetColorSpace(ColorSpace colorSpace);

    public abstract static class Source {
        private Source() {}
    }

    public static class ImageInfo {
        private ImageInfo() {}
    }

    public interface OnHeaderDecodedListener {
        void onHeaderDecoded(ImageDecoder decoder, ImageInfo info, Source source);
    }
}
