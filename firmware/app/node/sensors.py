"""The sensors that the configuration names, opened when they are first asked for.

    from node.sensors import Sensors
    sensors = Sensors(config["sensors"], board)
    sensors.get("accel").start()
    sensors.read("air")     # {"reading": "air", "source": "air", "temperature_c": 21.5, ...}
    sensors.close()

What an entry leaves out is taken from the board: pins of the buses from ``board.I2C`` and ``board.SPI``,
address and interrupt from the first of ``board.I2C_DEVICES`` of its kind, else the chip's usual ones.
"""

from node.drivers import SensorError

_SLOW = ("bme280", "ds18b20")
_I2C_HZ = 400000


def _driver(kind):
    """The class for a kind; its module is loaded now, and only now."""
    if kind == "adxl345":
        from node.drivers.adxl345 import ADXL345 as driver
    elif kind == "lis3dh":
        from node.drivers.lis3dh import LIS3DH as driver
    elif kind == "mpu6050":
        from node.drivers.mpu6050 import MPU6050 as driver
    elif kind == "bme280":
        from node.drivers.bme280 import BME280 as driver
    elif kind == "ds18b20":
        from node.drivers.ds18b20 import DS18B20 as driver
    else:
        raise SensorError("there is no driver for '%s'" % kind)
    return driver


class Sensors:
    """All sensors beside microphone and camera.

    Args:
        about: the configuration's section ``sensors``, a list of dicts.
        board: the board's description.

    Attributes:
        missing: of optional sensors that did not answer: name -> a sentence that says why.
    """

    def __init__(self, about, board):
        self._about = {}
        for entry in about:
            self._about[entry["name"]] = self._complete(entry, board)
        self._board = board
        self._open = {}
        self._buses = {}
        self.missing = {}

    @staticmethod
    def _complete(entry, board):
        whole = dict(entry)
        if whole.get("bus", "i2c") == "i2c":
            for device in board.I2C_DEVICES:
                same = whole.get("address") in (None, device.get("address"))
                if device["kind"] == whole["kind"] and same:
                    for key in ("address", "interrupt"):
                        if whole.get(key) is None:
                            whole[key] = device.get(key)
                    break
        return whole

    def get(self, name):
        """The driver of a sensor; None if it does not answer (``missing`` says why).

        Raises:
            SensorError: it is not configured, or not optional and asked for the first time.
        """
        if name in self._open:
            return self._open[name]
        if name in self.missing:
            return None
        about = self._about.get(name)
        if about is None:
            raise SensorError("sensor '%s' is not in the configuration: add it to \"sensors\"" % name)
        try:
            sensor = self._make(about)
        except SensorError as error:
            sentence = "sensor '%s': %s" % (name, error)
            self.missing[name] = sentence
            if not about.get("optional"):
                raise SensorError(sentence)
            return None
        self._open[name] = sensor
        return sensor

    def interrupt(self, name):
        """Number of the pin that a sensor's interrupt is wired to, or None."""
        return self._about[name].get("interrupt")

    def find(self, name):
        """Look for a sensor that is read by the clock; True if ``name`` is one and it answers.

        Raises:
            SensorError: as ``get``.
        """
        return self._about[name]["kind"] in _SLOW and self.get(name) is not None

    def slow(self):
        """Names and periods (s) of the sensors that are read by the clock, without those that are missing.

        Raises:
            SensorError: one that is not optional does not answer.
        """
        return [
            (name, about.get("every_s", 60))
            for name, about in self._about.items()
            if about["kind"] in _SLOW and self.get(name) is not None
        ]

    def read(self, name):
        """A reading of a slow sensor, as a record; None if it is missing.

        Raises:
            OSError: it does not answer any more.
            SensorError: as ``get``.
        """
        sensor = self.get(name)
        if sensor is None:
            return None
        record = {"reading": name, "source": name}
        record.update(sensor.read())
        return record

    def close(self):
        """Put all to rest but those that wait for motion; the next ``get`` looks for them anew."""
        for sensor in self._open.values():
            if not getattr(sensor, "armed", False):
                try:
                    sensor.standby()
                except OSError:
                    pass  # it is gone, and draws nothing
        self._open = {}
        self.missing = {}

    def _make(self, about):
        driver = _driver(about["kind"])
        if about["kind"] == "ds18b20":
            return driver(about["pin"])
        port = self._port(driver, about)
        if about["kind"] == "bme280":
            return driver(port)
        return driver(port, about.get("rate_hz", 400), about.get("range_g", 4))

    def _port(self, driver, about):
        from machine import I2C, SPI, Pin

        from node.drivers import registers

        if about.get("bus", "i2c") == "i2c":
            wires = self._board.I2C
            if "i2c" not in self._buses:
                scl, sda = Pin(wires["scl"]), Pin(wires["sda"])
                self._buses["i2c"] = I2C(wires["id"], scl=scl, sda=sda, freq=_I2C_HZ)
            address = about.get("address") or driver.ADDRESS
            return registers.OnI2C(self._buses["i2c"], (wires["scl"], wires["sda"]), address, driver.MANY)
        wires = getattr(self._board, "SPI", None)
        if about["kind"] not in ("adxl345", "lis3dh"):
            raise SensorError("%s is supported on I2C only: wire it there" % driver.TITLE)
        if wires is None or about.get("cs") is None:
            raise SensorError("SPI needs board.SPI (id, sck, mosi, miso) and the sensor's cs")
        if "spi" not in self._buses:
            self._buses["spi"] = SPI(
                wires["id"],
                baudrate=registers.SPI_HZ,
                polarity=registers.SPI_POLARITY,
                phase=registers.SPI_PHASE,
                sck=Pin(wires["sck"]),
                mosi=Pin(wires["mosi"]),
                miso=Pin(wires["miso"]),
            )
        return registers.OnSPI(self._buses["spi"], about["cs"])
