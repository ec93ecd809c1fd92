"""Distances of the tree as columns of scans, or as calls of functions over vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import OPERATOR_METRICS, bind_target, holds_bits
from nestvec.sql.bind.vectors.embed import check_same_space, is_embed, query_request
from nestvec.sql.bind.vectors.family import families, resolve_family
from nestvec.sql.bind.vectors.targets import EmbeddedText, Target, parse_vector
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import identifier_name, without_parens
from nestvec.sql.relational.names import from_entries, function_label, source_node
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.relations import DistanceColumn
from nestvec.sql.relational.results.grouped_distances import group_distances
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.numbers.null_operands import is_null
from nestvec.sql.relational.scans import cte_query
from nestvec_schemas.errors import SqlNotSupported

METRICS: Final = {**OPERATOR_METRICS, "<+>": "L1"}

_FUNCTIONS: Final = {
    "COSINE": "vector_cosine",
    "L2": "vector_l2",
    "IP": "vector_ip",
    "L1": "vector_l1",
    "HAMMING": "bits_hamming",
    "JACCARD": "bits_jaccard",
}


def replace_distances(planning: Planning, tree: exp.Expr) -> tuple[exp.Expr, dict[str, list[DistanceColumn]]]:
    """The tree without distance operators, and the distances that scans compute, by the scans' names.

    Raises the errors of ``bind_query`` for a wrong column or target.
    """
    computed: dict[str, list[DistanceColumn]] = {}
    columns: list[tuple[exp.Column, exp.Column]] = []
    for node in list(tree.find_all(VectorDistance)):
        replacement = _replacement(planning, node, computed)
        if node is tree:
            tree = replacement
        node.replace(replacement)
        if isinstance(replacement, exp.Column):
            measured = next(node.find_all(exp.Column))
            columns.append((replacement, measured))
    group_distances(planning.source, columns)
    return tree, computed


def _replacement(
    planning: Planning, node: VectorDistance, computed: dict[str, list[DistanceColumn]]
) -> exp.Expr:
    operator = str(node.args["operator"])
    metric = METRICS[operator]
    if metric == "BM25":
        raise planning.source.not_supported(
            "<@> outside ORDER BY … LIMIT of a SELECT on one collection",
            node.meta["start"],
            "Rank by it in a sub-SELECT: (SELECT … ORDER BY body <@> 'words' LIMIT n).",
        )
    left, right = without_parens(node.this), without_parens(node.args["expression"])
    if is_null(left) or is_null(right):
        return exp.cast(exp.null(), "double")
    if not isinstance(left, exp.Column) and isinstance(right, exp.Column):
        left, right = right, left
    if isinstance(left, exp.Column) and _is_constant(right):
        measured = _measured(planning, computed, left, right, operator)
        if measured is not None:
            return measured
    left_embedding, right_embedding = _embedding_of(planning, left), _embedding_of(planning, right)
    check_same_space(planning.source, left_embedding, right_embedding, node.meta["start"])
    return call(
        _FUNCTIONS[metric], _operand(planning, left, right, metric), _operand(planning, right, left, metric)
    )


def _measured(
    planning: Planning,
    computed: dict[str, list[DistanceColumn]],
    node: exp.Column,
    constant: exp.Expr,
    operator: str,
) -> exp.Expr | None:
    """The column of a distance that a scan computes; None for one that DuckDB computes."""
    scan, metric = planning.scan_of(node), METRICS[operator]
    if scan is None:
        return None
    scope = planning.scope(scan, node.table)
    column = _vector_column(scope, node, metric, operator)
    try:
        target = _target(scope, column, constant)
    except SqlNotSupported:
        # greatest('[1,2]', '[2,1]') and its like are computed: texts to embed and parameters are not.
        if isinstance(constant, (exp.Literal, *PARAMETER_NODES)) or any(map(is_embed, constant.walk())):
            raise
        return None
    columns = computed.setdefault(scan, [])
    same = next((c for c in columns if (c.column, c.metric, c.target) == (column.name, metric, target)), None)
    if same is None:
        same = DistanceColumn(f"__distance_{len(columns)}", column.name, metric, target)
        columns.append(same)
        planning.schemas[scan] = {**planning.schemas[scan], same.name: "double"}
    return exp.column(same.name, table=node.table, quoted=True)


def _embedding_of(planning: Planning, node: exp.Expr) -> EmbeddingColumn | None:
    """How the vectors of a column are made, also of one that a subquery selects; None if that is unknown."""
    node = without_parens(node)
    if isinstance(node, (exp.Cast, exp.Avg, exp.Sum)):
        return _embedding_of(planning, node.this)
    if function_label(node) in ("SUBVECTOR", "L2_NORMALIZE") and node.expressions:
        return _embedding_of(planning, node.expressions[0])
    query = node.this if isinstance(node, exp.Subquery) else node
    if isinstance(query, exp.Select):
        items = [item.unalias() for item in query.expressions]
        return _embedding_of(planning, items[0]) if len(items) == 1 else None
    if not isinstance(node, exp.Column):
        return None
    scan = planning.scan_of(node)
    if scan is not None:
        return planning.tables[scan].embedding(node.name)
    passed_on = _passed_on(node)
    return None if passed_on is None else _embedding_of(planning, passed_on)


def _is_constant(node: exp.Expr) -> bool:
    return node.find(exp.Column) is None and node.find(exp.Query) is None


def _vector_column(scope: Scope, node: exp.Column, metric: str, operator: str) -> Column:
    column, _ = resolve_family(scope, node, metric)
    if not column.is_vector:
        vectors = ", ".join(entry.name for entry in scope.table.columns if entry.is_vector) or "none"
        raise scope.source.type_mismatch(
            f"column {column.name} is {column.type}, not a vector",
            operator,
            node,
            f"Vector columns: {vectors}.",
        )
    binary = metric in ("HAMMING", "JACCARD")
    if binary != holds_bits(column):
        raise scope.source.type_mismatch(
            f"{operator} measures {'bits' if binary else 'numbers'}, and column {column.name} is not of them",
            operator,
            node,
            "Use <~> or <%> for bits, and <=>, <->, <#> or <+> for numbers.",
        )
    return column


def _target(scope: Scope, column: Column, node: exp.Expr) -> Target:
    """The vector to measure to; a text that Milvus would embed is embedded here."""
    target = bind_target(scope, column, node)
    if isinstance(target, str):
        return EmbeddedText(target, query_request(scope, column, node))
    return target


def _operand(planning: Planning, node: exp.Expr, other: exp.Expr, metric: str) -> exp.Expr:
    """A side of a distance between two vectors, or of one to a constant."""
    kind = "bit" if metric in ("HAMMING", "JACCARD") else "float[]"
    is_vector = kind == "bit" or parse_vector(without_parens(node).name) or node.name.lstrip().startswith("{")
    if isinstance(node, exp.Literal) and node.is_string and is_vector:
        # The functions of bits cast them to as many as they have, ::bit to one.
        return node
    if isinstance(node, PARAMETER_NODES):
        values = planning.params.value(planning.source, node)
        if isinstance(values, (list, tuple)):
            if not all(type(value) in (int, float, bool) for value in values):
                raise planning.source.type_mismatch("this is not a vector", values, node, "Pass numbers.")
            text = "[" + ",".join(repr(float(value)) for value in values) + "]"
            return exp.cast(exp.Literal.string(text), "float[]")
    if not _is_constant(node):
        column = _stored_column(planning, node) if isinstance(node, exp.Column) else None
        if column is not None and isinstance(node, exp.Column) and planning.scan_of(node):
            node = node.copy()
            node.set("this", exp.to_identifier(column.name, quoted=True))
        return node
    if not isinstance(node, (exp.Literal, *PARAMETER_NODES)) and not any(map(is_embed, node.walk())):
        return node
    base = _base_column(planning, other) if isinstance(other, exp.Column) else None
    if base is None:
        raise planning.source.not_supported(
            "a distance to this", node, "Write a vector, or measure a column of a collection."
        )
    scan, column_node = base
    scope = planning.scope(scan, column_node.table)
    column, _ = resolve_family(scope, column_node, metric)
    name = f"target_{len(planning.targets)}"
    planning.targets[name] = _target(scope, column, node)
    target: exp.Expr = exp.Placeholder(this=name)
    return target if kind == "bit" else exp.cast(target, kind)


def _stored_column(planning: Planning, node: exp.Column) -> Column | None:
    scan = planning.scan_of(node)
    return planning.tables[scan].column(node.name) if scan is not None else None


def _base_column(planning: Planning, node: exp.Column) -> tuple[str, exp.Column] | None:
    """The column of a collection that derived tables pass on as ``node``, and its scan."""
    scan = planning.scan_of(node)
    if scan is not None:
        return scan, node
    passed_on = _passed_on(node)
    return _base_column(planning, passed_on) if isinstance(passed_on, exp.Column) else None


def _passed_on(node: exp.Column) -> exp.Expr | None:
    """What a derived table selects as a column."""
    entry = source_node(node)
    inner = entry.this if isinstance(entry, exp.Subquery) else cte_query(entry, node)
    if not isinstance(inner, exp.Select) or not from_entries(inner):
        return None
    item = next((item for item in inner.expressions if item.alias_or_name == node.name), None)
    return None if item is None else item.unalias()


_SPELLINGS: Final = {
    "L2_DISTANCE": "<->",
    "COSINE_DISTANCE": "<=>",
    "INNER_PRODUCT": "<#>",
    "NEGATIVE_INNER_PRODUCT": "<#>",
    "L1_DISTANCE": "<+>",
    "HAMMING_DISTANCE": "<~>",
    "JACCARD_DISTANCE": "<%>",
}


def is_distance_function(node: exp.Expr) -> bool:
    """Whether a node calls one of pgvector's distance functions."""
    return isinstance(node, exp.Func) and function_label(node) in _SPELLINGS


def use_operators(tree: exp.Expr) -> exp.Expr:
    """Write calls of pgvector's distance functions as operators. Returns the tree."""
    for node in [node for node in tree.find_all(exp.Func) if is_distance_function(node)]:
        operands = [*node.expressions] or [node.this, node.args.get("expression")]
        if len(operands) != 2 or None in operands:
            continue
        distance: exp.Expr = VectorDistance(
            this=operands[0].copy(),
            expression=operands[1].copy(),
            operator=_SPELLINGS[function_label(node)],
        )
        distance.meta["start"] = node.meta.get("start") or next(
            (child.meta["start"] for child in node.walk() if child.meta.get("start") is not None), 0
        )
        replaced: exp.Expr = distance
        if function_label(node) == "INNER_PRODUCT":
            replaced = exp.paren(exp.Neg(this=exp.paren(distance)))
        if isinstance(node.parent, exp.Binary):
            replaced = exp.paren(replaced)
        if node is tree:
            return replaced
        node.replace(replaced)
    return tree


def use_family_members(tree: exp.Expr, table_of: Callable[[exp.Column], Table | None]) -> None:
    """Replace ``subvector(v, 1, n)`` beside <=> by the family's column of n dims, where there is one.

    The lengths of that column's vectors are 1, which matters to the other operators.
    """
    for distance in tree.find_all(VectorDistance):
        if distance.args["operator"] != "<=>":
            continue
        for side in (distance.this, distance.args["expression"]):
            node = without_parens(side)
            member = _member(node, table_of)
            if member is not None:
                side.replace(member)


def _member(node: exp.Expr, table_of: Callable[[exp.Column], Table | None]) -> exp.Expr | None:
    if isinstance(node, exp.Cast):
        node = without_parens(node.this)
    if function_label(node) != "SUBVECTOR" or len(node.expressions) != 3:
        return None
    column, start, count = node.expressions
    numbers = [part.name for part in (start, count) if isinstance(part, exp.Literal) and not part.is_string]
    if not isinstance(column, exp.Column) or len(numbers) != 2 or numbers[0] != "1":
        return None
    table = table_of(column)
    if table is None or not isinstance(column.this, exp.Identifier):
        return None
    name = identifier_name(column.this)
    for family in families(table):
        dims = {member.dim: member.column for member in family.members}
        if name in (*dims.values(), family.source) and numbers[1].isdecimal() and int(numbers[1]) in dims:
            member = column.copy()
            member.this.set("this", dims[int(numbers[1])])
            member.this.set("quoted", True)
            return member
    return None
