"""The node's way to others: Wi-Fi, HTTP, MQTT."""


class LinkError(Exception):
    """The link, the server or what it sent is not as it should be; trying again later makes sense.

    Its text is one short sentence without secrets.
    """
