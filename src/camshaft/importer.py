# SPDX-License-Identifier: MIT
"""Import strings: `module:attribute`, as the command's APP and --loop are given."""

import importlib


class ImportStringError(Exception):
    """An import string is malformed, or names a module or attribute that does not exist."""


def import_from_string(text: object, example: str = "app") -> object:
    """Return the object that `package.module:attribute.attribute` names; others as they are.

    `example` is the attribute to name to a user who gave none.
    Raises ImportStringError for the user's own mistakes. What the module itself raises while
    it is imported goes through, a ModuleNotFoundError for another module included: its
    traceback is what the user needs.
    """
    if not isinstance(text, str):
        return text
    module_name, _, attributes = text.partition(":")
    if not module_name or not attributes:
        # Of a file that was named, "app/main.py", the module.
        module = module_name.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".")
        raise ImportStringError(
            f'Import string "{text}" must be in format "<module>:<attribute>". '
            f'For example: "{module or "main"}:{attributes or example}".'
        )
    try:
        if "/" in module_name or module_name.startswith("."):
            raise ModuleNotFoundError(name=module_name)
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # "a.b.c" is missing as well when "a.b" is; any other name is an import inside of it.
        name = error.name or ""
        if name != module_name and not module_name.startswith(f"{name}."):
            raise
        raise ImportStringError(
            f'Could not import module "{module_name}".{_hint(module_name, attributes)}'
        ) from None
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ImportStringError(
                f'Attribute "{attributes}" not found in module "{module_name}".'
            ) from None
    return found


def _hint(module_name: str, attributes: str) -> str:
    """Return what to say to a user who named a file, "src/main.py", in place of a module."""
    path = module_name.removesuffix(".py")
    if path == module_name and "/" not in path:
        return ""
    directory, _, name = path.rpartition("/")
    option = f" with --app-dir {directory}" if directory not in ("", ".") else ""
    return f" It is a file's name; the module's is given{option} as \"{name}:{attributes}\"."
