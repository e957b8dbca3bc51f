"""TLS for a client that knows whom it talks to, and can show who it is.

from node.net import tls
stream = tls.wrap(sock, "broker.example.org", "/ca.pem", "/device.pem", "nvs:key")

Certificates and keys are named by a file, or by ``nvs:NAME`` for what provisioning has stored. PEM (RFC 7468)
and DER are read; a key may be PKCS#8, SEC 1 (elliptic curves) or PKCS#1 (RSA), not encrypted. mbedTLS does
P-256 in about a tenth of the time of RSA-2048 on these chips, so P-256 it should be.
"""

import binascii

import tls as _tls
from micropython import const

from node.net import LinkError

_MOST = const(8192)  # bytes of a file with certificates
_CERTIFICATE = b"CERTIFICATE"
_KEY = b"PRIVATE KEY"
_STORED = "nvs:"

# mbedTLS 3, include/mbedtls/ssl.h
_INVALID_RECORD = const(-0x7200)
_DECODE_ERROR = const(-0x7300)
_FATAL_ALERT = const(-0x7780)
_HANDSHAKE_FAILURE = const(-0x6E00)
_PROTOCOL_VERSION = const(-0x6E80)
_GONE = (-0x7280, 32, 104, 128)  # mbedTLS: end of file; EPIPE, ECONNRESET, lwIP's ENOTCONN


def wrap(sock, host, ca, cert=None, key=None):
    """Return the stream that encrypts what goes over ``sock``; its first ``write`` shakes hands.

    The server must show a certificate for ``host``, of an authority in ``ca``, valid now: a clock that was
    never set makes every certificate one of the future. What is returned has ``readinto``, ``write`` and
    ``close``, which closes ``sock``, too; if it does not take hands, they raise OSError or ValueError, for
    :func:`explain`.

    Args:
        sock: connected socket, not blocking.
        host: name as in the URL.
        ca: where one or more certificates are; without it nobody would be checked, so that is refused.
        cert, key: where the device's own certificate and its key are, for servers that want to see one.
            Of several certificates the first is shown.

    Raises:
        LinkError: no usable ``ca``, ``cert`` or ``key``.
    """
    if not ca:
        raise LinkError("TLS needs a CA certificate")
    # MicroPython's ssl module switches verification off; tls does not, and is told so all the same.
    context = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = _tls.CERT_REQUIRED
    try:
        for der in _read(ca, _CERTIFICATE):
            context.load_verify_locations(der)
    except (OSError, ValueError):
        raise LinkError("no CA certificate in " + ca)
    if cert or key:
        if not cert or not key:
            raise LinkError("a client certificate needs its key, and the key its certificate")
        try:
            shown = _read(cert, _CERTIFICATE)[0]
        except (OSError, ValueError):
            raise LinkError("no client certificate in " + cert)
        try:
            context.load_cert_chain(shown, _read(key, _KEY)[0])
        except OSError:
            raise LinkError("no private key in " + key)
        except ValueError as error:
            # The port's words: "invalid key", "invalid cert".
            if "cert" in str(error):
                raise LinkError("no client certificate in " + cert)
            raise LinkError("no private key in %s that can be used without a password" % key)
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


def explain(error, host, ca, cert=None, key=None):
    """One sentence for what a handshake raised, None if it was not TLS's fault.

    Args:
        error: OSError or ValueError.
        host, ca, cert, key: as for :func:`wrap`.
    """
    if isinstance(error, ValueError):
        # mbedTLS's own words, of which there may be several lines (x509.h, MBEDTLS_X509_CRT_ERROR_INFO_LIST).
        text = str(error)
        if "not correctly signed" in text:
            return "TLS: the certificate of %s is not signed by an authority in %s" % (host, ca)
        if "Common Name" in text:
            return "TLS: the server's certificate is not for the name %s" % host
        if "expired" in text:
            return "TLS: the certificate of %s has expired" % host + _today()
        if "future" in text:
            return "TLS: the certificate of %s is not valid yet" % host + _today()
        return "TLS: " + text.strip().replace("\n", ", ")
    code = error.errno
    own = "may not accept the client certificate" if cert else "may want a client certificate"
    if code == _FATAL_ALERT:
        return "TLS: %s broke off the handshake: it %s" % (host, own)
    if code in _GONE:
        # Servers close as soon as they have seen our certificate, while we go on sending.
        return "TLS: %s closed the connection in the handshake: it %s, or speaks no TLS" % (host, own)
    if code in (_INVALID_RECORD, _DECODE_ERROR):
        return "TLS handshake failed: %s does not speak TLS at this port" % host
    if code in (_HANDSHAKE_FAILURE, _PROTOCOL_VERSION):
        return "TLS handshake failed: %s speaks no version or cipher that this device knows" % host
    if code < -255:
        return "TLS handshake failed: %s" % error
    return None


def _today():
    """What our clock says of dates."""
    import time

    from node.updates.release import now

    if now() is None:
        return ": the clock of this device was never set"
    return " on the %04d-%02d-%02d of this device's clock" % time.gmtime()[:3]


def _read(place, label):
    """Each object of that label as DER, which every port's mbedTLS reads; PEM not every one does.

    Raises:
        OSError, ValueError: there is none, or too much.
    """
    if place.startswith(_STORED):
        from node.secrets import Secrets

        data = Secrets().blob(place[len(_STORED) :])
        if not data:
            raise ValueError
    else:
        with open(place, "rb") as file:
            # Reading up to so much would claim so much, which a heap in use may not have in one piece.
            if file.seek(0, 2) > _MOST:
                raise ValueError
            file.seek(0)
            data = file.read()
    if b"-----BEGIN " not in data:
        return [data]
    found = []
    for part in data.split(b"-----BEGIN ")[1:]:
        head, _, rest = part.partition(b"-----")
        # "EC PRIVATE KEY" and "RSA PRIVATE KEY" are keys, too; "EC PARAMETERS" is not.
        if head.endswith(label) and not head.startswith(b"ENCRYPTED") and b"Proc-Type" not in rest:
            found.append(binascii.a2b_base64(rest.split(b"-----END ")[0]))
    if not found:
        raise ValueError
    return found
