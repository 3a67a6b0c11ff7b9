"""What is derived from sources: labs and homework. Says whether it is fresh and builds it again."""

from tools import homework, notebooks, project


def require_fresh() -> None:
    """Raise unless the stored outputs of every lab still hold, because building a stale one executes it.

    Raises:
        ValueError: names each stale lab, why it is stale and what to do.
    """
    reasons = {source: notebooks.stale(source) for source in sorted((project.ROOT / "labs").glob("*.py"))}
    stale = [f"labs/{source.name} ({reason})" for source, reason in reasons.items() if reason]
    if stale:
        raise ValueError(f"Stale: {', '.join(stale)}. Run `make labs`, commit, and repeat this.")


def require_fresh_homework() -> None:
    """Raise unless labs/homework/ is what the masters release; an edition without masters has nothing to say.

    Raises:
        ValueError: names each stale release and why.
    """
    masters = homework.MASTERS
    stale = homework.stale(masters, homework.RELEASES) if masters.exists() else []
    if stale:
        raise ValueError(f"Stale homework: {'; '.join(stale)}.")


def rebuild() -> None:
    """Put the present address and tag into every notebook; labs must be fresh.

    Raises:
        ValueError: the homework could not be released.
    """
    for source in sorted((project.ROOT / "labs").glob("*.py")):
        notebooks.build(source)
    if homework.MASTERS.exists() and homework.main([]):
        raise ValueError("The homework could not be released; the reason stands above.")
