"""The pages of an NVS partition together: which is written next, and how room is made.

Pages are used one after another. When only one is left free, the one with the fewest live entries is copied
to it and erased, so one page is always free.

Algorithm: ESP-IDF v5.5.1 ``components/nvs_flash/src/nvs_pagemanager.cpp``.
"""

from __future__ import annotations

from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.nvs_entry import ACTIVE, ANY, BLOB, BLOB_IDX, CORRUPT, FREEING, NS_ANY, NvsError
from cicada.tools.twin.nvs_page import Page


class Pages:
    """All pages of a partition: ``used`` in the order of their sequence numbers, and ``free`` ones.

    Args:
        flash: the chip.
        offset: address of the partition, bytes.
        size: bytes, whole sectors.

    Raises:
        NvsError: NO_FREE_PAGES, NEW_VERSION_FOUND, NOT_ENOUGH_SPACE for no page at all.
    """

    def __init__(self, flash: NorFlash, offset: int, size: int) -> None:
        self.used: list[Page] = []
        self.free: list[Page] = []
        for base in range(offset, offset + size, SECTOR):
            page = Page(flash, base)
            (self.used if page.live else self.free).append(page)
        self.used.sort(key=lambda page: page.sequence)
        self.count = len(self.used) + len(self.free)
        self._sequence = 0
        if not self.used:
            self._activate()
            return
        self._sequence = self.used[-1].sequence + 1
        self._drop_duplicate()
        self._finish_move()
        if not self.free:
            raise NvsError("ESP_ERR_NVS_NO_FREE_PAGES")

    @property
    def current(self) -> Page:
        """The page that is written to."""
        return self.used[-1]

    def _drop_duplicate(self) -> None:
        """If the last item written is on an older page, too, erase that one."""
        found = list(self.current.items(NS_ANY, ANY))
        if not found:
            return
        item = found[-1][1]
        kinds = [item.kind, BLOB] if item.kind == BLOB_IDX else [item.kind]
        for kind in kinds:
            for page in self.used[:-1]:
                if page.state == FREEING:
                    continue
                try:
                    page.drop(item.ns, kind, item.key, item.chunk)
                    return
                except NvsError:
                    continue

    def _finish_move(self) -> None:
        """Move the items of a page again whose moving was cut."""
        page = next((page for page in self.used if page.state == FREEING), None)
        if page is None:
            return
        if self.current.state == ACTIVE:
            half = self.used[-1]
            half.erase()
            self.used.remove(half)
            self.free.append(half)
        self._activate()
        page.copy_to(self.current)
        page.erase()
        self.used.remove(page)
        self.free.append(page)

    def _activate(self) -> None:
        if not self.free:
            raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        page = self.free[0]
        if page.state == CORRUPT:
            page.erase()
        self.used.append(self.free.pop(0))
        page.sequence = self._sequence
        self._sequence = self._sequence + 1 & 0xFFFFFFFF

    def request(self) -> None:
        """Begin a new page; with one free page left, move the page with the most room to it first.

        Raises:
            NvsError: NOT_ENOUGH_SPACE if no page has room, INVALID_STATE.
        """
        if not self.free:
            raise NvsError("ESP_ERR_NVS_INVALID_STATE")
        if len(self.free) >= 2:
            self._activate()
            return
        page = max(self.used, key=lambda page: page.unused)
        if page.unused == 0:
            raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        self._activate()
        page.mark_freeing()
        page.copy_to(self.current)
        page.erase()
        self.used.remove(page)
        self.free.append(page)
