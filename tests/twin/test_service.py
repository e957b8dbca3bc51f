"""What a background twin leaves in its flash is there the next time, until the image changes."""

from cicada.tools.stages import write_atomic
from cicada.tools.twin import service
from cicada.tools.twin.flash import SIZES


def leave(image, fresh=False):
    """One run that writes a little; what was in the flash before."""
    flash, kept = service._kept_flash(image, fresh)
    before = flash.read(0, 4)
    if before == b"\xff" * 4:
        flash.program(0, b"left")
    write_atomic(kept, flash.snapshot().data)
    return before


def test_flash_is_kept_for_the_same_image_only(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "BUILD", tmp_path)
    image = tmp_path / "flash.bin"
    image.write_bytes(b"\xff" * SIZES[0])
    assert leave(image) == b"\xff" * 4
    assert leave(image) == b"left"
    assert leave(image, fresh=True) == b"\xff" * 4
    assert image.read_bytes()[:4] == b"\xff" * 4
    image.write_bytes(b"\xff" * (SIZES[0] - 1) + b"\0")
    assert leave(image) == b"\xff" * 4
    assert len(list((tmp_path / "twin").glob("kept-*.bin"))) == 1
