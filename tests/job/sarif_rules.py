"""The rules of the SARIF 2.1.0 schema that matter to those who read a log; checked without it."""

from __future__ import annotations

import re
from typing import Any

LEVELS = {"none", "note", "warning", "error"}


def check(log: dict[str, Any]) -> None:
    """Fail with the first rule that the log breaks."""
    only(log, {"version", "runs"}, {"$schema"})
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        only(run, {"tool"}, {"results", "columnKind"})
        assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
        only(run["tool"], {"driver"}, set())
        driver = run["tool"]["driver"]
        only(driver, {"name"}, {"rules", "semanticVersion", "informationUri"})
        assert driver["informationUri"].startswith("https://")
        assert re.fullmatch(r"\d+\.\d+\.\d+", driver["semanticVersion"])
        ids = [_rule(rule) for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for result in run["results"]:
            _result(result, ids)


def only(value: dict[str, Any], required: set[str], optional: set[str]) -> None:
    """Fail when a property is missing, or one is not of the schema: it allows no others."""
    assert required <= value.keys() <= required | optional, value


def _rule(rule: dict[str, Any]) -> str:
    texts = {"shortDescription", "fullDescription", "help"}
    only(rule, {"id"}, {*texts, "helpUri", "defaultConfiguration"})
    assert rule["helpUri"].startswith("https://")
    for name in ("shortDescription", "fullDescription"):
        only(rule[name], {"text"}, {"markdown"})
    only(rule["help"], {"text"}, {"markdown"})
    only(rule["defaultConfiguration"], set(), {"level"})
    assert rule["defaultConfiguration"]["level"] in LEVELS
    return str(rule["id"])


def _result(result: dict[str, Any], ids: list[str]) -> None:
    only(result, {"message"}, {"ruleId", "ruleIndex", "level", "locations"})
    only(result["message"], {"text"}, set())
    assert result["message"]["text"]
    assert result["level"] in LEVELS
    if "ruleIndex" in result:
        assert ids[result["ruleIndex"]] == result["ruleId"]
    for location in result["locations"]:
        only(location, set(), {"physicalLocation", "logicalLocations"})
        physical = location["physicalLocation"]
        only(physical, {"artifactLocation"}, {"region"})
        only(physical["artifactLocation"], {"uri"}, set())
        assert re.fullmatch(r"[A-Za-z0-9._~:/%-]+", physical["artifactLocation"]["uri"])
        only(physical["region"], {"startLine"}, {"startColumn"})
        assert all(type(n) is int and n >= 1 for n in physical["region"].values())
        for logical in location.get("logicalLocations", ()):
            only(logical, set(), {"fullyQualifiedName"})
