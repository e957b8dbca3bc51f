"""Camera, as the board describes it: frames for a model, cropped and scaled by the module ``cam``."""

from node.drivers import SensorError


class Camera:
    """The board's camera, switched on.

    Args:
        board: module with ``CAMERA``, its pins, where there is one.

    Raises:
        SensorError: the board has none, or it does not answer.
    """

    def __init__(self, board):
        pins = getattr(board, "CAMERA", None)
        if pins is None:
            raise SensorError("no camera: board.CAMERA does not say where it is wired")
        try:
            import cam
        except ImportError:
            raise SensorError("no camera: this firmware was built without the module cam")
        try:
            self._camera = cam.Camera(pins)
        except OSError as error:
            raise SensorError("no camera: %s; check its ribbon cable and board.CAMERA" % (error,))

    def capture_into(self, buffer, width, height, signed=True):
        """Wait for a frame and put it into ``buffer``: ``width`` x ``height`` gray bytes, int8 if ``signed``.

        Raises:
            OSError: no frame came (see the module ``cam``).
        """
        self._camera.capture_into(buffer, width, height, signed=signed)

    def deinit(self):
        """Switch it off."""
        self._camera.deinit()
