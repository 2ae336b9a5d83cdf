"""A record of the times of the ops, as Markdown."""

KIND = "ops"


def section(record: dict) -> str:
    """Machine and versions, then a table in which what dlplug is worst at comes first."""
    rows = sorted(record["rows"], key=_smallest_ratio)
    lines = [
        f"{record['isa']}, {record['threads']} threads on {record['cpus']} cores, torch"
        f" {record['torch']}.",
        "",
        "| case | ms | peers |",
        "|---|---|---|",
    ]
    lines += [f"| {row['case']} | {row['ms']['dlplug']:.4g} | {_peers(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _smallest_ratio(row: dict) -> float:
    return min(ratio for name, ratio in row["ratio"].items() if name != "dlplug")


def _peers(row: dict) -> str:
    ratios = ((name, ratio) for name, ratio in row["ratio"].items() if name != "dlplug")
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios)
