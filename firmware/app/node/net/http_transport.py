"""Releases from a web server that offers the folder of a release repository."""

from node.net import http

_MOST = 2128  # bytes of a release envelope


class HttpTransport:
    """The way to releases by http or https.

    Args:
        config: ``{"url": of the folder, "ca": file with the CA's certificate, for https}``.
    """

    def __init__(self, config):
        url = config["url"]
        self._url = url if url.endswith("/") else url + "/"
        self._ca = config.get("ca")

    def newest(self, board, product, kind, name):
        """The newest release's envelope (bytes) for ``kind`` "firmware" or "model"; None if there is none.

        Raises:
            LinkError: if the server cannot be asked, or sends what cannot be an envelope.
        """
        file = "firmware.release" if kind == "firmware" else "model-%s.release" % name
        try:
            body = self.open(board, file, 0)
        except http.StatusError as error:
            if error.status == 404:
                return None
            raise
        try:
            return http.read_all(body, _MOST)
        finally:
            body.close()

    def open(self, board, file, offset):
        """The :class:`node.net.http.Body` of one of the release's files from ``offset`` on."""
        return http.get(self._url + board + "/" + file, offset, self._ca)

    def report(self, kind, serial, result, text):
        """Nobody listens."""

    def close(self):
        """Every request has closed its connection."""
