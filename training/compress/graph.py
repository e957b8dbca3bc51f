"""A Keras functional model as a list of steps that can be looked at, changed and built again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cicada.tools.errors import UserError

if TYPE_CHECKING:
    import keras

#: Operations that only move values or leave some out, by class: the device keeps their scale.
MOVES = frozenset(
    {
        *("Flatten", "Reshape", "Permute", "ExpandDims", "Squeeze", "Transpose", "GetItem", "Identity"),
        *("Cropping1D", "Cropping2D", "ZeroPadding1D", "ZeroPadding2D", "Concatenate"),
        *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"),
        "Part",  # of mixednet
    }
)


@dataclass(eq=False)
class Step:
    """One use of one layer or operation.

    Attributes:
        layer: of the model that was read.
        args, kwargs: of its call, with symbolic tensors.
        inputs, outputs: the tensors among them, and what it makes.
    """

    layer: Any
    args: Any
    kwargs: Any
    inputs: list[Any]
    outputs: list[Any]

    @property
    def kind(self) -> str:
        """Name of the layer's class."""
        return type(self.layer).__name__


class Graph:
    """The steps of a model in an order in which they can be computed, and who uses what.

    Attributes:
        steps: every layer but the inputs, as often as it is called.
        inputs, outputs: symbolic tensors of the model.
    """

    def __init__(self, model: keras.Model) -> None:
        """Read a functional model; it stays as it is.

        Raises:
            UserError: it is another kind of model, or has one inside.
        """
        import keras

        steps: list[Step] = []

        class Stand(keras.Operation):
            """Has a layer's outputs and none of its weights."""

            def __init__(self, layer: Any) -> None:
                super().__init__()
                self.layer = layer

            def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
                return self.layer.compute_output_spec(*args, **kwargs)

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(layer, keras.Model):
                raise UserError(
                    f"the model has another model inside ('{layer.name}'), which cannot be compressed: build"
                    " the architecture from layers alone"
                )
            outputs = Stand(layer)(*args, **kwargs)
            tensors = [t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor)]
            steps.append(Step(layer, args, kwargs, tensors, keras.tree.flatten(outputs)))
            return outputs

        # A clone has every tensor once, whatever else the layers of the model are used in.
        clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
        self.steps = steps
        self.inputs, self.outputs = list(clone.inputs), list(clone.outputs)
        self._uses: dict[int, list[Step]] = defaultdict(list)
        for step in steps:
            for tensor in step.inputs:
                self._uses[id(tensor)].append(step)

    def users(self, tensor: Any) -> list[Step]:
        """Steps that take the tensor."""
        return self._uses[id(tensor)]

    def only_user(self, step: Step) -> Step | None:
        """The step that alone takes what this one makes; None if others do, or it is the model's output."""
        if len(step.outputs) != 1 or any(step.outputs[0] is output for output in self.outputs):
            return None
        users = self.users(step.outputs[0])
        return users[0] if len(users) == 1 else None

    def check(self, known: Collection[str], what: str, instead: str) -> None:
        """See that every layer with weights is of a kind in ``known``, and is used once.

        Args:
            known: names of classes.
            what: is being done, for the message.
            instead: what to do if it cannot be.

        Raises:
            UserError: a layer is not so.
        """
        used: set[int] = set()
        for step in self.steps:
            if not getattr(step.layer, "weights", None):
                continue
            wrong = None
            if step.kind not in known:
                wrong = f"layers of kind {step.kind} have weights that it does not know"
            elif id(step.layer) in used:
                wrong = "it is used twice"
            if wrong:
                raise UserError(f"{what} cannot take layer '{step.layer.name}': {wrong}; {instead}")
            used.add(id(step.layer))

    def rebuild(
        self,
        make: Callable[[Step, Any, Any], Any],
        enter: Callable[[Any, Any], Any] = lambda _, tensor: tensor,
    ) -> keras.Model:
        """A new model with the same wiring.

        Args:
            make: ``make(step, args, kwargs)`` gives what takes the place of the step's outputs; ``args`` and
                ``kwargs`` are its own with the new model's tensors.
            enter: ``enter(input, tensor)`` gives what becomes of an input, whose tensor is the new model's,
                before the first step.
        """
        import keras

        fresh = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in self.inputs]
        values = {id(old): enter(old, new) for old, new in zip(self.inputs, fresh, strict=True)}
        for step in self.steps:
            args, kwargs = keras.tree.map_structure(lambda t: values.get(id(t), t), (step.args, step.kwargs))
            made = keras.tree.flatten(make(step, args, kwargs))
            values.update((id(old), new) for old, new in zip(step.outputs, made, strict=True))
        outputs = [values[id(tensor)] for tensor in self.outputs]
        return keras.Model(
            fresh[0] if len(fresh) == 1 else fresh, outputs[0] if len(outputs) == 1 else outputs
        )


def again(step: Step, args: Any, kwargs: Any) -> Any:
    """What the step's layer makes of other tensors: by a copy of it with its weights."""
    import keras

    if not isinstance(step.layer, keras.Layer):
        return step.layer(*args, **kwargs)
    twin = step.layer.__class__.from_config(step.layer.get_config())
    outputs = twin(*args, **kwargs)
    twin.set_weights(step.layer.get_weights())
    return outputs
