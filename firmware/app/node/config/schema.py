"""What may stand in ``/cicada.json``: every key with its type, range, default and one line of text.

Data only, read by node.config.shape and the host's tools; docs/config.md is made from it. It is text because
a chip leaves text in flash, while tables of objects would take 12 KB of its heap. A table has a line for
each key::

    key|type|limit|flags|default|text|kinds

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
ssid|text|[1, 32]|?!||name of the network|
key|secret|[8, 64]|!0||its password; null for an open network|"""

UPDATES_MQTT = """\
host|text|[1, 253]|?!||broker|
port|int|[1, 65535]|?!||its port|
user|text|[1, 128]|!0||name to log in with|
password|secret|[1, 256]|!0||password to log in with|
tls|bool||!|false|whether the connection is encrypted|"""

HAWKBIT = """\
tenant|text|[1, 64]|?!||tenant on the server|
controller|text|[1, 64]|?!||the device's id there|
token|secret|[1, 128]|?!||security token; `GatewayToken ...` for a gateway's|"""

UPDATES = """\
transport|choice|["http", "mqtt", "hawkbit"]|!|"http"|how releases are found|
url|text|[1, 256]|!||folder of the releases, or the hawkBit server|
ca|text|[1, 128]|!0||file with the CA's certificate, for https|
every_s|int|[0, 31536000]||86400|seconds between two looks|
trial_s|int|[0, 86400]||120|how long something new must run before it counts|
require_uplink|bool|||true|whether it must reach the server in that time|
ntp|text|[1, 253]|0||server for the time of day; pool.ntp.org where dates are checked|
mqtt|object|UPDATES_MQTT|!~||broker, for the transport `mqtt`|
hawkbit|object|HAWKBIT|!~||account, for the transport `hawkbit`|"""

MQTT = """\
host|text|[1, 253]|?!||broker|
port|int|[1, 65535]|!0||its port; null: 8883 with TLS, 1883 without|
tls|bool||!|true|whether the connection is encrypted and the broker verified|
ca|text|[1, 128]|!0||file with the CA's certificate; needed for TLS|
cert|text|[1, 128]|!0||file with this node's certificate|
key|text|[1, 128]|!0||file with the key of that certificate|
user|text|[1, 128]|!0||name to log in with|
password|secret|[1, 256]|!0||password to log in with|
prefix|topic|[1, 64]|!|"cicada"|first part of every topic|
discovery|bool|||false|whether Home Assistant is told what there is|
keep_alive_s|int|[10, 3600]||60|seconds without a word after which either side asks|
stay|bool|||false|whether the connection stays open; costs the radio all the time|
linger_ms|int|[0, 60000]||1500|how long a session waits for commands, ms|
ntp|text|[1, 253]|0|"pool.ntp.org"|server for the time of day; null for none|"""

WAKE = """\
on|kind|["button", "pin", "motion", "sound"]|?!||what wakes the node|
pin|int|[0, 48]|?!||number of the pin|pin
level|choice|[0, 1]|!|1|level that wakes|pin
sensor|text|[1, 16]|?!||name of an accelerometer with an interrupt pin|motion
threshold_g|num|[0.01, 16]||0.5|acceleration beyond which it wakes, g|motion
pin|int|[0, 48]|?!||pin of the ADC that the microphone is at|sound
threshold_mv|int|[1, 3300]||40|distance from the mean that wakes, mV|sound
every_ms|int|[1, 1000]||20|how often the ULP coprocessor looks, ms|sound"""

PLAN = """\
kind|choice|["listen", "sample", "event"]|!|"listen"|listen always, now and then, or when woken|
quiet_s|int|[0, 86400]||5|listen, event: quiet for so long: sleep; 0: never|
sleep_s|int|[1, 604800]||10|listen: how long the sleep is|
every_s|int|[0, 604800]||600|sample: period; event: wakes by the timer, too; 0: not|
for_ms|int|[10, 3600000]||1000|sample: the pipelines run for at least so long, ms|
wake|list|WAKE 8||[]|what else wakes it|
cpu_mhz|choice|[80, 160, 240]|0||clock while it waits for sound; null: as booted|"""

SENSOR = """\
name|text|[1, 16]|?!||what pipelines and readings call it|
kind|kind|["adxl345", "mpu6050", "lis3dh", "bme280", "ds18b20"]|?!||which chip it is|
bus|choice|["i2c", "spi"]|!|"i2c"|how it is wired|adxl345 mpu6050 lis3dh bme280
address|int|[8, 119]|!0||address on the I2C bus; null: the chip's usual one|adxl345 mpu6050 lis3dh bme280
cs|int|[0, 48]|!0||chip select pin, for SPI|adxl345 mpu6050 lis3dh bme280
interrupt|int|[0, 48]|!0||pin of its interrupt|adxl345 mpu6050 lis3dh
rate_hz|int|[1, 4000]|!|400|samples a second, or the nearest it has|adxl345 mpu6050 lis3dh
range_g|choice|[2, 4, 8, 16]|!|4|full scale, g|adxl345 mpu6050 lis3dh
pin|int|[0, 48]|?!||pin of the 1-Wire bus|ds18b20
every_s|int|[1, 86400]||60|seconds between two readings|bme280 ds18b20
optional|bool|||false|whether the node does without it when it does not answer|"""

GATE = """\
level_dbfs|num|[-90, 0]||-50|level that opens the gate, dB below full scale|
hold_ms|int|[0, 60000]||1500|how long it stays open, ms|
first|text|[1, 32]|0||small model that must agree before the pipeline's runs|"""

PIPELINE = """\
name|text|[1, 16]|?!||source of its events|
kind|kind|["keyword", "vibration", "camera"]|?!||what it does|
model|text|[1, 32]|!|"kws"|model that tells the words|keyword
gate|object|GATE|0||cheap stages before the model; null: none|keyword
sensor|text|[1, 16]|?!||name of an accelerometer|vibration
model|text|[1, 32]|!0||model; null: distance from what was learnt|vibration
samples|choice|[64, 128, 256, 512, 1024]|!|512|length of a window|vibration
bands|int|[1, 64]|!|16|frequency bands of an axis|vibration
windows|int|[1, 32]||1|windows that one decision is the mean of|vibration
threshold|num|[0, 1000000]||3.0|score from which it is an anomaly|vibration
clear|num|[0, 1000000]||2.0|score below which it is normal again|vibration
hold|int|[1, 255]||2|decisions in a row that it takes|vibration
refractory_s|int|[0, 86400]||60|seconds between two events|vibration camera
learn|int|[0, 65535]||20|decisions that make up what is normal here|vibration
model|text|[1, 32]|!|"person"|model that tells what is seen|camera
every_s|int|[1, 86400]||10|seconds between two pictures|camera
threshold|num|[0, 1]||0.8|score from which it counts|camera"""

CHANGE = """\
field|text|[1, 32]|?!||field of the record that is a number|
by|num|[0, 1000000000]|?!||by how much it must have changed|"""

FILTER = """\
match|match||!|{}|fields that a record must have, with these values; {}: every one|
priority|choice|["high", "normal", "low", "drop"]||"normal"|what becomes of it|
every_s|int|[0, 31536000]||0|at most one in so many seconds; 0: all|
change|object|CHANGE|0||only if a field has changed; null: always|
heartbeat_s|int|[0, 31536000]||0|even unchanged after so many seconds; 0: not|"""

REPORT = """\
health_s|int|[0, 31536000]||86400|seconds between two health records; 0: none|
batch|int|[1, 10000]||20|records that wait until a session is held for them|
every_s|int|[0, 31536000]||3600|seconds that a record waits at most|
poll_s|int|[0, 31536000]||0|seconds between sessions just for commands; 0: none|
filters|list|FILTER 16||[]|the first that fits decides|"""

COMMANDS = """\
keys|list|point 4|!|[]|whose commands count over the network|"""

DOCUMENT = """\
schema|choice|[1]||1|version of this form|
name|text|[0, 32]||""|name for people; empty: the device's id|
site|text|[0, 64]||""|where it is; goes into its status|
wifi|object|WIFI|0||network; what provisioning stored comes first|
updates|object|UPDATES|0~||where updates come from (docs/updates.md)|
mqtt|object|MQTT|0||broker for events and commands|
plan|object|PLAN||{}|when it works and when it sleeps|
sensors|list|SENSOR 8||[]|what is attached beside the microphone|
pipelines|list|PIPELINE 6||[{"name": "kws", "kind": "keyword"}]|what is made of it|
rules|list|rule 16||[]|alarms from several events (docs/node.md)|
report|object|REPORT||{}|what is told, and when|
commands|object|COMMANDS||{}|who may command it over the network|"""
