"""One run of ``equipoise balance``: reading, fitting or loading, the ledger, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.cli.balance_files import write_once
from equipoise.cli.balance_options import Wanted, Written
from equipoise.cli.balance_source import Rows, count, fingerprints, marks_of_fit, read_cells, read_rows
from equipoise.cli.common import Common, existing, split
from equipoise.data.splits import is_held_out
from equipoise.errors import InputError, listed

if TYPE_CHECKING:
    from equipoise.compare import Comparison
    from equipoise.data.groups import Vocabulary


NO_ID = "Rows are drawn by their number: another order of the table draws other rows. Name a column of ids (--id)."


class BalanceRun:
    """One call of the verb."""

    def __init__(
        self, tables: list[Path], attributes: list[str], labels: list[str], others: list[str], where: dict[str, str],
        vocabulary: Vocabulary | None, is_cells: bool, wanted: Wanted, common: Common, engine: str = "local",
    ) -> None:  # fmt: skip
        self.tables, self.table = tables, tables[0]
        self.attributes, self.labels, self.others = attributes, labels, others
        self.where, self.vocabulary, self.is_cells = where, vocabulary, is_cells
        self.wanted, self.common, self.engine = wanted, common, engine
        self.read = Rows(None, None)
        self.inputs: dict[str, str] = {}
        self.loaded = False
        self.fit_record: dict[str, Any] | None = None
        if len(tables) > 1 and not is_cells:
            raise InputError(
                f"There are {len(tables)} tables: only cells add up.", "Name a folder of Parquet files, or give --cells.",
                value=[str(path) for path in tables],
            )  # fmt: skip
        if is_cells and where:
            raise InputError("Cells have no rows to choose from.", "Leave --rows out, or give the table itself.")
        if engine == "ray" and (is_cells or where or others):
            flag = "--cells" if is_cells else "--rows" if where else "--by"
            raise InputError(f"{flag} is for one machine.", f"Leave out {flag}, or --engine ray.", value=flag)

    def fit(self, split_column: str | None = None) -> Any:
        """Read, fit and return M4; rows that are marked as test are refused.

        Raises
        ------
        LeakageError
        """
        if not self.attributes:
            raise InputError("No attribute was named.", "Give --attribute gender, say.")
        proxies = split(self.wanted.proxies)
        method = self.wanted.method(self.attributes, self.labels, self.vocabulary, self.common.seed or 0)
        options = method.options
        stream = bool(options.protocol) or options.solver == "online"
        if stream and self.is_cells:
            flag = "--faithful" if options.protocol else "--solver online"
            raise InputError(
                f"{flag} goes through rows, and cells have none.", f"Leave out {flag}, or --cells.", value=flag
            )
        if not self.is_cells:
            self._look_at_split(split_column)
        with self.common.working("counting rows"):
            if self.is_cells:
                self._cells()
            else:
                self.read = read_rows(
                    self.table, attributes=self.attributes, labels=self.labels, proxies=proxies, others=self.others,
                    vocabulary=self.vocabulary, utility=options.utility, unknown=options.unknown, where=self.where,
                    engine=self.engine, bins=options.bins, stream=stream,
                )  # fmt: skip
            self.inputs = self._fingerprints()
        with self.common.working("balancing"):
            fitted = method.fit(self.read.table if self.read.cells is None else self.read.cells)
        fitted.inputs = self.inputs
        if self.read.cells is None and _fit_cells(fitted.layout_):
            self._count(fitted.layout_, options.unknown)
        elif self.read.cells is None and self.others:
            self.common.warn(
                "balance", "Other attributes are looked at on cells, and these rows have scores: --by is left out."
            )
        return fitted

    def _look_at_split(self, named: str | None) -> None:
        """Refuse rows that nothing may be fitted on, and record which ones are."""
        from equipoise.mitigate.data.weights_file import fit_record

        column, marks = marks_of_fit(self.table, named, self.where)
        self.fit_record = fit_record(self.where, column, marks)
        if held := list(filter(is_held_out, marks)):
            self.common.warn(
                "balance",
                f"Weights are fitted on rows marked {listed(held)} too: `mitigate contrastive` refuses them where it audits "
                f"those rows. --rows {column}=train fits on the training rows alone.",
            )

    def load(self, path: Path) -> Any:
        """Read duals or a mitigation, and the rows that they are to weigh."""
        from equipoise.mitigate.artefact import load_mitigation
        from equipoise.mitigate.data.m4 import M4

        named = ["attribute"] if self.attributes else ["labels"] if self.labels else self.wanted.given
        if named:
            flag = f"--{named[0].replace('_', '-')}"
            raise InputError(f"{flag} does not apply where duals are given.", "Leave it out.", value=flag)
        fitted = load_mitigation(path) if existing(path, "duals").is_dir() else M4.load(path)
        if not hasattr(fitted, "weights_of_cells"):
            raise InputError(f"'{path}' holds no mitigation of data.", "Name duals, or the folder of a balance.")
        layout = fitted.layout_
        with self.common.working("counting rows"):
            if self.is_cells:
                self._cells(layout)
            elif _fit_cells(layout):
                self._count(layout, fitted.options.unknown)
            self.inputs = self._fingerprints()
        fitted.cells_, self.loaded = self.read.cells, True
        return fitted

    def _cells(self, layout: Any = None) -> None:
        """Read cells; they are balanced without the columns that only others are looked at by."""
        from equipoise.data.cell_groups import narrowed

        wide = read_cells(self.tables)
        if layout is None:
            entries = [*self.attributes, *self.labels, *split(self.wanted.proxies)]
            named = {part for entry in entries for part in (entry, *entry.split(":"))}
            kept = tuple(variable for variable in wide.layout.variables if variable.name in named)
            layout = replace(wide.layout, variables=kept) if kept else wide.layout
        else:
            own = tuple(wide.layout.variable(variable.name) for variable in layout.variables)
            layout.check_same(replace(wide.layout, variables=own), "these duals", "the cells")
        self.read = Rows(wide if layout.id == wide.layout.id else narrowed(wide, layout)[0], wide)

    def _count(self, layout: Any, unknown: str) -> None:
        self.read = count(
            self.table, layout, others=self.others, vocabulary=self.vocabulary, unknown=unknown, where=self.where,
            engine=self.engine,
        )  # fmt: skip

    def _fingerprints(self) -> dict[str, str]:
        return fingerprints(self.tables)

    def ledger(self, fitted: Any, *, controls: bool, margins: dict[str, float] | None = None) -> Comparison:
        """Return the data before and after, with the controls."""
        from equipoise.compare.cells import compare_cells

        assert self.read.wide is not None
        with self.common.working("comparing"):
            return compare_cells(
                self.read.wide, None, fitted, by=self.others or None, controls=controls, vocabulary=self.vocabulary,
                inputs=self.inputs, parameters={"rows": self.where, **self.annotations(fitted)},
                seed=self.common.seed or 0, report=not self.loaded, margins=margins,
            )  # fmt: skip

    def annotations(self, fitted: Any) -> dict[str, Any]:
        """Return who read the columns that are annotated, and how often that errs; cells do not tell."""
        from equipoise.audit.annotated import annotations_of, parameters_of
        from equipoise.data.batch_files import row_files, unified

        if self.is_cells:
            return {}
        files = row_files(self.table)
        named = [*(variable.name for variable in fitted.layout_.variables), *self.others]
        columns = [*annotations_of(files[0].schema, named)]
        return parameters_of(annotations_of(unified(files, columns), columns))

    def write(self, fitted: Any, out: Path, written: Written, ledger: Comparison | None, id: str | None) -> None:
        """Write what was asked for beside the weights, and the weights last: with them the run is complete."""
        from equipoise.mitigate.artefact import save_mitigation

        overwrite = self.common.overwrite
        if written.cells_out is not None:
            if self.read.wide is None:
                raise InputError("These rows have scores, which cells cannot hold.", "Leave --cells-out out.")
            write_once(written.cells_out, self.read.wide.to_parquet, overwrite=overwrite)
        if written.duals_out is not None:
            if not hasattr(fitted, "duals_"):
                raise InputError(f"'{fitted.name}' has no duals.", "Leave --duals-out out.", value=fitted.name)
            write_once(written.duals_out, fitted.save, overwrite=overwrite)
        if written.mitigation_out is not None:
            save_mitigation(fitted, written.mitigation_out, overwrite=overwrite)
        if written.ledger_out is not None:
            if ledger is None:
                raise InputError("These rows have scores: there is no ledger of them.", "Leave --ledger-out out.")
            ledger.save(written.ledger_out, overwrite=overwrite)
        if written.list_out is not None:
            from equipoise.mitigate.data.keep_lists import write_list

            seed = self.common.seed or 0
            if id is None:
                self.common.note_all("balance", [NO_ID])
            write_once(
                written.list_out,
                lambda path: write_list(self.table, path, fitted, id=id, seed=seed),
                overwrite=overwrite,
            )
        with self.common.working("writing weights"):
            if self.engine == "ray":
                from equipoise.mitigate.data.apply_ray import apply_ray

                apply_ray(self.table, fitted, out, overwrite=overwrite)
                return
            write_once(out, lambda path: self._write_weights(fitted, path), overwrite=overwrite)

    def _write_weights(self, fitted: Any, path: Path) -> None:
        if not self.is_cells:
            from equipoise.mitigate.data.weights_file import write_weights

            write_weights(self.table, path, fitted, fit=self.fit_record)
            return
        import pyarrow as pa

        from equipoise.data.cell_groups import narrowed
        from equipoise.store.files import write_table

        assert self.read.wide is not None
        own, number = narrowed(self.read.wide, fitted.layout_)
        weights = pa.array(fitted.weights_of_cells(own)[number])
        write_table(path, self.read.wide.to_arrow().append_column("m4_weight", weights))


def _fit_cells(layout: Any) -> bool:
    """Return whether cells can hold the rows of a layout."""
    return not layout.scores and not (layout.utility and not layout.utility_bins)
