"""A video's file, decoded by PyAV: place and time of every frame first, then only what is wanted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.runtime.errors import VideoError
from pocketvl.runtime.extras import import_failure
from pocketvl.runtime.media.frame_source import Opener, damage_named
from pocketvl.runtime.media.resize import resize_image
from pocketvl.runtime.media.video_sampling import VideoInfo

# Containers that hold frames themselves; not playlists (HLS, DASH, concat), which name files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,mxf,"
    "nut,yuv4mpegpipe,dv,rm"
)
_MOST_PIXELS = 1 << 25  # of a frame: 8K
_MOST_PACKETS = 1 << 21  # 9 hours at 60 frames a second
_THREADS = 4
_AWAY = 0.5  # seconds from a frame that the decoder leaves out to the last one that it gave

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


@dataclass(frozen=True)
class _Index:
    """pts: int64 of the packets in decoding order, in units of the stream. group: which group of pictures
    each packet belongs to, -1 before the first key frame. shown: the packets in the order in which their
    frames are shown. counted: the file has no times, and frames are told apart by counting them."""

    pts: NDArray[np.int64]
    group: NDArray[np.int64]
    shown: NDArray[np.int64]
    counted: bool

    def groups_for(self, frames: Sequence[int]) -> set[int]:
        """Groups to decode: a frame shown before its group's key frame needs the group before, too."""
        if self.counted:
            return set(range(int(self.group.max()) + 1))
        first = {int(g): int(i) for g, i in zip(*np.unique(self.group, return_index=True), strict=True)}
        needed = set()
        for packet in self.shown[list(frames)]:
            group = int(self.group[packet])
            needed |= {group, group - 1} if self.pts[packet] < self.pts[first[group]] else {group}
        return needed


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
        index = self._index
        wanted = [int(i) if index.counted else int(index.pts[index.shown[i]]) for i in indices]
        given, last = 0, None
        with self._stream() as (container, stream):
            for number, frame in enumerate(self._decoded(container, stream, index.groups_for(indices))):
                place = number if index.counted else frame.pts
                if place is None:
                    continue
                last = place, frame
                while given < len(wanted) and wanted[given] <= place:
                    yield self._image(frame, size)
                    given += 1
                if given == len(wanted):
                    return
            step = 1.0 if index.counted else float(stream.time_base)
            while given < len(wanted):  # a packet without a frame of its own
                if last is None or (wanted[given] - last[0]) * step > (2 if index.counted else _AWAY):
                    raise self._damaged(f"frame {indices[given]} cannot be decoded")
                yield self._image(last[1], size)
                given += 1

    @contextmanager
    def _stream(self) -> Iterator[tuple[Any, Any]]:
        av = _pyav(self._name)
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": ""}
        with damage_named(self._name), self._opener() as file, av.open(file, options=options) as container:
            streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
            if not streams:
                raise VideoError(f"{self._name} has no pictures that move (sound alone?); give a video.")
            stream = streams[0]
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
                yield from decoder.decode(None)
                decoder.flush_buffers()
            before = group
            yield from decoder.decode(packet)
        yield from decoder.decode(None)

    def _image(self, frame: Any, size: tuple[int, int]) -> Image.Image:
        if frame.is_corrupt:
            at = "" if frame.time is None else f" at {frame.time:.2f} s"
            raise self._damaged(f"the frame{at} is incomplete")
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


def _read_index(container: Any, stream: Any, name: str) -> tuple[_Index, list[float], float]:
    """The index; times of the frames in seconds after the first one, ascending; how long the video lasts."""
    rows: list[tuple[int, bool, bool]] = []
    counted, lasts, key_seen = False, 0, False
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if len(rows) == _MOST_PACKETS:
            raise VideoError(f"{name} has more than {_MOST_PACKETS} frames; cut it into shorter videos.")
        if packet.is_corrupt:
            raise VideoError(f"{name} is damaged or cut off after {len(rows)} frames; copy it again.")
        counted = counted or packet.pts is None
        key_seen = key_seen or packet.is_keyframe
        rows.append((packet.pts or 0, packet.is_keyframe, packet.is_discard))
        lasts = packet.duration or lasts
    if not rows:
        raise VideoError(f"{name} holds no frames; record or copy the video again.")
    if stream.frames > len(rows) and "mp4" in container.format.name:
        raise VideoError(
            f"{name} is cut off: {len(rows)} of {stream.frames} frames are there; copy or download it again."
        )
    pts = np.array([row[0] for row in rows], np.int64)
    key = np.array([row[1] for row in rows], np.bool_)
    hidden = np.array([row[2] for row in rows], np.bool_)
    if not key_seen:
        key[0] = True
    group = np.cumsum(key) - 1
    hidden |= group < 0
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if counted:
        shown = np.flatnonzero(~hidden)
        return _Index(pts, group, shown, True), (np.arange(len(shown)) / rate).tolist(), len(shown) / rate
    hidden |= pts < pts[np.argmax(key)]  # shown before the first key frame: cannot be decoded
    there = np.flatnonzero(~hidden)
    _, first = np.unique(pts[there], return_index=True)
    shown = there[first]
    if not len(shown):
        raise VideoError(f"{name} holds no frames that are shown; record or copy the video again.")
    ticks = pts[shown] - pts[shown[0]]
    seconds = float((int(ticks[-1]) + lasts) * stream.time_base)
    by_rate = len(shown) / rate
    if abs(seconds - by_rate) <= 2 / rate:  # times rounded to milliseconds, as in Matroska
        seconds = by_rate
    return (
        _Index(pts, group, shown, False),
        (ticks * float(stream.time_base)).tolist(),
        max(seconds, 1 / rate),
    )


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
