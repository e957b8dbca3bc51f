"""TLS for a client that knows whom it talks to.

from node.net import tls
line = tls.wrap(sock, "updates.example.org", "/ca.pem")
"""

import binascii

import tls as _tls
from micropython import const

from node.net import LinkError

_MOST = const(8192)  # bytes of a file with certificates
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"


def wrap(sock, host, ca):
    """Shake hands over ``sock`` and return the stream that encrypts.

    The server must show a certificate for ``host``, of an authority in the file ``ca``, valid now: a clock
    that was never set makes every certificate one of the future. What is returned has ``read``,
    ``readinto``, ``write`` and ``close``, which closes ``sock``, too.

    Args:
        sock: connected socket; its timeout holds for each wait of the handshake. It stays open if that fails.
        host: name as in the URL.
        ca: name of a PEM file with one or more certificates (RFC 7468), or of a DER file with one. Without
            it nobody would be checked, so that is refused.

    Raises:
        LinkError: no usable ``ca``, no TLS at the other end, or a certificate that does not hold.
    """
    if not ca:
        raise LinkError("TLS needs a CA certificate")
    # MicroPython's ssl module switches verification off; tls does not, and is told so all the same.
    context = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = _tls.CERT_REQUIRED
    try:
        for der in _certificates(ca):
            context.load_verify_locations(der)
    except (OSError, ValueError):
        raise LinkError("no CA certificate in " + ca)
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except ValueError as error:
        raise LinkError("TLS: " + str(error).strip())
    except OSError as error:
        raise LinkError("TLS handshake failed: %s" % error)


def _certificates(path):
    """Each certificate of a file as DER, which every port's mbedTLS reads; PEM not every one does."""
    with open(path, "rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError
    if _BEGIN not in data:
        return [data]
    return [binascii.a2b_base64(part.split(_END)[0]) for part in data.split(_BEGIN)[1:]]
