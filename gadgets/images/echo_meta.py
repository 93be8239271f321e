"""What is said of a map that several images went into: what is wrong with any of them is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from gadgets.mrd import ismrmrd

COMPLETE = ("no", "unknown", "yes")  # worst first


def together(metas: Sequence[ismrmrd.Meta]) -> tuple[int, ismrmrd.Meta]:
    """Return which image's header a map of all of them takes, and its meta.

    That is the first one, or the first that is a fallback, whose series is another. Completeness and consistency are
    the worst of all, and the comment has what each image says, once, with the numbers of those that say it.
    """
    at = next((n for n, meta in enumerate(metas) if meta["kband_fallback"] != "no"), 0)
    made = ismrmrd.Meta(metas[at])
    worst = min(metas, key=lambda meta: COMPLETE.index(meta["kband_complete"]))
    made["kband_complete"], made["kband_lines"] = worst["kband_complete"], worst["kband_lines"]
    verdicts = [meta["kband_consistency"] for meta in metas if "kband_consistency" in meta]
    if bad := next((verdict for verdict in verdicts if verdict not in ("good", "unknown")), None):
        made["kband_consistency"] = bad
    said: dict[str, list[str]] = {}
    for number, meta in enumerate(metas):
        said.setdefault(meta["ImageComments"], []).append(str(number))
    texts = [text if len(by) == len(metas) else f"contrast {', '.join(by)}: {text}" for text, by in said.items()]
    made["ImageComments"] = "; ".join(texts)
    return at, made
