"""Make the world of a scenario."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shlex
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.twin import scenario as format
from cicada.tools.twin.chip import PWRON_RESET, Restart
from cicada.tools.twin.flash import Cut, NorFlash
from cicada.tools.twin.peripherals.sensing import KINDS, WIRE_KINDS
from cicada.tools.twin.scenario import Scenario, microseconds
from cicada.tools.twin.sensors import recorded
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.motion import Fault, Motion, Piece, Still, Synthesised, Timeline
from cicada.tools.twin.sound import ARECORD, RATE, Live, Microphone, Played, Sound, mix_in, recording
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, Steps, World

_PIECE_S = 600.0  # up to here all sound is mixed beforehand


class LongSound(Sound):
    """Sound of a scenario that lasts for days: mixed while it is heard, over hiss that repeats."""

    def __init__(self, played: Sequence[Played], seconds: float, seed: int, microphone: Microphone) -> None:
        super().__init__([], 10.0, loop=True, seed=seed, microphone=microphone)
        self.played = sorted(played, key=lambda one: one.start)
        self.seconds = seconds
        self._gain = microphone.gain
        self._starts = [int(one.start * RATE) for one in self.played]
        self._longest = max((len(one.pcm) for one in self.played), default=0)

    def samples(self, start: int, count: int) -> np.ndarray:
        pcm = super().samples(start, count)
        first = bisect_left(self._starts, start - self._longest)
        last = bisect_left(self._starts, start + count)
        if first == last:
            return pcm
        mix = pcm.astype(np.float64)
        for one in self.played[first:last]:
            mix_in(mix, start, one, self._gain)
        return np.clip(np.rint(mix), -32768, 32767).astype(np.int16)


@contextlib.contextmanager
def staged(about: Scenario, path: Path, flash: NorFlash, board, **options) -> Iterator[Twin]:
    """The twin of a scenario, ready to run.

    Args:
        about: the scenario.
        path: its file; files it names lie beside it.
        flash: contents of the flash.
        board: the board's description.
        options: of :class:`Twin`.
    """
    with contextlib.ExitStack() as stack:
        world = _world(about, path, stack)
        twin = Twin(flash, board, world, seed=about.seed, **options)
        _schedule(about, path, twin)
        if about.update:
            world.hosts["updates.cicada:80"] = stack.enter_context(_offering(about, path, twin))
        try:
            yield twin
        finally:
            twin.power_off()


def _world(about: Scenario, path: Path, stack: contextlib.ExitStack) -> World:
    def us(value: format.Duration) -> int:
        return microseconds(value, path)

    world = World(_sound(about, path, stack))
    for entry in sorted(about.pin, key=lambda e: us(e.at)):
        steps = world.levels.setdefault(entry.pin, Steps([(0, 1 - entry.level)]))
        steps.changes = [*steps.changes, (us(entry.at), entry.level)]
    world.devices = [_device(entry, number, path) for number, entry in enumerate(about.device, 1)]
    world.ulp = [us(e.at) for e in about.wake if e.source == "ulp"]
    world.touch = [us(e.at) for e in about.wake if e.source == "touch"]
    world.network = _network(about, us)
    world.motion = _motion(about, path)
    if about.temperature:
        world.temperature = _curve([(us(e.at), e.celsius) for e in about.temperature], path, "temperature")
    if about.battery:
        world.battery = _curve([(us(e.at), e.volts) for e in about.battery], path, "battery")
    if about.camera:
        from cicada.tools.twin.sensors.camera import Camera

        shown = sorted(about.camera, key=lambda e: us(e.at))
        files = [path.parent / e.file for e in shown]
        for file in files:
            _there(file, path)
        try:
            world.camera = Camera(files, [us(e.at) for e in shown])
        except ValueError as error:
            raise UserError(f"{path}: [[camera]] shows two images at one moment: remove one") from error
    return world


def _device(entry: format.DeviceEntry, number: int, path: Path) -> dict:
    """One [[device]] as :mod:`.peripherals.sensing` wants it."""
    place = {"i2c": "address", "spi": "cs", "1-wire": "pin"}
    kinds = WIRE_KINDS if entry.bus == "1-wire" else KINDS
    where = f"{path}: [[device]] number {number}"
    if entry.kind not in kinds:
        raise UserError(f"{where} is a '{entry.kind}' on {entry.bus}: there it can be " + ", ".join(kinds))
    for bus, key in place.items():
        if bus != entry.bus and getattr(entry, key) is not None:
            raise UserError(f"{where} has '{key}', which is for {bus}: it is on {entry.bus}")
    if entry.bus != "i2c" and getattr(entry, place[entry.bus]) is None:
        raise UserError(f"{where} has no '{place[entry.bus]}': say which pin it is at")
    until = None if entry.until is None else microseconds(entry.until, path)
    keys = ("kind", "bus", "address", "cs", "pin", "interrupt")
    return {key: getattr(entry, key) for key in keys} | {"until": until}


def _curve(points: list[tuple[int, float]], path: Path, name: str) -> Curve:
    try:
        return Curve(sorted(points))
    except ValueError as error:
        raise UserError(f"{path}: [[{name}]] has two values for one moment: remove one") from error


def _sound(about: Scenario, path: Path, stack: contextlib.ExitStack) -> Sound | Live:
    described = about.microphone
    if described.live:
        command = ARECORD if described.live is True else shlex.split(described.live)
        return stack.enter_context(Live(command))
    microphone = Microphone(described.gain_db, described.noise_dbfs, described.offset)
    seconds = microseconds(about.seconds, path) / 1e6
    played = []
    recorded_once = functools.cache(recording)
    for entry, clip in zip(about.sound, _clips(about, path), strict=True):
        at, until = microseconds(entry.at, path) / 1e6, seconds
        if entry.until is not None:
            until = microseconds(entry.until, path) / 1e6
        every = microseconds(entry.every, path) / 1e6 if entry.every is not None else float("inf")
        if every <= 0:
            raise UserError(f"{path}: every = {entry.every} never ends: give a longer time")
        first = clip if isinstance(clip, Played) else recorded_once(clip)
        while at < until:
            played.append(Played(at, first.pcm, entry.word, first.path))
            at += every
    if seconds <= _PIECE_S:
        return Sound(played, max(seconds, 1.0), seed=about.seed, microphone=microphone)
    return LongSound(played, seconds, about.seed, microphone)


def _clips(about: Scenario, path: Path) -> list[Path | Played]:
    """What each sound plays: its file, or a recording of its word by somebody no model was trained on."""
    words = [entry.word for entry in about.sound if not entry.file]
    chosen: list[Played] = []
    if words:
        if not all(words):
            raise UserError(f"{path}: a [[sound]] has neither file nor word: name one")
        from cicada.tools.twin.playlist import choose
        from cicada.training.corpora import open_corpus

        data = path.parent / about.data if about.data else None
        corpus = open_corpus(data, sorted(set(words)), seed=about.seed)
        chosen = [Played(0.0, clip.load(), clip.word) for clip in choose(corpus, words, about.seed)]
    clips: list[Path | Played] = []
    for entry in about.sound:
        if entry.file:
            _there(path.parent / entry.file, path)
            clips.append(path.parent / entry.file)
        else:
            clips.append(chosen.pop(0))
    return clips


def _there(file: Path, path: Path) -> None:
    if not file.is_file():
        raise UserError(f"{path} names the file {file}, which is not there: correct the name")


def _motion(about: Scenario, path: Path) -> Motion:
    try:
        pieces = _pieces(about, path)
        return Timeline(pieces) if pieces else Still()
    except ValueError as error:
        raise UserError(f"{path}: [[motion]] cannot be: {error}") from error


def _pieces(about: Scenario, path: Path) -> list[Piece]:
    pieces = []
    for entry in about.motion:
        end = None if entry.until is None else microseconds(entry.until, path)
        if entry.kind == "still":
            motion: Motion = Still(entry.gravity)
        elif entry.kind == "machine":
            fault = Fault(entry.fault, entry.fault_g) if entry.fault else None
            motion = Synthesised(
                entry.rotation_hz, entry.unbalance_g, fault, entry.noise_g, entry.gravity, seed=about.seed
            )
        else:
            _there(path.parent / entry.file, path)
            file = path.parent / entry.file
            motion = recorded.load(
                file, entry.rate, entry.g_per_count, entry.full_scale_g, gravity=entry.gravity
            )
        pieces.append(Piece(microseconds(entry.at, path), motion, end))
    return pieces


def _network(about: Scenario, us: Callable[[format.Duration], int]) -> Network:
    network = Network()
    for entry in sorted(about.network, key=lambda e: us(e.at)):
        for name, value in (
            ("up", None if entry.up is None else int(entry.up)),
            ("latency_ms", entry.latency_ms),
            ("bytes_per_s", entry.bytes_per_s),
        ):
            if value is not None:
                steps = getattr(network, name)
                steps.changes = [*steps.changes, (us(entry.at), value)]
    return network


def _schedule(about: Scenario, path: Path, twin: Twin) -> None:
    """Put on the agenda what happens to the board itself."""
    chip = twin.chip

    def at(value: format.Duration, action: Callable[[], None]) -> None:
        chip.at(microseconds(value, path), action)

    def restart(off_us: int) -> Callable[[], None]:
        def action() -> None:
            raise Restart(PWRON_RESET, off_us)

        return action

    def jump(us: int) -> Callable[[], None]:
        def action() -> None:
            chip.parts["cpu"].clock_us += us

        return action

    cuts: list[Cut] = []
    for entry in about.power:
        if (entry.at is None) == (not entry.operation):
            raise UserError(f"{path}: [[power]] needs 'at' or 'operation', and not both")
        if entry.at is not None:
            at(entry.at, restart(max(microseconds(entry.off, path), 1)))
            continue
        try:
            cut = Cut.parse(entry.operation)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        for n in range(entry.times):
            cuts.append(Cut(cut.operation + n * entry.every, cut.when, cut.shape, cut.seed + n))
    twin.cut_later(cuts)
    for entry in about.reset:
        at(entry.at, restart(0))
    for entry in about.clock:
        at(entry.at, jump(microseconds(entry.jump, path, signed=True)))
    for entry in about.type:
        at(entry.at, lambda text=entry.text: twin.type(text.encode()))


@contextlib.contextmanager
def _offering(about: Scenario, path: Path, twin: Twin) -> Iterator[tuple[str, int]]:
    """An HTTP server on this machine that has each update from its time on."""
    offers = {}
    for entry in about.update:
        file = path.parent / entry.file
        _there(file, path)
        offers["/" + file.name] = (microseconds(entry.at, path), file.read_bytes())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            since, data = offers.get(self.path, (None, b""))
            if since is None or twin.chip.meter.now < since:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[:2]
        finally:
            server.shutdown()
            thread.join()
