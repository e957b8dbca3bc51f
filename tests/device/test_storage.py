"""What a reset, a sleep and a loss of power leave behind."""

import pytest

TIMER_SLEEP_S = 2


@pytest.fixture
def file(dut):
    """A file that no other test uses; gone afterwards."""
    yield "/dut_test.txt"
    dut.exec("""
        import os
        for name in os.listdir("/"):
            if name.startswith("dut_test"):
                os.remove("/" + name)
    """)


def sleep_for(dut, seconds):
    """Deep sleep from the REPL until the node boots again."""
    dut.write(f"import machine; machine.deepsleep({seconds * 1000})\r")
    assert dut.expect(r"cause: (.+)\n")[1] == "deep sleep"


def test_rtc_memory_survives_deep_sleep(dut):
    boots = int(dut.expect(r"boot (\d+), cause: ")[1])
    dut.expect_exact("listening")  # by then the node has written its count
    dut.exec("")
    dut.write("import machine; machine.deepsleep(1000)\r")
    assert int(dut.expect(r"boot (\d+), cause: deep sleep")[1]) == boots + 1


def test_rtc_memory_does_not_survive_a_loss_of_power(dut):
    dut.exec("import machine; machine.RTC().memory(b'dut test')")
    dut.power_off()
    dut.power_on()
    assert dut.expect(r"cause: (.+)\n")[1] == "power on"
    assert dut.exec("import machine; print(b'dut test' in machine.RTC().memory())") == "False\n"


def test_the_timer_wakes_it_in_time(dut):
    dut.exec("")
    began = dut.now
    sleep_for(dut, TIMER_SLEEP_S)
    # A boot takes half a second; boards with more flash or PSRAM to look at take longer.
    assert TIMER_SLEEP_S < dut.now - began < TIMER_SLEEP_S + 3
    assert dut.exec("import machine; print(machine.wake_reason() == machine.TIMER_WAKE)") == "True\n"


def test_nvs_survives_a_reset(dut):
    write = """
        import esp32
        nvs = esp32.NVS("dut_test")
        nvs.set_i32("number", -1234567)
        nvs.set_blob("bytes", bytes(range(200)))
        nvs.commit()
    """
    read = """
        import esp32
        nvs = esp32.NVS("dut_test")
        room = bytearray(300)
        print(nvs.get_i32("number"), bytes(room[:nvs.get_blob("bytes", room)]) == bytes(range(200)))
        nvs.erase_key("number")
        nvs.erase_key("bytes")
        nvs.commit()
    """
    dut.exec(write)
    dut.write("import machine; machine.reset()\r")
    assert dut.expect(r"cause: (.+)\n")[1] == "hard reset"
    assert dut.exec(read) == "-1234567 True\n"


def test_an_erased_nvs_key_is_gone_after_a_reset(dut):
    dut.exec("""
        import esp32
        nvs = esp32.NVS("dut_test")
        nvs.set_i32("number", 1)
        nvs.commit()
        nvs.erase_key("number")
        nvs.commit()
    """)
    dut.write("import machine; machine.reset()\r")
    dut.expect_exact("listening")
    said = dut.exec("""
        import esp32
        try:
            print(esp32.NVS("dut_test").get_i32("number"))
        except OSError as error:
            print(error.args[0])
    """)
    assert said == f"{-0x1102}\n"  # ESP_ERR_NVS_NOT_FOUND


def test_a_file_survives_a_reset(dut, file):
    dut.exec(f"with open({file!r}, 'w') as f: f.write('dut ' * 1000)")
    dut.reset()
    dut.expect_exact("listening")
    assert dut.exec(f"print(open({file!r}).read() == 'dut ' * 1000)") == "True\n"


def test_a_closed_file_survives_a_power_cut_and_an_open_one_harms_nothing(dut, file):
    dut.exec(f"""
        with open({file!r}, "w") as f:
            f.write("whole")
        unfinished = open({file + ".new"!r}, "w")
        unfinished.write("half" * 5000)
    """)
    dut.power_off()
    dut.power_on()
    dut.expect_exact("listening")
    assert dut.exec(f"print(open({file!r}).read())") == "whole\n"
    assert dut.exec(f"open({file + '.new'!r}, 'w').write('again')") == ""
