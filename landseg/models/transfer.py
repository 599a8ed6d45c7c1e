"""The transfer of weights from a trained model to a network for other classes or bands, for fine-tuning.

The tensors that depend on classes and on bands are found by building the network for one more of each: they grow. So
this works for every architecture and upsampler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn

from landseg.classes import ClassMap
from landseg.errors import ModelError
from landseg.models.card import Card
from landseg.models.file import Model
from landseg.models.heads import CLASSES, Heads
from landseg.models.namesakes import SAME, Namesake, namesakes
from landseg.models.networks.build import build_network
from landseg.models.networks.catalogue import architecture, detector_task, is_fitted
from landseg.models.networks.pretrained import mix_bands

Shape = tuple[int, ...]
_OF_CLASSES = {"things", "stuff"}  # options that follow from the class table


class NamedBand(Protocol):
    """A band as cards and recipes describe it."""

    @property
    def name(self) -> str: ...
    @property
    def common_name(self) -> str | None: ...
    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...


class Described(Protocol):
    """The description of a network in a card or a recipe."""

    @property
    def arch(self) -> str: ...
    @property
    def encoder(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def bands(self) -> Sequence[NamedBand]: ...
    @property
    def classes(self) -> ClassMap: ...


@dataclass(frozen=True)
class Transfer:
    """The classes and bands that a network took from a model, by name; "left" are those that the network lacks.

    ``namesakes`` are the classes that were taken, each with its class of the model and the kind of match.
    """

    classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    left_classes: tuple[str, ...]
    bands: tuple[str, ...]
    new_bands: tuple[str, ...]
    left_bands: tuple[str, ...]
    notes: tuple[str, ...] = ()
    namesakes: tuple[Namesake, ...] = ()
    looked_for: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Return the transfer in sentences."""
        lines = []
        if self.new_classes or self.left_classes or any(one.how != SAME for one in self.namesakes):
            theirs = (*(one.theirs for one in self.namesakes), *self.left_classes)
            lines = [f"classes looked for: {', '.join(self.looked_for)}; the model has {', '.join(theirs)}"]
        for what, taken, new, left in (
            ("classes", tuple(map(str, self.namesakes)), self.new_classes, self.left_classes),
            ("bands", self.bands, self.new_bands, self.left_bands),
        ):
            parts = [f"{what} taken: {', '.join(taken) or 'none'}"]
            parts += [f"new: {', '.join(new)}"] if new else []
            parts += [f"of the model's left behind: {', '.join(left)}"] if left else []
            lines.append("; ".join(parts))
        if self.new_classes and self.left_classes:
            example = quote(f"{self.left_classes[0]}={self.new_classes[0]}")
            lines.insert(2, f"if one of those is a class by another name, say so: --map-classes {example}")
        return lines + list(self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return the transfer as JSON values."""
        plain: dict[str, Any] = {name: list(getattr(self, name)) for name in self.__dataclass_fields__}
        return plain | {"namesakes": [vars(one) for one in self.namesakes]}


def transferred(
    model: Model,
    network: nn.Module,
    *,
    card: Described,
    heads: Heads | None = None,
    said: Mapping[str, str] | None = None,
) -> Transfer:
    """Fill ``network``, newly built as ``card`` says, with the weights of ``model``, and return what was taken.

    Classes are matched by name, see `namesakes`; ``said`` holds the user's new names by names of the model. Rows of
    layers with a row for each class are taken in the new order, and a new class keeps its random start. Weights
    between a taken class and a new class become 0, so that the logits of taken classes are those of the model; the
    exception is an upsampler that mixes classes when a class is left behind. Other ``heads`` of the network (None: it
    has only classes) are taken from those of the model with the same name and number of channels.

    Bands are matched by common name, or by name if either has no common name; bands without names by order, if the
    model has as many bands. With b bands, n of them new, a new band's filters are the sum of the model's filters
    divided by b. A matched band keeps its own, times ``1 - n / b``; filters of bands that are gone are shared among
    all b. So the response of every filter to a grey image, in which all bands are equal, stays. (Encoder weights for
    three bands are mixed in the same way. Other libraries repeat the three filters in turn and scale them all.)

    Networks of boxes have no rows of that kind, and go on with all classes of their model.

    Raises:
        ModelError: architecture or encoder differ, the weights do not fit, or ``said`` names no class.
    """
    old, state = model.card, model.network.state_dict()
    options = _check_same(model, card)
    old_names, new_names = old.classes.names, card.classes.names
    same, unclear = namesakes(new_names, old_names, said)
    theirs = {one.wanted: one.theirs for one in same}
    by_name = [old_names.index(theirs[name]) if name in theirs else None for name in new_names]
    channels = old.heads or Heads.of_classes(len(old_names)), heads or Heads.of_classes(len(new_names))
    rows = _channels(*channels, by_name)
    named = _matched_bands(old.bands, card.bands)
    sources = _by_order(named, old.bands, card.bands)
    wanted = network.state_dict()
    shapes = _shapes(old, len(old.bands), old.channels)
    by_band = _growing(shapes, _shapes(old, len(old.bands) + 1, old.channels))
    by_class = _growing_by_class(old, card, shapes, by_name)
    filled: dict[str, Tensor] = {}
    for name, start in wanted.items():
        given = _given(state, name, model, options)
        if name in by_band:
            given = _for_bands(given, name, by_band[name], sources, model)
        if name in by_class:
            given = _for_classes(given, start, by_class[name], rows, old.channels)
        if given.shape != start.shape:
            _misfit(model, f"{name} is {tuple(given.shape)} there and {tuple(start.shape)} here", options)
        filled[name] = given
    if extra := sorted(set(state) - set(wanted)):
        _misfit(model, f"it has {extra[0]}, which is not here", options)
    network.load_state_dict(filled)
    mixing = any(len(axes) > 1 for axes in by_class.values())
    lost = [name for number, name in enumerate(old_names) if mixing and number not in by_name]
    notes = _notes(old, card, sources, options, lost=lost)
    notes += (*unclear, *_about_order(named, sources, old.bands, card.bands))
    return _report(old, card, same, sources, notes)


def _channels(old: Heads, new: Heads, classes: Sequence[int | None]) -> list[int | None]:
    """Return for each channel of the new heads its old channel, or None; ``classes`` does so for the classes.

    >>> _channels(Heads.of_classes(2), Heads((("edge", 1), ("classes", 3))), [1, None, 0])
    [None, 1, None, 0]
    """
    rows: list[int | None] = []
    for name, size in new.sizes:
        start = old[name].start if name in old else 0
        if name == CLASSES and name in old:
            rows += [None if row is None else start + row for row in classes]
        elif (name, size) in old.sizes:
            rows += range(start, start + size)
        else:
            rows += [None] * size
    return rows


def _check_same(model: Model, card: Described) -> list[str]:
    """Return texts on the options that differ; raise ModelError for another architecture or encoder."""
    old = model.card
    if is_fitted(old.arch):
        raise ModelError(f"{model.path} is a {old.arch}, from which no network can start; train without --init")
    if (old.arch, old.encoder) != (card.arch, card.encoder):
        raise ModelError(
            f"{model.path} is a {old.arch} on {old.encoder}, the network to train a {card.arch} on {card.encoder}: "
            f"their weights do not fit; train with --arch {old.arch} --encoder {old.encoder}, or without --init"
        )
    defaults = architecture(card.arch, card.encoder).options
    here, there = ({**defaults, **described.options} for described in (card, old))
    own = {*here, *there} - _OF_CLASSES
    names = sorted(name for name in own if _plain(here.get(name)) != _plain(there.get(name)))
    return [f"{name} is {_plain(there.get(name))} there and {_plain(here.get(name))} here" for name in names]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _misfit(model: Model, what: str, options: Sequence[str]) -> NoReturn:
    raise ModelError(
        f"the weights of {model.path} do not fit the network to train: {'; '.join(options) or what}; give it the "
        "model's options, or start without --init"
    )


def _given(state: Mapping[str, Tensor], name: str, model: Model, options: Sequence[str]) -> Tensor:
    if name not in state:
        _misfit(model, f"it has no {name}", options)
    return state[name]


def _shapes(card: Described, bands: int, classes: int) -> dict[str, Shape]:
    """Return the shapes of the network's tensors, without memory for them and without use of random numbers."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build_network(
            card.arch, encoder=card.encoder, bands=bands, channels=classes, warn=False, **card.options
        )
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _growing(shapes: Mapping[str, Shape], larger: Mapping[str, Shape]) -> dict[str, dict[int, int]]:
    """Return the growth along each axis for every tensor that grows."""
    grown = {
        name: {axis: b - a for axis, (a, b) in enumerate(zip(shape, larger[name], strict=True)) if a != b}
        for name, shape in shapes.items()
    }
    return {name: axes for name, axes in grown.items() if axes}


def _growing_by_class(
    old: Card, new: Described, shapes: Mapping[str, Shape], by_name: Sequence[int | None]
) -> dict[str, dict[int, int]]:
    """Return the tensors that grow with each class; none of a network of boxes, whose classes have to stay the same.

    Raises:
        ModelError: a network of boxes is to have other classes.
    """
    if detector_task(old.arch) is None:
        return _growing(shapes, _shapes(old, len(old.bands), old.channels + 1))
    if list(by_name) != list(range(len(old.classes))) or old.classes.things != new.classes.things:
        raise ModelError(
            f"a {old.arch} goes on with the very classes of its model, in their order and with the same things: "
            f"{', '.join(old.classes.names)}; got {', '.join(new.classes.names)}: train with those, or without --init"
        )
    return {}


def _matched_bands(old: Sequence[NamedBand], new: Sequence[NamedBand]) -> list[int | None]:
    """Return for each new band the index of its old band, or None; no old band occurs twice."""
    found: list[int | None] = [None] * len(new)

    def same(a: NamedBand, b: NamedBand, *, named: bool, common: bool) -> bool:
        known = a.common_name is not None and b.common_name is not None
        if common and not (known and a.common_name == b.common_name):
            return False
        return (not named or a.name == b.name) and (common or not known)

    for how in ({"named": True, "common": True}, {"named": False, "common": True}, {"named": True, "common": False}):
        for i, band in enumerate(new):
            if found[i] is None:
                free = (j for j, other in enumerate(old) if j not in found and same(band, other, **how))
                found[i] = next(free, None)
    return found


def _nameless(band: NamedBand) -> bool:
    """Return True if the name of a band is only a number."""
    return band.common_name is None and re.fullmatch(r"(band)?[ _-]?\d*", band.name.strip().lower()) is not None


def _by_order(named: Sequence[int | None], old: Sequence[NamedBand], new: Sequence[NamedBand]) -> list[int | None]:
    """Return the matches by name, and for bands without names the band in the same place.

    The place counts only if both sides have the same number of bands, with those that have names in the same places.
    """
    if len(old) != len(new) or any(source not in (None, i) for i, source in enumerate(named)):
        return list(named)
    return [
        i if source is None and (_nameless(new[i]) or _nameless(old[i])) else source for i, source in enumerate(named)
    ]


def _about_order(
    named: Sequence[int | None],
    sources: Sequence[int | None],
    old: Sequence[NamedBand],
    new: Sequence[NamedBand],
) -> list[str]:
    """Return sentences on the match of bands without names."""
    rows = zip(new, named, sources, strict=True)
    taken = [(band.name, old[i].name) for band, before, i in rows if before is None and i is not None]
    if taken:
        pairs = ", ".join(f"{new_name} as the model's {old_name}" for new_name, old_name in taken)
        return [f"bands without names are taken by their order: {pairs}"]
    bare = [band.name for band, source in zip(new, sources, strict=True) if source is None and _nameless(band)]
    if not bare or all(i is not None for i in sources):
        return []
    theirs = ", ".join(band.name for band in old)
    return [
        f"bands without names are not taken ({', '.join(bare)}): the model has {len(old)} ({theirs}), the images "
        f"{len(new)}, so their order does not say which they are; name them in the images, or choose some by --bands"
    ]


def _band_shares(sources: Sequence[int | None], old: int) -> Tensor:
    """Return the share of each old band's filters that a new band takes, (old, new); every row sums to 1.

    >>> _band_shares([0, 1, 2, None], 3)
    tensor([[0.7500, 0.0000, 0.0000, 0.2500],
            [0.0000, 0.7500, 0.0000, 0.2500],
            [0.0000, 0.0000, 0.7500, 0.2500]])
    >>> _band_shares([1, 0], 3)
    tensor([[0.0000, 1.0000],
            [1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    count = len(sources)
    shares = torch.full((old, count), 1 / count)
    new = [i for i, source in enumerate(sources) if source is None]
    for i, source in enumerate(sources):
        if source is not None:
            shares[source] = 0
            shares[source, new] = 1 / count
            shares[source, i] = 1 - len(new) / count
    return shares


def _for_bands(
    given: Tensor, name: str, axes: Mapping[int, int], sources: Sequence[int | None], model: Model
) -> Tensor:
    old = len(model.card.bands)
    if list(sources) == list(range(old)):
        return given
    if dict(axes) != {1: 1} or given.ndim != 4:
        raise ModelError(
            f"{model.path}: {name} mixes the bands in a way that landseg cannot take apart; keep the model's bands, "
            f"{', '.join(band.name for band in model.card.bands)}, or start without --init"
        )
    return mix_bands(given, _band_shares(sources, old))


def _for_classes(
    given: Tensor, start: Tensor, axes: Mapping[int, int], rows: Sequence[int | None], old: int
) -> Tensor:
    """Return the given rows of taken classes, the network's own rows of new classes, and 0 between the two."""
    if list(rows) == list(range(old)):
        return given
    made = start.clone()
    taken = [i for i, row in enumerate(rows) if row is not None]
    new = [i for i, row in enumerate(rows) if row is None]
    if len(axes) > 1:
        first, second = list(axes)[:2]
        for a, b in ((taken, new), (new, taken)):
            made[_at(made.ndim, {first: _spread(a, axes[first]), second: _spread(b, axes[second])})] = 0
    here = {axis: _spread(taken, each) for axis, each in axes.items()}
    there = {axis: _spread([row for row in rows if row is not None], each) for axis, each in axes.items()}
    made[_at(made.ndim, here)] = given[_at(given.ndim, there)].to(made.dtype)
    return made


def _spread(classes: Sequence[int], each: int) -> Tensor:
    """Return the positions of classes along an axis on which every class has ``each`` positions in a row."""
    return torch.tensor([c * each + i for c in classes for i in range(each)], dtype=torch.long)


def _at(ndim: int, axes: Mapping[int, Tensor]) -> tuple[Any, ...]:
    """Return an index of the outer product of positions along the given axes, and all positions of other axes."""
    order = list(axes)
    return tuple(
        axes[axis].view([-1 if other == axis else 1 for other in order]) if axis in axes else slice(None)
        for axis in range(ndim)
    )


def _notes(
    old: Described, new: Described, sources: Sequence[int | None], options: Sequence[str], *, lost: Sequence[str]
) -> tuple[str, ...]:
    """Return notes on options, scaling, and classes ``lost`` to an upsampler that mixes classes."""
    notes = [f"{text}: the weights fit, but were learnt otherwise" for text in options]
    for band, source in zip(new.bands, sources, strict=True):
        if source is not None and (was := old.bands[source]) and (was.mean, was.std) != (band.mean, band.std):
            notes.append(
                f"band {band.name} is scaled with mean {band.mean:g} and std {band.std:g}, the model knows it with "
                f"{was.mean:g} and {was.std:g}: take these unless the imagery is of another kind"
            )
    if lost:
        notes.append(f"the upsampler mixes classes, and misses what it took from {', '.join(lost)}")
    return tuple(notes)


def _report(
    old: Described,
    new: Described,
    same: Sequence[Namesake],
    sources: Sequence[int | None],
    notes: tuple[str, ...],
) -> Transfer:
    names, bands = new.classes.names, [band.name for band in new.bands]
    taken, theirs = [one.wanted for one in same], [one.theirs for one in same]
    return Transfer(
        classes=tuple(taken),
        new_classes=tuple(name for name in names if name not in taken),
        left_classes=tuple(name for name in old.classes.names if name not in theirs),
        bands=tuple(name for name, source in zip(bands, sources, strict=True) if source is not None),
        new_bands=tuple(name for name, source in zip(bands, sources, strict=True) if source is None),
        left_bands=tuple(band.name for j, band in enumerate(old.bands) if j not in sources),
        notes=notes,
        namesakes=tuple(same),
        looked_for=tuple(names),
    )
