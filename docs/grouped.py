"""Parameters that share a description have their own types and defaults."""

import re

import griffe

GROUP = re.compile(r"^(\w+(?:,\s\w+)+)\n((?: {4}.*\n?)+)", re.MULTILINE)


class Grouped(griffe.Extension):
    """Gives "a, b" above a description, without a type, one for a and one for b."""

    def on_object(self, *, obj, **options):
        if obj.docstring is not None:
            obj.docstring.value = GROUP.sub(each, obj.docstring.value)


def each(match):
    names, description = match.groups()
    description = description.rstrip("\n") + "\n"
    return "".join(f"{name}\n{description}" for name in re.split(r",\s", names))
