"""The pytest fixture ``dut``, the device under test: one suite for the twin and for real boards.

::

    def test_it_listens(dut):
        dut.expect_exact("listening")
        assert dut.exec("import machine; print(machine.reset_cause())") == "1\\n"

    pytest tests/device                                        on the twin
    pytest tests/device --board esp32 --port /dev/ttyUSB0      on a board

:class:`~cicada.tools.dut.base.Dut` says what a test may do with it, :mod:`~cicada.tools.dut.plugin` which
options, marks and fixtures there are. The model for both was pytest-embedded.
"""
