"""What a benchmark compares, and what is the same for everything that it compares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import Cohort
from CRONOSLib.errors import MethodError
from CRONOSLib.methods.registry import method_entry, method_names, presets
from CRONOSLib.training.order import usual_settings
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.training.time_scale import time_scale_of

ALL = "all"
"""In the list of methods: each one of the registry, with its default preset."""

_OF_A_CONTENDER = ("preset", "method_settings", "seed", "start_from")
"""Training settings that the list of methods and the list of seeds decide."""


@dataclass(frozen=True)
class Contender:
    """A method as it takes part.

    name:     in tables; a method may take part several times
    settings: fields of the method's settings that differ from the preset
    """

    name: str
    method: str
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def trained(self) -> bool:
        """Whether it learns from the cohort; the others need one run, whatever the number of seeds."""
        return method_entry(self.method).learns(self.preset)


@dataclass(frozen=True)
class BenchmarkCohort:
    """Patients to compare on.

    folder:   of the cohort
    settings: of training, that differ from those of the benchmark
    """

    name: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """Methods × cohorts × seeds.

    settings:       of training, by name; the same for every method, on top of those usual for a cohort
    train_seconds:  processor seconds (on a GPU seconds) that every training takes, in place of `steps`; 0: `steps`
    learning_rates: each is trained, and the one with the best validation skill measured; (): that of the settings
    parameters:     least and most parameters of a network; one outside takes part, and the table says so
    forecasts:      of each held-out patient: its last scan, from ever more of the earlier ones
    pairs:          of contenders by name, the difference of whose skills the page shows
    """

    cohorts: tuple[BenchmarkCohort, ...]
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    settings: Mapping[str, Any] = field(default_factory=dict)
    train_seconds: float = 0.0
    learning_rates: tuple[float, ...] = ()
    parameters: tuple[int, int] = (0, 10**12)
    forecasts: int = 3
    pairs: tuple[tuple[str, str], ...] = ()

    def narrowed(self, methods: Sequence[str], cohorts: Sequence[str], seeds: Sequence[int]) -> Benchmark:
        """Only these methods, cohorts and seeds; all where nothing is given. Raises MethodError for an unknown name."""
        return replace(
            self,
            contenders=_chosen("method", self.contenders, methods),
            cohorts=_chosen("cohort", self.cohorts, cohorts),
            seeds=tuple(seeds) or self.seeds,
        )

    def with_settings(self, **settings: Any) -> Benchmark:
        """Other training settings for all."""
        return replace(self, settings=merged(self.settings, settings))

    def shared_settings(self, place: BenchmarkCohort, cohort: Cohort) -> TrainSettings:
        """How every method is trained and measured on a cohort. Raises MethodError for a setting that is unknown."""
        values = merged(merged(usual_settings(cohort), self.settings), place.settings)
        decided = sorted(set(values) & set(_OF_A_CONTENDER))
        if decided:
            raise MethodError(
                f"'{decided[0]}' is no setting that all methods share. Give it under 'methods' or 'seeds'."
            )
        settings = TrainSettings.from_json({**values, "every_draw": False})
        return settings if settings.time_scale else replace(settings, time_scale=time_scale_of(cohort))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `read_benchmark` reads them back."""
        return {
            "cohorts": {one.name: {"folder": str(one.folder), "settings": dict(one.settings)} for one in self.cohorts},
            "methods": [
                one.method if one == Contender(one.method, one.method) else asdict(one) for one in self.contenders
            ],
            **{one.name: getattr(self, one.name) for one in fields(self)[2:]},
        }


def read_benchmark(file: Path) -> Benchmark:
    """The benchmark that a JSON file describes. Folders of cohorts are relative to the current directory.

    ```
    {"cohorts": {NAME: {"folder": PATH, "settings": {…}}}, "methods": [ALL, NAME, {"name": …, "method": …,
    "preset": …, "settings": {…}}], "method_settings": {METHOD: {…}}, …}
    ```

    and the other fields of `Benchmark`. `method_settings` count for every contender of that method whose own settings
    do not say otherwise. Raises MethodError when the file cannot be read or names what does not exist.
    """
    try:
        values = json.loads(Path(file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"The configuration '{file}' cannot be read as JSON ({error}). Correct the file.") from error
    try:
        return _from_json(values)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise MethodError(
            f"The configuration '{file}' is not understood ({error}). Compare it with docs/benchmark.json."
        ) from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` in their place; dictionaries inside are merged, too."""
    both = dict(base)
    for name, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = merged(both[name], value) if nested else value
    return both


def _from_json(values: Mapping[str, Any]) -> Benchmark:
    known = {"methods", "method_settings", *(one.name for one in fields(Benchmark))} - {"contenders"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise MethodError(f"A benchmark has no '{unknown[0]}'. It takes {', '.join(sorted(known))}.")
    if not values.get("cohorts"):
        raise MethodError("A benchmark needs a cohort. Name one under 'cohorts', with its folder.")
    cohorts = tuple(
        BenchmarkCohort(name, Path(place["folder"]), place.get("settings", {}))
        for name, place in values["cohorts"].items()
    )
    contenders = tuple(_contenders(values.get("methods", [ALL]), values.get("method_settings", {})))
    names = [one.name for one in contenders]
    for name in (*values["cohorts"], *names):
        if not re.fullmatch(r"[\w.-]+", name):
            raise MethodError(f"'{name}' cannot be the name of a folder. Use letters, digits, '-', '_' and '.'.")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise MethodError(f"Two methods are called '{repeated[0]}'. Give one of them another name.")
    pairs = tuple((first, second) for first, second in values.get("pairs", ()))
    unknown = sorted({name for pair in pairs for name in pair} - set(names))
    if unknown:
        raise MethodError(
            f"'{unknown[0]}' stands under 'pairs', but is none of the methods. Add it, or correct the name."
        )
    others: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name not in ("cohorts", "methods", "method_settings", "pairs")
    }
    return replace(Benchmark(cohorts, contenders, pairs=pairs), **others)


def _contenders(listed: Iterable[Any], method_settings: Mapping[str, Any]) -> Iterable[Contender]:
    for name in method_settings:
        method_entry(name)
    for one in listed:
        if one == ALL:
            yield from _contenders(method_names(), method_settings)
            continue
        values: Mapping[str, Any] = {"method": one} if isinstance(one, str) else one
        method = values.get("method") or values["name"]
        preset = values.get("preset", "default")
        if preset not in presets(method):
            raise MethodError(
                f"Method '{method}' has no preset '{preset}'. Choose one of {', '.join(presets(method))}."
            )
        settings = merged(method_settings.get(method, {}), values.get("settings", {}))
        yield Contender(values.get("name", method), method, preset, settings)


def _chosen(kind: str, known: tuple[Any, ...], names: Sequence[str]) -> tuple[Any, ...]:
    unknown = [name for name in names if name not in {one.name for one in known}]
    if unknown:
        listed = ", ".join(one.name for one in known)
        raise MethodError(f"The benchmark has no {kind} '{unknown[0]}'. Choose one of {listed}.")
    return tuple(one for one in known if not names or one.name in names)
