"""Values of JSON, taken apart."""


def places(value, path=()):
    """Yield the paths of all places in a value, its own first, those of nested values too."""
    yield path
    parts = list(enumerate(value)) if isinstance(value, list) else []
    for key, part in value.items() if isinstance(value, dict) else parts:
        yield from places(part, (*path, key))
