"""Pipelines: from a sensor to events, one object each; :mod:`node.pipelines.runner` runs them all.

    from node.pipelines import make
    from node.pipelines.runner import Runner
    pipelines = [make(about, open_model, sensors, board) for about in config["pipelines"]]
    runner = Runner(pipelines, sensors, on_event, on_idle, watchdog.feed)
    runner.run(lambda elapsed_ms, quiet_ms: quiet_ms > 5000)

What every pipeline offers the runner:

==============  ==========================================================================================
``name``        from the configuration; the ``source`` of its events
``due``         there is something to decide, by ``deadline`` (``ticks_ms``)
``run(heard)``  decide, for what was there at ``heard`` (``ticks_ms``); True if an event came of it
``emit``        set by the runner: takes an event, a dict
``quiet``       nothing is going on
``heard``       its sensor has delivered something other than a constant
``ran``         its model, or what it has instead, has run
``done``        it has done what one wake of a "sample" plan is for
``longest_ms``  that its model has taken so far
``inferences``  so far, of all its models
``state()``     bytes that outlast deep sleep; ``restore`` takes them
==============  ==========================================================================================
"""

KINDS = ("keyword", "vibration", "camera")


def make(about, open_model, sensors, board):
    """The pipeline that a section of the configuration describes; None if its sensor is optional and missing.

    Args:
        about: the section, complete: ``name``, ``kind`` and what its kind has.
        open_model: takes a model's name and returns ``(manifest, nn.Model)``.
        sensors: of :mod:`node.sensors`.
        board: the module that describes the board.

    Raises:
        ValueError: the model is for something else than the pipeline; the text says which.
        SensorError: a sensor that is not optional does not answer.
    """
    kind = about["kind"]
    if kind == "keyword":
        from node.pipelines.keyword import Keyword

        return Keyword(about, open_model, board)
    if kind == "vibration":
        sensor = sensors.get(about["sensor"])
        if sensor is None:
            return None
        from node.pipelines.vibration import Vibration

        return Vibration(about, open_model, sensor)
    if kind == "camera":
        from node.drivers.camera import Camera as Driver
        from node.pipelines.camera import Camera

        return Camera(about, open_model, Driver(board))
    raise ValueError("pipeline '%s': there is no kind '%s'" % (about["name"], kind))


def fitting(about, manifest, kinds):
    """Check that a model is of one of ``kinds``; ValueError if it is not."""
    if manifest["type"] not in kinds:
        raise ValueError(
            "pipeline '%s': model '%s' is of type '%s', not '%s'"
            % (about["name"], manifest.get("name", "?"), manifest["type"], kinds[0])
        )
