"""Checks PodMonitors against what cloudcoil generates from the operator's published definition.

The models know types, patterns and what is required; they let unknown keys pass, so these are looked
for here. Arguments: files of YAML. Prints what is wrong, a line each, and ends with 1.
"""

import sys

import yaml
from cloudcoil.models.prometheus_operator.v1 import PodMonitor
from pydantic import BaseModel, ValidationError


def unknown(raw, model, place):
    """The places of keys that the definition does not have."""
    if isinstance(raw, list) and isinstance(model, list):
        for number, (entry, read) in enumerate(zip(raw, model)):
            yield from unknown(entry, read, f"{place}[{number}]")
    if not (isinstance(raw, dict) and isinstance(model, BaseModel)):
        return
    fields = {
        field.alias or name: name for name, field in type(model).model_fields.items()
    }
    for key, value in raw.items():
        if key in fields:
            yield from unknown(value, getattr(model, fields[key]), f"{place}.{key}")
        else:
            yield f"{place}.{key} is unknown"


def problems(file):
    with open(file, encoding="utf-8") as text:
        raw = yaml.safe_load(text)
    try:
        model = PodMonitor.model_validate(raw)
    except ValidationError as error:
        return [f"{entry['loc']}: {entry['msg']}" for entry in error.errors()]
    return list(unknown(raw, model, raw["kind"]))


def main():
    found = [(file, problem) for file in sys.argv[1:] for problem in problems(file)]
    for file, problem in found:
        print(f"{file}: {problem}")
    return 1 if found else 0


sys.exit(main())
