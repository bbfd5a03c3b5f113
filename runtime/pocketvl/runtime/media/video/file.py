"""A video's file, decoded by PyAV: place and time of every frame first, then only what is wanted."""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from pocketvl.runtime.errors import VideoError
from pocketvl.runtime.extras import import_failure
from pocketvl.runtime.media.resize import resize_image
from pocketvl.runtime.media.video.frame_source import Opener, damage_named
from pocketvl.runtime.media.video.index import FrameIndex, Packets, index_of, matched
from pocketvl.runtime.media.video.sampling import VideoInfo

# Containers that hold frames themselves; not playlists (HLS, DASH, concat), which name files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,mxf,"
    "nut,yuv4mpegpipe,dv,rm"
)
_MOST_PIXELS = 1 << 25  # of a frame: 8K
_MOST_PACKETS = 1 << 21  # 9 hours at 60 frames a second
_THREADS = 4
_AWAY = 0.5  # seconds, how far from a frame that the decoder leaves out another may take its place

_UPRIGHT = {  # by the signs of a display matrix's a, b, c, d: x' = ax + cy, y' = bx + dy
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_TURNED = (_UPRIGHT[0, 1, -1, 0], _UPRIGHT[0, -1, 1, 0], _UPRIGHT[0, 1, 1, 0], _UPRIGHT[0, -1, -1, 0])


class VideoFile:
    def __init__(self, opener: Opener, name: str) -> None:
        """Raises VideoError, MissingExtraError without PyAV."""
        self._opener = opener
        self._name = name
        self.notes: list[str] = []
        with self._stream() as (container, stream):
            self._index, times, seconds = _read_index(container, stream, name)
        with self._stream() as (container, stream):
            frame = next(self._decoded(container, stream, {0}), None)
            if frame is None:
                raise self._damaged("no frame of it can be decoded")
            self._transpose = self._upright(frame)
            size = (frame.height, frame.width)
        upright = size[::-1] if self._transpose in _TURNED else size
        self.info = VideoInfo(name, len(times), upright, times, seconds)

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[Image.Image]:
        """See FrameSource."""
        index, replaced = self._index, 0
        with self._stream() as (container, stream):
            away = 1.0 if index.counted else _AWAY / float(stream.time_base)
            decoded = self._decoded(container, stream, index.groups_for(indices))
            placed = ((number if index.counted else frame.pts, frame) for number, frame in enumerate(decoded))
            for number, found in enumerate(matched(placed, index.places(indices), int(away))):
                if found is None:
                    raise self._damaged(f"frame {indices[number]} cannot be decoded")
                frame, is_right = found
                if frame.is_corrupt:
                    raise self._damaged(f"frame {indices[number]} is incomplete")
                replaced += not is_right
                yield self._image(frame, size)
        if replaced:
            self.notes.append(
                f"{self._name}: {replaced} of {len(indices)} frames cannot be decoded; the ones beside them"
                " were taken instead."
            )

    @contextmanager
    def _stream(self) -> Iterator[tuple[Any, Any]]:
        av = _pyav(self._name)
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": ""}
        with (
            damage_named(self._name),
            self._opener() as file,
            av.open(file, options=options, metadata_errors="ignore") as container,
        ):
            streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
            if not streams:
                raise VideoError(f"{self._name} has no frames that move (sound alone?); give a video.")
            stream = streams[0]
            if stream.codec_context is None or stream.time_base is None:
                raise VideoError(f"{self._name} has a codec that this PyAV does not know; save it as H.264.")
            _check_pixels(stream.codec_context, self._name)
            stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
            stream.codec_context.thread_count = _THREADS
            stream.thread_type = "AUTO"
            yield container, stream

    def _decoded(self, container: Any, stream: Any, groups: set[int]) -> Iterator[Any]:
        """Frames of those groups, in the order in which they are shown."""
        decoder, before, place = stream.codec_context, None, 0
        for packet in container.demux(stream):
            if not packet.size:
                continue
            group = int(self._index.group[place]) if place < len(self._index.group) else -1
            place += 1
            if group not in groups:
                continue
            if before is not None and group > before + 1:
                yield from self._decode(decoder, None)
                decoder.flush_buffers()
            before = group
            yield from self._decode(decoder, packet)
        yield from self._decode(decoder, None)

    def _decode(self, decoder: Any, packet: Any) -> Any:
        try:
            return decoder.decode(packet)
        except _pyav(self._name).FFmpegError as error:
            raise self._damaged(str(error.strerror)) from None

    def _image(self, frame: Any, size: tuple[int, int]) -> Image.Image:
        image: Image.Image = frame.to_image()
        turned = self._transpose in _TURNED
        resized = resize_image(image, size[::-1] if turned else size)
        return resized if self._transpose is None else resized.transpose(self._transpose)

    def _upright(self, frame: Any) -> Image.Transpose | None:
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
                signs = _sign(a), _sign(b), _sign(c), _sign(d)
                if signs != (1, 0, 0, 1) and signs not in _UPRIGHT:
                    self.notes.append(
                        f"{self._name} is turned by an angle that is no right one: shown as stored."
                    )
                return _UPRIGHT.get(signs)
        return None

    def _damaged(self, reason: str) -> VideoError:
        return VideoError(
            f"{self._name} is damaged or cut off ({reason}); copy it again, or leave that part out with"
            f" video_start"
            " and video_end."
        )


def _read_index(container: Any, stream: Any, name: str) -> tuple[FrameIndex, Sequence[float], float]:
    """The index; times of the frames in seconds after the first one, ascending; how long the video lasts."""
    packets, lasts = Packets(), 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if len(packets) == _MOST_PACKETS:
            raise VideoError(f"{name} has more than {_MOST_PACKETS} frames; cut it into shorter videos.")
        if packet.is_corrupt:
            raise VideoError(f"{name} is damaged or cut off after {len(packets)} frames; copy it again.")
        packets.add(packet.pts, packet.is_keyframe, packet.is_discard)
        lasts = packet.duration or lasts
    if stream.frames > len(packets) and "mp4" in container.format.name:
        raise VideoError(
            f"{name} is cut off: {len(packets)} of {stream.frames} frames are there; copy or download it"
            f" again."
        )
    index = index_of(packets)
    if not len(index.shown):
        raise VideoError(f"{name} holds no frames; record or copy the video again.")
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    by_rate = len(index.shown) / rate
    if index.counted:
        return index, array("d", np.arange(len(index.shown)) / rate), by_rate
    ticks = index.pts[index.shown] - index.pts[index.shown[0]]
    seconds = float((int(ticks[-1]) + lasts) * stream.time_base)
    if abs(seconds - by_rate) <= 2 / rate:  # times are rounded to milliseconds in Matroska
        seconds = by_rate
    return index, array("d", ticks * float(stream.time_base)), max(seconds, 1 / rate)


def _sign(value: int) -> int:
    """Of a number in 16.16 fixed point; 0 below a half."""
    return 0 if abs(value) < 1 << 15 else (1 if value > 0 else -1)


def _check_pixels(codec: Any, name: str) -> None:
    if codec.width * codec.height > _MOST_PIXELS:
        raise VideoError(
            f"{name} has frames of {codec.width}x{codec.height} pixels (the limit is {_MOST_PIXELS});"
            " scale it down first."
        )


def _pyav(name: str) -> Any:
    try:
        import av
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, f"Reading {name} as a video needs PyAV", "video") from None
    return av
