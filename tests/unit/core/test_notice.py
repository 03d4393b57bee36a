"""Notices of preemption: whose they are, which stand, and what clouds and schedulers mean by their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respoold.core import notice_words as words
from respoold.core.notice import EXPIRY_SECONDS, Event, Foreseen, Standing, Withdrawn

NOW = 1_000.0


def standing(*events: Event) -> Standing:
    made = Standing()
    for event in events:
        made.take(event, NOW)
    return made


def test_a_notice_of_the_machine_is_everybodys_and_one_of_a_job_is_that_jobs() -> None:
    found = standing(
        Foreseen("ec2", 5.0), Foreseen("slurm", 9.0, "slurm:m:7"), Foreseen("run", 1.0, attempt="a1")
    )
    assert found.of("slurm:m:7", "a2") == {"ec2": 5.0, "slurm": 9.0}
    assert found.of("", "a1") == {"ec2": 5.0, "run": 1.0}


def test_a_notice_that_is_repeated_changes_nothing_and_one_that_is_withdrawn_does() -> None:
    found = Standing()
    assert found.take(Foreseen("a", 5.0), NOW)
    assert not found.take(Foreseen("a", 5.0), NOW)
    assert found.take(Foreseen("a", 6.0), NOW)
    assert not found.take(Withdrawn("b"), NOW)
    assert found.take(Withdrawn("a"), NOW)
    assert not found


def test_who_withdraws_for_all_withdraws_each_jobs_too() -> None:
    found = standing(Foreseen("a", 5.0, "j", "l"), Foreseen("a", 5.0, "k"))
    assert not found.take(Withdrawn("a", "other"), NOW)
    assert found.take(Withdrawn("a", "j"), NOW)
    assert found.of("k", "") == {"a": 5.0}
    assert found.take(Withdrawn("a"), NOW)
    assert not found


def test_a_notice_expires_some_time_after_its_deadline_or_after_it_was_last_heard() -> None:
    found = standing(Foreseen("dated", NOW + 100), Foreseen("vague"))
    found.expire(NOW + EXPIRY_SECONDS)
    assert found.of("", "") == {"dated": NOW + 100, "vague": 0.0}
    found.take(Foreseen("vague"), NOW + 200)
    found.expire(NOW + EXPIRY_SECONDS + 101)
    assert found.of("", "") == {"vague": 0.0}
    found.expire(NOW + EXPIRY_SECONDS + 201)
    assert not found


def test_advice_is_told_and_stands_against_nobody() -> None:
    found = standing(Foreseen("rebalance", likely=True))
    assert (found.advice(), found.of("", "")) == (["rebalance"], {})


@pytest.mark.parametrize(
    ("dmi", "cloud"),
    [
        ({"sys_vendor": "Amazon EC2", "product_name": "g5.xlarge"}, "ec2"),
        ({"sys_vendor": "Xen", "bios_version": "4.11.amazon"}, "ec2"),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, "gcp"),
        (
            {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
            "azure",
        ),
        ({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "1234"}, ""),
        ({"sys_vendor": "QEMU"}, ""),
        ({}, ""),
    ],
)
def test_a_cloud_is_known_by_the_machines_own_names(dmi: dict[str, str], cloud: str) -> None:
    assert words.cloud_of(dmi) == cloud


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_ec2_names_what_it_does_and_when(action: str) -> None:
    said = f'{{"action":"{action}","time":"2017-09-18T08:22:00Z"}}'
    assert words.ec2_action(said) == Foreseen("ec2-spot", 1505722920.0)
    assert words.ec2_action('{"action":"terminate"}') == Foreseen("ec2-spot", 0.0)


def test_gcp_says_true_or_false_and_a_migration_is_no_end() -> None:
    assert words.gcp_preempted("TRUE\n", NOW) == Foreseen("gcp-preempted", NOW + 30)
    assert words.gcp_preempted("FALSE", NOW) == Withdrawn("gcp-preempted")
    assert words.gcp_maintenance("TERMINATE_ON_HOST_MAINTENANCE", NOW) == Foreseen(
        "gcp-maintenance", NOW + 60
    )
    assert words.gcp_maintenance("MIGRATE_ON_HOST_MAINTENANCE", NOW) == Withdrawn("gcp-maintenance")


EVENT = '{"EventType":"%s","Resources":["%s"],"EventStatus":"%s","NotBefore":"Mon, 18 Sep 2017 08:22:00 GMT"}'


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ("", Withdrawn("azure")),
        (EVENT % ("Preempt", "me", "Scheduled"), Foreseen("azure", 1505722920.0)),
        (EVENT % ("Terminate", "me", "Started"), Foreseen("azure", 1505722920.0)),
        (EVENT % ("Preempt", "other", "Scheduled"), Withdrawn("azure")),
        (EVENT % ("Freeze", "me", "Scheduled"), Withdrawn("azure")),
        (EVENT % ("Preempt", "me", "Completed"), Withdrawn("azure")),
        ('{"EventType":"Preempt","Resources":["me"],"NotBefore":""}', Foreseen("azure", 0.0)),
    ],
)
def test_azures_list_is_read_for_this_machine_alone(events: str, found: Event) -> None:
    assert words.azure_events(f'{{"DocumentIncarnation":1,"Events":[{events}]}}', "me") == found


@pytest.mark.parametrize(
    ("line", "warning", "told"),
    [
        ("7 N/A 900 N/A", 60.0, {}),
        ("7 990 900 1060", 0.0, {"7": ("slurm-preemption", 1060.0)}),
        ("33_3 990 900 1060", 0.0, {"33_3": ("slurm-preemption", 1060.0)}),
        ("12+1 990 900 1060", 0.0, {"12": ("slurm-preemption", 1060.0)}),
        ("7 890 900 1060", 0.0, {}),
        ("7 N/A 900 1060", 60.0, {"7": ("slurm-time-limit", 1060.0)}),
        ("7 N/A 900 1061", 60.0, {}),
        ("7 N/A 900 1060", 0.0, {}),
        ("slurm_load_jobs error: Unable to contact slurm controller", 60.0, {}),
    ],
)
def test_a_slurm_job_is_noticed_by_its_preempt_time_in_this_life_or_near_its_limit(
    line: str, warning: float, told: dict[str, tuple[str, float]]
) -> None:
    assert words.slurm_near(words.slurm_queue(line), NOW, warning) == told


def test_slurms_local_times_are_understood_too() -> None:
    job = words.slurm_job("JobId=7 JobState=RUNNING EndTime=2017-09-18T08:22:00 PreemptTime=None")
    assert job is not None
    assert job.ends_at > 1.5e9
    assert job.preempted_at == 0.0


@given(st.text(max_size=200))
def test_no_text_whatever_raises_or_is_a_notice_by_chance(text: str) -> None:
    assert not isinstance(words.ec2_action(text), Foreseen)
    assert words.ec2_rebalance(text) is None
    assert words.azure_events(text, "me") is None
    assert words.slurm_job(text) is None or "JobId=" in text
    assert words.slurm_near(words.slurm_queue(text), NOW, 0.0) == {} or len(text.split()) >= 4
    for found in (words.gcp_preempted(text, NOW), words.gcp_maintenance(text, NOW)):
        assert found is None or text.strip() in {"TRUE", "FALSE", "NONE"}


ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.just([]), st.just({}))


@given(ODD, ODD, ODD)
def test_no_value_of_another_kind_raises_where_a_word_or_a_time_is_looked_for(
    one: Any, two: Any, time: Any
) -> None:
    words.ec2_action(json.dumps({"action": one, "time": two}))
    assert isinstance(words.ec2_action(json.dumps({"action": "stop", "time": time})), Foreseen)
    words.ec2_rebalance(json.dumps({"noticeTime": time}))
    for kind in ("Preempt", one):
        event = {"EventType": kind, "EventStatus": two, "Resources": ["me"], "NotBefore": time}
        assert words.azure_events(json.dumps({"Events": [event]}), "me") is not None


def test_no_digit_that_is_no_number_is_a_time() -> None:
    assert words.slurm_queue("12 \u00b2 1 2")[0].preempted_at == 0.0
