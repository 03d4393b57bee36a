"""What clouds and schedulers answer when they are asked whether they want their machine back. Pure.

Garbage is no notice: a proxy's page or half an answer must not stop a training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from respoold.core.notice import Event, Foreseen, Withdrawn

EC2_SPOT, EC2_REBALANCE = "ec2-spot", "ec2-rebalance"
GCP_PREEMPTED, GCP_MAINTENANCE = "gcp-preempted", "gcp-maintenance"
AZURE = "azure"
SLURM, SLURM_LIMIT = "slurm-preemption", "slurm-time-limit"

GCP_SECONDS = 30.0
GCP_MAINTENANCE_SECONDS = 60.0
EC2_ENDS = ("terminate", "stop", "hibernate")
AZURE_ENDS = ("Preempt", "Terminate", "Reboot", "Redeploy")
"""Freeze is a pause of some seconds, after which everything goes on."""
_AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"


def cloud_of(dmi: Mapping[str, str]) -> str:
    """ec2, gcp, azure, or nothing, by the names that the firmware gives the machine (/sys/class/dmi/id)."""
    vendor, product = dmi.get("sys_vendor", ""), dmi.get("product_name", "")
    if vendor == "Amazon EC2" or "amazon" in dmi.get("bios_version", "").lower():
        return "ec2"
    if vendor == "Google" or product == "Google Compute Engine":
        return "gcp"
    if dmi.get("chassis_asset_tag") == _AZURE_CHASSIS:
        return "azure"
    return ""


def ec2_action(body: str) -> Event | None:
    """`{"action":"terminate","time":"2017-09-18T08:22:00Z"}`; None for what is no such thing."""
    said = _json(body)
    if isinstance(said, dict) and said.get("action") in EC2_ENDS:
        return Foreseen(EC2_SPOT, _iso(said.get("time")))
    return None


def ec2_rebalance(body: str) -> Event | None:
    """`{"noticeTime":"2020-10-27T08:22:00Z"}`: a wish, often an early one, and no notice."""
    said = _json(body)
    if isinstance(said, dict) and _iso(said.get("noticeTime")):
        return Foreseen(EC2_REBALANCE, likely=True)
    return None


def gcp_preempted(body: str, now: float) -> Event | None:
    """`TRUE` or `FALSE`."""
    match body.strip():
        case "TRUE":
            return Foreseen(GCP_PREEMPTED, now + GCP_SECONDS)
        case "FALSE":
            return Withdrawn(GCP_PREEMPTED)
    return None


def gcp_maintenance(body: str, now: float) -> Event | None:
    """`NONE`, `MIGRATE_ON_HOST_MAINTENANCE` (which costs nobody anything), `TERMINATE_ON_HOST_MAINTENANCE`."""
    match body.strip():
        case "TERMINATE_ON_HOST_MAINTENANCE":
            return Foreseen(GCP_MAINTENANCE, now + GCP_MAINTENANCE_SECONDS)
        case "NONE" | "MIGRATE_ON_HOST_MAINTENANCE":
            return Withdrawn(GCP_MAINTENANCE)
    return None


def azure_events(body: str, machine: str) -> Event | None:
    """The most urgent end that Scheduled Events announce for this machine; the list names all of its group's."""
    said = _json(body)
    events = said.get("Events") if isinstance(said, dict) else None
    if not isinstance(events, list):
        return None
    ends = [_azure_deadline(one) for one in events if isinstance(one, dict) and _concerns(one, machine)]
    if not ends:
        return Withdrawn(AZURE)
    return Foreseen(AZURE, min((end for end in ends if end), default=0.0))


def _concerns(event: dict[str, Any], machine: str) -> bool:
    resources = event.get("Resources")
    named = isinstance(resources, list) and machine in resources
    return named and event.get("EventType") in AZURE_ENDS and event.get("EventStatus") != "Completed"


def _azure_deadline(event: dict[str, Any]) -> float:
    try:
        return parsedate_to_datetime(str(event["NotBefore"])).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0  # it has begun: Azure then leaves the time out


class SlurmJob(NamedTuple):
    """A job as scontrol shows it. Times in seconds since the epoch, 0 for none."""

    job_id: str
    state: str
    preempted_at: float
    ends_at: float
    started_at: float = 0.0

    @property
    def preempted(self) -> bool:
        """Whether this life of the job is, or was, preempted: what is known of an earlier one may still be shown."""
        return self.preempted_at > 0 and self.preempted_at >= self.started_at


_FIELD = re.compile(r"(\w+)=(\S*)")


def slurm_job(line: str) -> SlurmJob | None:
    """A line of `scontrol -o show job`, asked with SLURM_TIME_FORMAT=%s, or in local time without."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(line):
        fields.setdefault(name, value)
    if not fields.get("JobId") or "JobState" not in fields:
        return None
    times = (_slurm_time(fields.get(name, "")) for name in ("PreemptTime", "EndTime", "StartTime"))
    return SlurmJob(fields["JobId"], fields["JobState"], *times)


_COLUMNS = 4


def slurm_queue(text: str) -> list[SlurmJob]:
    """Lines of `squeue` about running jobs: JobArrayID, PreemptTime, StartTime, EndTime; SLURM_TIME_FORMAT=%s."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == _COLUMNS:
            # The components of a heterogeneous job are 12+0, 12+1, and bear the name of the first.
            name, (preempted, started, ends) = words[0].partition("+")[0], map(_slurm_time, words[1:])
            found.append(SlurmJob(name, "RUNNING", preempted, ends, started))
    return found


def slurm_near(jobs: Iterable[SlurmJob], now: float, warning: float) -> dict[str, tuple[str, float]]:
    """(source, deadline) of each job whose end is near. PreemptTime is set when the grace begins, and EndTime is then
    the grace's end: the only sign for a job whose processes get no signal. `warning`: seconds before the job's time
    limit from which it counts as a notice.
    """
    found = {}
    for job in jobs:
        if job.preempted:
            found[job.job_id] = (SLURM, job.ends_at)
        elif job.ends_at and job.ends_at - now <= warning:
            found[job.job_id] = (SLURM_LIMIT, job.ends_at)
    return found


def _slurm_time(text: str) -> float:
    if text.isdecimal():
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0  # None, Unknown, N/A


def _iso(text: Any) -> float:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
