"""Voices that speak any English word, from pip packages alone: espeak-ng's many and hibari's bundled one."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
from pathlib import Path

import numpy as np

from cicada.tools.errors import UserError, from_os_error

#: Ways to pronounce English that espeak-ng knows: British (several), Scottish, American, Caribbean.
ACCENTS = (
    "en",
    "en-us",
    "en-us-nyc",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)

# espeak-ng's voice variants by split. A variant is a speaker: formants, pitch, breath and bandwidths of its
# own. Variants of one name (Gene, Gene2) and of one synthesis method (klatt) are relatives and stay together.
# Left out: robots, whispers, croaks, and variants that only change the pace of another one.
_TRAIN = (
    "Alex,Alicia,Andy,Annie,Denis,Diogo,Gene,Gene2,Henrique,Marco,Mario,Michael,Mike,mike2,Mr serious,Nguyen,"
    "adam,anika,antonio,belinda,benjamin,boris,ed,edward,edward2,f1,f3,f5,gustave,ian,iven,iven2,iven3,iven4,"
    "john,klatt,klatt2,klatt3,klatt4,klatt5,klatt6,m1,m3,m5,m6,m7,m8,max,michel,miguel,norbert,pablo,quincy,"
    "rob,robert,sandro,steph,steph2,steph3,travis,victor"
)
_VALIDATION = "Hugo,Lee,Storm,aunty,f2,grandma,m2,pedro,shelby,zac"
_TEST = "Andrea,Jacky,Reed,announcer,caleb,david,f4,grandpa,linda,m4,marcelo,paul"
ESPEAK_VOICES = {
    "train": tuple(_TRAIN.split(",")),
    "validation": tuple(_VALIDATION.split(",")),
    "test": tuple(_TEST.split(",")),
}

#: hibari's bundled neural voice. All of it is one speaker, so it is on one side of the split, and that is the
#: test: a voice of another synthesiser shows best what a model makes of speakers unlike those it has learnt.
HIBARI_VOICE = "heart"
HIBARI_SPLIT = "test"

_MEND = "run 'make' again to reinstall the packages, or name a folder of recordings with DATA="

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 2
_RATE, _PITCH, _RANGE = 1, 3, 4
_copies = itertools.count()
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """espeak-ng through its C interface (speak_lib.h).

    What the library has said before colours what it says next: phases and flutter go on, also over
    espeak_Terminate. So that the same seed gives the same speech, every object loads a copy of the library,
    with variables of its own.

    Args:
        scratch: folder for the copy. It must stay until the process ends: the loader knows a library by its
            inode, which a later file would inherit.
    """

    def __init__(self, scratch: Path) -> None:
        try:
            import espeakng_loader

            copy = scratch / f"espeak-{os.getpid()}-{next(_copies)}.so"
            shutil.copyfile(espeakng_loader.get_library_path(), copy)
            self._lib = ctypes.CDLL(str(copy))
            data = espeakng_loader.get_data_path()
            self._variants = {path.name for path in Path(data, "voices", "!v").iterdir()}
        except (ImportError, OSError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise from_os_error(error, "copying the speech synthesiser") from error
            raise UserError(
                f"the speech synthesiser espeak-ng cannot be loaded ({error}): {_MEND}"
            ) from error
        self._lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        #: Sample rate of what :meth:`render` returns, in Hz.
        self.rate = self._lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _INITIALIZE_DONT_EXIT
        )
        if self.rate <= 0:
            raise UserError(
                f"the speech synthesiser espeak-ng does not start with its data in {data}: {_MEND}"
            )
        self._chunks: list[np.ndarray] = []
        # The library keeps only a pointer: this object must outlive every call.
        self._callback = _CALLBACK(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def render(
        self, text: str, accent: str, variant: str, *, rate: int, pitch: int, span: int, seed: int
    ) -> np.ndarray:
        """Speak ``text``.

        Args:
            text: what to say.
            accent: one of :data:`ACCENTS`.
            variant: one of :data:`ESPEAK_VOICES`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 99; 50 is the variant's own.
            span: range of the melody, 0 to 99; 50 is normal.
            seed: seed of breath and jitter.

        Returns:
            ``int16[n]`` at :attr:`rate` Hz; empty if there is nothing to say.
        """
        # An unknown variant would silently give the plain voice, and with it a leak between splits.
        if variant not in self._variants:
            raise UserError(f"this espeak-ng has no voice variant '{variant}': {_MEND}")
        if self._lib.espeak_SetVoiceByName(f"{accent}+{variant}".encode()) != 0:
            raise UserError(f"this espeak-ng has no accent '{accent}': {_MEND}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, span)):
            self._lib.espeak_SetParameter(parameter, int(value), 0)
        # Breath comes from the library's own generator, in some voices from the C library's.
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        ctypes.CDLL(None).srand(ctypes.c_uint(seed))
        self._chunks.clear()
        data = text.encode()
        self._lib.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _CHARS_UTF8, None, None)
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)

    def phonemes(self, text: str) -> str:
        """How ``text`` sounds in American English, in IPA without marks of stress and length."""
        return "".join(c for c in self.sound(text, "en-us") if c not in "ˈˌː_ ")

    def sound(self, text: str, accent: str) -> str:
        """How ``text``, a word or phrase, sounds in an accent: IPA with stress, length and spaces.

        Raises:
            UserError: the library has no such accent.
        """
        if self._lib.espeak_SetVoiceByName(accent.encode()) != 0:
            raise UserError(f"this espeak-ng has no accent '{accent}': {_MEND}")
        pointer = ctypes.c_char_p(text.encode())
        spoken = self._lib.espeak_TextToPhonemes(ctypes.byref(pointer), _CHARS_UTF8, _PHONEMES_IPA) or b""
        return spoken.decode()


class Neural:
    """hibari's bundled voice; nothing is ever downloaded."""

    rate = 24000

    def __init__(self) -> None:
        try:
            from hibari import Hibari
            from hibari.voices import voice_path

            model = voice_path(HIBARI_VOICE, download_missing=False)
            self._speak = Hibari(voice=HIBARI_VOICE, model=model)
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise UserError(f"the speech synthesiser hibari cannot be loaded ({error}): {_MEND}") from error

    def render(self, text: str, *, speed: float, seed: int) -> np.ndarray:
        """Speak ``text`` at ``speed`` (1 is normal); ``int16[n]`` at 24 kHz."""
        return np.clip(np.rint(self._speak(text, speed=speed, seed=seed) * 32767), -32768, 32767).astype(
            np.int16
        )
