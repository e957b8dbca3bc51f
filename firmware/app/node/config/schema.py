"""What may stand in ``/cicada.json``: every key with its type, range, default and one line of text.

Data only, read by node.config.shape and the host's tools; docs/config.md is made from it. It is text because
a chip leaves text in flash, while tables of objects would take 12 KB of its heap. A table has a line for
each key::

    key|kinds|type|default|flags|limit|text

===========  ==========================================================================================
type         limit
===========  ==========================================================================================
``bool``     nothing
``int``      [least, most]
``num``      [least, most], with a fraction or without
``text``     [least, most] characters
``secret``   as text; shown as ``***``
``choice``   [the values]
``kind``     [the values]; says which lines of the table count
``object``   name of its table
``list``     type of an entry, or name of its table, and most entries
``point``    nothing: 130 hex digits, a public key on the curve P-256
``topic``    [least, most] characters that an MQTT topic may have as a fixed part
``match``    nothing: an object of plain values
``rule``     nothing: an object that node.fusion.check takes
===========  ==========================================================================================

Limits and defaults are JSON; no default means null. ``flags`` are letters: ``0`` null is a value; ``?`` the
key must be there; ``!`` without a right value the whole object is not used; ``~`` what is not there stays
away instead of having its default. ``kinds``: the line counts where the one of type ``kind``, which comes
first, has one of these values; nothing: always.
"""

WIFI = """\
ssid||text||?!|[1, 32]|name of the network
key||secret||!0|[8, 64]|its password; null for an open network"""

UPDATES_MQTT = """\
host||text||?!|[1, 253]|broker
port||int||?!|[1, 65535]|its port
user||text||!0|[1, 128]|name to log in with
password||secret||!0|[1, 256]|password to log in with
tls||bool|false|!||whether the connection is encrypted"""

HAWKBIT = """\
tenant||text||?!|[1, 64]|tenant on the server
controller||text||?!|[1, 64]|the device's id there
token||secret||?!|[1, 128]|security token; `GatewayToken ...` for a gateway's"""

UPDATES = """\
transport||choice|"http"|!|["http", "mqtt", "hawkbit"]|how releases are found
url||text||!|[1, 256]|folder of the releases, or the hawkBit server
ca||text||!0|[1, 128]|file with the CA's certificate, for https
every_s||int|86400||[0, 31536000]|seconds between two looks
trial_s||int|120||[0, 86400]|how long something new must run before it counts
require_uplink||bool|true|||whether it must reach the server in that time
ntp||text||0|[0, 253]|time server, empty for none; pool.ntp.org where dates are checked
mqtt||object||!~|UPDATES_MQTT|broker, for the transport `mqtt`
hawkbit||object||!~|HAWKBIT|account, for the transport `hawkbit`"""

MQTT = """\
host||text||?!|[1, 253]|broker
port||int||!0|[1, 65535]|its port; null: 8883 with TLS, 1883 without
tls||bool|true|!||whether the connection is encrypted and the broker verified
ca||text||!0|[1, 128]|file with the CA's certificate; needed for TLS
cert||text||!0|[1, 128]|file with this node's certificate
key||text||!0|[1, 128]|file with the key of that certificate
user||text||!0|[1, 128]|name to log in with
password||secret||!0|[1, 256]|password to log in with
prefix||topic|"cicada"|!|[1, 64]|first part of every topic
discovery||bool|false|||whether Home Assistant is told what there is
keep_alive_s||int|60||[10, 3600]|seconds without a word after which either side asks
stay||bool|false|||whether the connection stays open; costs the radio all the time
linger_ms||int|1500||[0, 60000]|how long a session waits for commands, ms
ntp||text|"pool.ntp.org"|0|[1, 253]|server for the time of day; null for none"""

WAKE = """\
on||kind||?!|["button", "pin", "motion", "sound"]|what wakes the node
pin|pin|int||?!|[0, 48]|number of the pin
level|pin|choice|1|!|[0, 1]|level that wakes
sensor|motion|text||?!|[1, 16]|name of an accelerometer with an interrupt pin
threshold_g|motion|num|0.5||[0.01, 16]|acceleration beyond which it wakes, g
pin|sound|int||?!|[0, 48]|pin of the ADC that the microphone is at
threshold_mv|sound|int|40||[1, 3300]|distance from the mean that wakes, mV
every_ms|sound|int|20||[1, 1000]|how often the ULP coprocessor looks, ms"""

PLAN = """\
kind||choice|"listen"|!|["listen", "sample", "event"]|listen always, now and then, or when woken
quiet_s||int|5||[0, 86400]|listen, event: quiet for so long: sleep; 0: never
sleep_s||int|10||[1, 604800]|listen: how long the sleep is
every_s||int|600||[0, 604800]|sample: period; event: wakes by the timer, too; 0: not
for_ms||int|1000||[10, 3600000]|sample: the pipelines run for at least so long, ms
wake||list|[]||WAKE 8|what else wakes it
cpu_mhz||choice||0|[80, 160, 240]|clock while it waits for sound; null: as booted"""

SENSOR = """\
name||text||?!|[1, 16]|what pipelines and readings call it
kind||kind||?!|["adxl345", "mpu6050", "lis3dh", "bme280", "ds18b20"]|which chip it is
bus|adxl345 lis3dh|choice|"i2c"|!|["i2c", "spi"]|how it is wired
bus|mpu6050 bme280|choice|"i2c"|!|["i2c"]|how it is wired
address|adxl345 mpu6050 lis3dh bme280|int||!0|[8, 119]|I2C address; null: the board's, or the usual one
cs|adxl345 lis3dh|int||!0|[0, 48]|chip select pin, for SPI
interrupt|adxl345 mpu6050 lis3dh|int||!0|[0, 48]|pin of its interrupt; null: the board's
rate_hz|adxl345 mpu6050 lis3dh|int|400|!|[1, 4000]|samples a second, or the nearest it has
range_g|adxl345 mpu6050 lis3dh|choice|4|!|[2, 4, 8, 16]|full scale, g
pin|ds18b20|int||?!|[0, 48]|pin of the 1-Wire bus
every_s|bme280 ds18b20|int|60||[1, 86400]|seconds between two readings
optional||bool|false|||whether the node does without it when it does not answer"""

GATE = """\
level_dbfs||num|-50||[-90, 0]|level that opens the gate, dB below full scale
hold_ms||int|1500||[0, 60000]|how long it stays open, ms
first||text||0|[1, 32]|small model that must agree before the pipeline's runs"""

PIPELINE = """\
name||text||?!|[1, 16]|source of its events
kind||kind||?!|["keyword", "vibration", "camera"]|what it does
model|keyword|text|"kws"|!|[1, 32]|model that tells the words
gate|keyword|object||0|GATE|cheap stages before the model; null: none
sensor|vibration|text||?!|[1, 16]|name of an accelerometer
model|vibration|text||!0|[1, 32]|model; null: distance from what was learnt
samples|vibration|choice|512|!|[256, 512, 1024]|length of a window
bands|vibration|int|16|!|[8, 32]|frequency bands of an axis
windows|vibration|int|1||[1, 32]|windows that one wake of a sample looks at
threshold|vibration|num|2.0||[0, 1000000]|score from which it is an anomaly
clear|vibration|num|1.6||[0, 1000000]|score below which it is normal again
hold|vibration|int|2||[1, 255]|decisions in a row that it takes
refractory_s|vibration camera|int|60||[0, 86400]|seconds between two events
learn|vibration|int|60||[0, 65535]|decisions that make up what is normal here
rpm|vibration|num|0||[0, 1000000]|revolutions of the shaft a minute, for models that follow it; 0: not known
axis|vibration|choice|"z"|!|["x", "y", "z"]|axis of the accelerometer that a model of one axis is fed
model|camera|text|"person"|!|[1, 32]|model that tells what is seen
every_s|camera|int|10||[1, 86400]|seconds between two pictures
threshold|camera|num|0.8||[0, 1]|score from which it counts"""

CHANGE = """\
field||text||?!|[1, 32]|field of the record that is a number
by||num||?!|[0, 1000000000]|by how much it must have changed"""

FILTER = """\
match||match|{}|!||fields that a record must have, with these values; {}: every one
priority||choice|"normal"||["high", "normal", "low", "drop"]|what becomes of it
every_s||int|0||[0, 31536000]|at most one in so many seconds; 0: all
change||object||0|CHANGE|only if a field has changed; null: always
heartbeat_s||int|0||[0, 31536000]|even unchanged after so many seconds; 0: not"""

REPORT = """\
health_s||int|86400||[0, 31536000]|seconds between two health records; 0: none
batch||int|20||[1, 10000]|records that wait until a session is held for them
every_s||int|3600||[0, 31536000]|seconds that a record waits at most
poll_s||int|0||[0, 31536000]|seconds between sessions just for commands; 0: none
filters||list|[]||FILTER 16|the first that fits decides"""

BATTERY = """\
low_mv||int||0|[1, 60000]|voltage below which it is reported as low; null: not
critical_mv||int||0|[1, 60000]|below which nothing runs but a look every hour; null: not"""

COMMANDS = """\
keys||list|[]|!|point 4|whose commands count over the network"""

DOCUMENT = """\
schema||choice|1||[1]|version of this form
name||text|""||[0, 32]|name for people; empty: the device's id
site||text|""||[0, 64]|where it is; goes into its status
wifi||object||0|WIFI|network; what provisioning stored comes first
updates||object||0~|UPDATES|where updates come from (docs/updates.md)
mqtt||object||0|MQTT|broker for events and commands
plan||object|{}||PLAN|when it works and when it sleeps
sensors||list|[]||SENSOR 8|what is attached beside the microphone
pipelines||list|[{"name": "kws", "kind": "keyword"}]||PIPELINE 6|what is made of it
rules||list|[]||rule 16|alarms from several events (docs/node.md)
report||object|{}||REPORT|what is told, and when
battery||object|{}||BATTERY|what becomes of a battery that runs down
commands||object|{}||COMMANDS|who may command it over the network"""
