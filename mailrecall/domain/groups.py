"""R13: groups nest and overlap, but never contain themselves."""

from collections.abc import Iterable, Mapping


class GroupCycleError(ValueError):
    """A group would contain itself; `path` names the groups from it back to itself."""

    def __init__(self, path: list[str]) -> None:
        self.path = path
        super().__init__(f"A group cannot contain itself: {' → '.join(path)}.")


def refuse_cycles(groups: Mapping[str, Iterable[str]]) -> None:
    """Check that no group contains itself, directly or through others.

    Args:
        groups: each group's address with the addresses of the groups that are its members.

    Raises:
        GroupCycleError: with the cycle that was found.
    """
    done: set[str] = set()
    for start in groups:
        path: list[str] = []
        on_path: set[str] = set()
        # depth first without recursion: nesting is bounded by the data, not by Python's stack
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            group, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(group)
                done.add(group)
            elif group in on_path:
                raise GroupCycleError([*path[path.index(group) :], group])
            elif group not in done:
                path.append(group)
                on_path.add(group)
                stack.append((group, True))
                stack.extend((member, False) for member in groups.get(group, ()))
