"""Search for models that are accurate and cheap: Optuna over width, depth and the front end's step.

What a model costs does not depend on what it learns, so sizes that break the budget are refused before they
are trained. Everything tried is in a journal, and a search that is interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.stages import write_atomic
from cicada.training import artefacts, figures, footprint, progress
from cicada.training.recipe import Budget, Recipe, as_json, digest
from cicada.training.result import encoded
from cicada.training.sizes import resized, steps

if TYPE_CHECKING:
    import optuna

#: Factors of the recipe's own width, and blocks more or fewer than its own.
WIDTHS, DEPTHS = (0.35, 2.0), (-2, 2)
#: So many sizes in a row that cannot be trained or have been already, and the search is over.
PATIENCE = 25
_FORMAT = 1  # of what the journal says
_SETTLED = ("COMPLETE", "PRUNED")  # states of trials that need not be done again


def search(
    recipe: Recipe,
    trials: int,
    limits: Budget,
    evaluate: Callable[[Recipe], Mapping[str, float]],
    folder: Path,
) -> dict[str, Any]:
    """Train models of several sizes; the recipe's own is the first.

    Optuna's tree-structured Parzen estimator (arXiv:2304.11127) proposes sizes, for three objectives: more
    accuracy, fewer multiply-accumulates (a second, where that is known) and fewer bytes.

    Args:
        recipe: what to vary; its seed is that of the search as well.
        trials: models to train, those of an interrupted search included.
        limits: what no model may need more of.
        evaluate: trains a recipe; returns ``accuracy`` (0 to 1, of validation, because the search chooses by
            it) and whatever else is to be kept.
        folder: for ``journal.log``, ``search.json`` and ``pareto.png``.

    Returns:
        the content of ``search.json``: ``recipe``, ``hash``, ``limits``, ``cost`` (which figure of the model
        is the second objective), ``trials`` (``number``, ``state``: "trained", "refused" or "failed",
        ``width``, ``depth``, ``step_ms``, and if known ``model``, ``frontend``, ``figures``, ``result``,
        ``why``) and ``pareto`` (numbers of those that no other beats in everything).

    Raises:
        UserError: no size keeps the limits, or the architecture has no sizes.
    """
    try:
        resized(recipe, 1, 0)
    except ValueError as error:
        raise UserError(f"recipe '{recipe.name}': {error}") from error
    study = _open(recipe, limits, folder)
    known = {trial.user_attrs.get("candidate") for trial in study.trials if trial.state.name in _SETTLED}
    idle = 0
    with progress.bar("Search", trials) as advance:
        advance(min(trials, len(_trained(study))))
        while len(_trained(study)) < trials and idle < PATIENCE:
            trial = study.ask()
            candidate, why = _proposed(recipe, trial, limits, known)
            if why is None:
                why = _train(study, trial, candidate, evaluate)
            else:
                _settle(study, trial, "PRUNED", why)
            if why is not None:
                idle += 1
                advance(0, why.partition(":")[0])
                continue
            idle = 0
            advance(1, f"accuracy {_trained(study)[-1].values[0]:.1%}")
            _write(recipe, limits, study, folder)
    if not _trained(study):
        built = [trial.user_attrs["figures"] for trial in study.trials if "figures" in trial.user_attrs]
        least = min((found["bytes"] for found in built), default=None)
        raise UserError(
            f"recipe '{recipe.name}': none of {len(study.trials)} sizes could be trained within the limits"
            + (f" (the smallest has {least:,} bytes)" if least else "")
            + ": raise them, or begin with a smaller model"
        )
    return _write(recipe, limits, study, folder)


def _open(recipe: Recipe, limits: Budget, folder: Path) -> optuna.Study:
    """The study of a recipe under limits: that of an earlier run, if there is one in the folder."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    except OSError as error:
        raise from_os_error(error, f"opening the journal in {folder}") from error
    content = [_FORMAT, digest(recipe), msgspec.to_builtins(limits), WIDTHS, DEPTHS]
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
    done = [study.study_name for study in optuna.get_all_study_summaries(storage)]
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize", "minimize", "minimize"],
        load_if_exists=True,
    )
    # Else a search that goes on would draw the same numbers once more.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(study.trials), n_startup_trials=8)
    if name not in done:
        study.enqueue_trial({"width": 1.0, "depth": 0} | _own_step(recipe))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _own_step(recipe: Recipe) -> dict[str, int]:
    return {"step_ms": recipe.frontend.step_ms} if steps(recipe) else {}


def _proposed(
    recipe: Recipe, trial: optuna.Trial, limits: Budget, known: set[str | None]
) -> tuple[Recipe, str | None]:
    """The recipe of a size that Optuna proposes, and why it is not to be trained, if so."""
    width = trial.suggest_float("width", *WIDTHS, log=True)
    depth = trial.suggest_int("depth", *DEPTHS)
    possible = steps(recipe)
    step_ms = trial.suggest_categorical("step_ms", possible) if possible else None
    try:
        candidate = resized(recipe, width, depth, step_ms)
    except ValueError as error:
        return recipe, f"no such size: {error}"
    key = digest(candidate)
    if key in known:
        return candidate, "a size known already"
    known.add(key)
    trial.set_user_attr("candidate", key)
    content = as_json(candidate)
    trial.set_user_attr("model", content["model"])
    trial.set_user_attr("frontend", content.get("frontend"))
    try:
        found = footprint.figures(candidate)
        trial.set_user_attr("figures", found)
        artefacts.check_budget(limits, found, "too large")
    except UserError as error:
        return candidate, str(error)
    return candidate, None


def _train(
    study: optuna.Study,
    trial: optuna.Trial,
    candidate: Recipe,
    evaluate: Callable[[Recipe], Mapping[str, float]],
) -> str | None:
    """Train one size and note what came of it; returns why nothing did."""
    try:
        result = dict(evaluate(candidate))
    except UserError as error:
        _settle(study, trial, "FAIL", str(error))
        return str(error)
    trial.set_user_attr("result", result)
    found = trial.user_attrs["figures"]
    study.tell(trial, [result["accuracy"], found[_cost_name(found)], found["bytes"]])
    return None


def _settle(study: optuna.Study, trial: optuna.Trial, state: str, why: str) -> None:
    from optuna.trial import TrialState

    trial.set_user_attr("why", why)
    study.tell(trial, state=TrialState[state])


def _cost_name(found: Mapping[str, Any]) -> str:
    return "macs_per_s" if "macs_per_s" in found else "macs"


def _trained(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _write(recipe: Recipe, limits: Budget, study: optuna.Study, folder: Path) -> dict[str, Any]:
    """Write ``search.json`` and ``pareto.png`` of what is known so far."""
    names = {"COMPLETE": "trained", "PRUNED": "refused", "FAIL": "failed"}
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name in names:
            kept = ("model", "frontend", "figures", "result", "why")
            known = {name: trial.user_attrs[name] for name in kept if trial.user_attrs.get(name) is not None}
            rows.append({"number": trial.number, "state": names[trial.state.name], **trial.params, **known})
    trained = _trained(study)
    cost = _cost_name(trained[0].user_attrs["figures"])
    best = sorted(trial.number for trial in study.best_trials)
    content = {
        "recipe": recipe.name,
        "hash": digest(recipe),
        "limits": msgspec.to_builtins(limits),
        "cost": cost,
        "trials": rows,
        "pareto": best,
    }
    write_atomic(folder / "search.json", encoded(content))
    points = [(trial.number, trial.values[0], trial.values[1], trial.values[2]) for trial in trained]
    figures.pareto(folder / "pareto.png", points, best, cost, recipe.name)
    return content
