"""The board is what its description says: heap, flash, partitions."""

from cicada.tools.board import load_board
from cicada.tools.paths import board_dir
from cicada.tools.twin.child import IN_FLASH


def name_of(dut):
    """The board the firmware was built for."""
    return dut.exec("import board; print(board.NAME)").strip()


def test_the_heap_has_the_size_the_board_promises(dut):
    said = dut.exec("""
        import gc, sys
        gc.collect()
        print(gc.mem_alloc() + gc.mem_free(), 8 if sys.maxsize > 2**31 else 4)
    """)
    size, word = map(int, said.split())
    size = size * 4 // word  # a 64-bit interpreter gets twice the bytes
    promised = load_board(name_of(dut)).HEAP
    # The collector's own tables come off it.
    assert size > promised * 0.95
    if dut.is_twin:
        assert size <= promised + IN_FLASH


def test_the_partitions_are_those_of_the_table(dut):
    from esp_idf_defs import PartitionTable

    table = PartitionTable.from_csv((board_dir(name_of(dut)) / "partitions.csv").read_text())
    said = dut.exec("""
        from esp32 import Partition
        for kind in (Partition.TYPE_APP, Partition.TYPE_DATA):
            for partition in Partition.find(kind):
                print(*partition.info()[:5])
    """)
    wanted = [f"{p.type} {p.subtype} {p.offset} {p.size} {p.name}" for p in table]
    assert sorted(said.splitlines()) == sorted(wanted)


def test_it_runs_from_the_first_slot_and_the_next_update_goes_elsewhere(dut):
    said = dut.exec("""
        from esp32 import Partition
        running = Partition(Partition.RUNNING)
        print(running.info()[4], running.get_next_update().info()[4])
    """)
    running, other = said.split()
    assert {running, other} == {"ota_0", "ota_1"}


def test_the_flash_is_as_large_as_the_partitions_need(dut):
    said = dut.exec("""
        from esp32 import Partition
        parts = Partition.find(Partition.TYPE_APP) + Partition.find(Partition.TYPE_DATA)
        print(max(p.info()[2] + p.info()[3] for p in parts))
    """)
    assert int(said) <= load_board(name_of(dut)).FLASH_SIZE


def test_two_boards_can_be_told_apart(dut):
    assert len(dut.exec("import machine; print(machine.unique_id().hex())").strip()) == 12
