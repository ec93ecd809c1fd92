"""Which searches measure an encoder: exits, dims and forms, each searched once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nestvec.evaluate.search.forms import Form, VectorForm
from nestvec.evaluate.variants import EncoderVariant


@dataclass(frozen=True)
class PlannedSearch:
    """Queries of one exit against documents of one exit."""

    exit: int
    """The documents' exit."""

    query_exit: int
    form: VectorForm


def plan_searches(variant: EncoderVariant, forms: Sequence[Form]) -> list[PlannedSearch]:
    """All searches, those of the deepest documents first.

    Full-length vectors at the deepest exit are always searched: the others are compared with them. Queries
    of shallower exits are compared with the deepest documents, too. Vectors before the rotation are searched
    at the deepest exit only.
    """
    deepest, full_dim = variant.manifest.depth, variant.manifest.dim
    short = variant.dims if {"float", "shortlist"} & set(forms) else ()
    floats = [VectorForm("float", dim) for dim in sorted({full_dim, *short}, reverse=True)]
    coded = [VectorForm(form, dim) for form in ("int8", "binary") if form in forms for dim in variant.dims]
    planned = []
    for exit in sorted({deepest, *variant.exits}, reverse=True):
        searched = [*floats, *coded] if exit in variant.exits else floats[:1]
        planned += [PlannedSearch(exit, exit, form) for form in searched]
        if exit != deepest:
            continue
        if variant.rotation is not None:
            planned += [PlannedSearch(exit, exit, replace(form, unrotated=True)) for form in searched]
        shallower = [query_exit for query_exit in variant.exits if query_exit != deepest]
        planned += [PlannedSearch(exit, query_exit, form) for query_exit in shallower for form in floats]
    return planned


def rescored_form(variant: EncoderVariant, search: PlannedSearch, forms: Sequence[Form]) -> Form | None:
    """The form whose candidates a search gives to be rescored; None if they are not rescored."""
    if search.form.coding == "binary":
        return "binary"
    is_short = search.form.dim < variant.manifest.dim and search.form.dim in variant.dims
    symmetric = search.exit == search.query_exit
    is_shortlist = "shortlist" in forms and search.form.coding == "float" and is_short and symmetric
    return "shortlist" if is_shortlist else None


def count_steps(variant: EncoderVariant, forms: Sequence[Form]) -> int:
    """The most steps of progress of ``measure``: one per search, one more if candidates are rescored."""
    planned = plan_searches(variant, forms)
    return len(planned) + sum(rescored_form(variant, search, forms) is not None for search in planned)
