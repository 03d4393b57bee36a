import pytest

from respoold.cli import words
from respoold.cli.media_words import brief


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (273_600, "3 days 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_a_moment_is_said_as_a_distance_from_now() -> None:
    said = [words.ago(1000.0 - past, 1000.0) for past in (0, 14, 190, 7300, 200_000)]
    assert said == ["just now", "14 s ago", "3 min ago", "2 h ago", "2 days ago"]
    assert words.ago(None, 1000.0) == "-"


def test_the_clock_of_another_machine_may_be_ahead() -> None:
    assert words.ago(1005.0, 1000.0) == "just now"


def test_numbers_are_grouped_in_threes() -> None:
    assert words.count(1_240_000) == "1 240 000"
    assert words.counted(1, "row") == "1 row"
    assert words.counted(2, "entry", "entries") == "2 entries"


def test_sizes_never_show_more_than_four_digits() -> None:
    shown = [words.size(1.5 * 10**power) for power in range(17)]
    assert all(sum(letter.isdigit() for letter in text) <= 4 for text in shown)
    assert words.size(1023) == "1.0 KiB"
    assert words.size(48 << 20) == "48.0 MiB"


def test_control_characters_of_strangers_do_not_reach_the_terminal() -> None:
    assert words.clean("run\x1b[2J\n\x07ü") == "run?[2J??ü"
    assert words.value("a\nb") == "a?b"


def test_a_state_says_what_still_waits_and_what_was_lost() -> None:
    run = {"state": "running", "pending_records": 1240, "node": "node7", "lost": 3}
    assert words.state(run, 0.0) == "running, 1 240 records waiting on node7, 3 rows lost"
    assert words.state({"state": "silent", "heartbeat_at": 100.0}, 400.0) == "silent, last heard 5 min ago"


def test_values_keep_six_digits_and_the_three_that_are_no_numbers() -> None:
    shown = [words.value(item) for item in (0.1234567, 1e-9, True, None, 3, float("nan"), "NaN")]
    assert shown == ["0.123457", "1e-09", "true", "-", "3", "nan", "NaN"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"_type": "image-file", "width": 8, "height": 4, "caption": "noise"}, "image 8 x 4 'noise'"),
        ([{"_type": "image-file"}, {"_type": "image-file"}], "2 images"),
        ([{"_type": "image-file"}, {"_type": "html-file"}], "2 media"),
        ([{"_type": "html-file", "size": 2048}], "html of 2.0 KiB"),
        ({"_type": "histogram", "values": [1, 2], "bins": [0, 1, 2]}, "histogram of 2 bins"),
        ({"_type": "table-file", "nrows": 1}, "table of 1 row"),
        ({"_type": "chart", "kind": "roc_curve", "title": "t\n"}, "chart, roc curve 't?'"),
        ({"_type": "audio-file", "error": "no room"}, "audio, not kept: no room"),
        ({"_type": 3}, '{"_type": 3}'),
        ([], "[]"),
        ([1.5, 2], "[1.5, 2]"),
    ],
)
def test_media_are_said_as_what_they_are(item: object, said: str) -> None:
    assert brief(item) == said
