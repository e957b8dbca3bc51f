"""The command line of the campaign."""

import argparse
import json

import pytest

from cicada.tools.errors import UserError
from cicada.tools.powercut.commands import add_parser


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["powercut", *arguments])
    return options.run(options)


def test_a_sample_is_told_and_written(tmp_path, capsys):
    out = tmp_path / "counts.json"
    arguments = "--sample", "6", "--scenario", "model-first", "--jobs", "1", "--json", str(out)
    assert run(*arguments) == 0
    told = capsys.readouterr().out
    assert "model-first" in told and "FAILED" not in told
    counts = json.loads(out.read_text())["model-first"]
    assert counts["judged"] == 6 and counts["failures"] == [] and counts["operations"] > 40


def test_a_replay_shows_its_console(capsys):
    assert run("--replay", "refuse-key/1:after") == 0
    told = capsys.readouterr().out
    assert "--- 1:after ---" in told and "signed with a key that is not trusted" in told
    assert told.rstrip().endswith("completed")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--scenario", "moon"), "no scenario 'moon'"),
        (("--replay", "moon/1:after"), "no scenario 'moon'"),
        (("--replay", "refuse-key/1:sideways"), "no interruption is called"),
        (("--replay", "refuse-key/rot-after:x"), "no case is called"),
        (("--replay", "refuse-key/net:rain"), "no case is called"),
    ],
)
def test_what_there_is_not_is_one_sentence(arguments, why):
    with pytest.raises(UserError, match=why):
        run(*arguments)
