"""Tests of bundles: jobs with the programs that they start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import job_document
from admin.deploy.bundle_files import executable, write_bundle, write_program
from peers.garbling import garbled

from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.plan import job_change
from epm_task.admin.errors import BadBundle
from epm_task.runtime.manifest import NAME, VERSION, describe_files

if TYPE_CHECKING:
    from pathlib import Path


def test_jobs_that_share_a_program_are_one_bundle(tmp_path: Path) -> None:
    """Others are bundles of their own; a job may need no program of the folder."""
    write_bundle(tmp_path, job_id="b-second")
    write_bundle(tmp_path, job_id="a-first")
    write_bundle(tmp_path, job_id="other", command="other")
    task = {"id": "one", "command": "sh"}
    (tmp_path / "Jobs" / "shell.json").write_text(json.dumps(job_document("shell", tasks=[task])))
    found = read_bundles(tmp_path)
    assert [(one.name, list(one.programs), list(one.jobs)) for one in found] == [
        ("a-first", ["probe"], ["a-first", "b-second"]),
        ("other", ["other"], ["other"]),
        ("shell", [], ["shell"]),
    ]


def test_a_job_with_two_programs_joins_bundles(tmp_path: Path) -> None:
    """All three jobs go together then."""
    write_bundle(tmp_path, job_id="one", command="first")
    write_bundle(tmp_path, job_id="two", command="second")
    tasks = [{"id": name, "command": name} for name in ("first", "second")]
    (tmp_path / "Jobs" / "both.json").write_text(json.dumps(job_document("both", tasks=tasks)))
    (found,) = read_bundles(tmp_path)
    assert (found.name, set(found.programs)) == ("both", {"first", "second"})


def test_a_program_is_compared_with_its_manifest(tmp_path: Path) -> None:
    """What `epm-task freeze` built must have arrived."""
    program = write_program(write_bundle(tmp_path)).parent
    manifest = {"manifest": VERSION, "files": describe_files(program)}
    (program / NAME).write_text(json.dumps(manifest))
    assert NAME in read_bundles(tmp_path)[0].programs["probe"].files
    (program / "_internal" / "library.txt").write_text("changed")
    with pytest.raises(BadBundle, match="not what was built"):
        read_bundles(tmp_path)
    (program / NAME).write_text("{")
    with pytest.raises(BadBundle, match="cannot be read"):
        read_bundles(tmp_path)


def test_what_is_no_bundle_is_refused_with_the_fix(tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(BadBundle, match="epm-task freeze"):
        read_bundles(tmp_path)
    (tmp_path / "Jobs").mkdir()
    with pytest.raises(BadBundle, match="no job document"):
        read_bundles(tmp_path)
    write_bundle(tmp_path)
    write_program(tmp_path, command="idle")
    with pytest.raises(BadBundle, match="starts the program idle"):
        read_bundles(tmp_path)
    write_bundle(tmp_path, job_id="idle", command="idle")
    (tmp_path / "Jobs" / "bin" / "idle" / executable("idle")).unlink()
    with pytest.raises(BadBundle, match="no idle that could be started"):
        read_bundles(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("probe", '{"id": "other"}', "must equal the file's name"),
        ("probe", "[", "line 1"),
        ("bad_id", '{"id": "bad_id"}', "bad_id"),
    ],
)
def test_a_broken_job_document_is_refused(name: str, text: str, why: str, tmp_path: Path) -> None:
    """With its place."""
    write_bundle(tmp_path)
    (tmp_path / "Jobs" / f"{name}.json").write_text(text)
    with pytest.raises(BadBundle, match=why):
        read_bundles(tmp_path)


def test_a_garbled_job_or_manifest_is_read_or_refused(tmp_path: Path) -> None:
    """The change that it would be can be told in both directions."""
    bundle = write_bundle(tmp_path)
    program = bundle / "Jobs" / "bin" / "probe"
    job = bundle / "Jobs" / "probe.json"
    document = json.loads(job.read_text())
    manifest = {"manifest": VERSION, "executable": "probe", "files": describe_files(program)}
    refused = 0
    for whole, file in ((document, job), (manifest, program / NAME)):
        for _, variant in garbled(whole):
            file.write_text(json.dumps(variant))
            try:
                (read,) = read_bundles(bundle)
            except BadBundle:
                refused += 1
                continue
            for before, after in ((document, read.jobs["probe"]), (read.jobs["probe"], document)):
                job_change("probe", before, after)
        file.write_text(json.dumps(whole))
    assert refused > 100
