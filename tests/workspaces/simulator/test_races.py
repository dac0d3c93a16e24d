"""Concurrent calls: the rule of one machine per user, and batches that overlap."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.server import Simulator

Result = TypeVar("Result")
THREADS = 16


def _together(work: Callable[[int], Result]) -> list[Result]:
    """Run `work(0)`, `work(1)`, … in threads that begin at the same instant."""
    gate = threading.Barrier(THREADS)

    def begin(number: int) -> Result:
        gate.wait(timeout=30)
        return work(number)

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def test_of_many_concurrent_creates_for_a_user_one_is_taken(simulator: Simulator, cloud: Cloud) -> None:
    for attempt in range(10):
        answers = _together(lambda number, attempt=attempt: cloud.create(cloud.request(f"user{attempt}")))
        taken = [item for answer in answers for item in answer["PendingRequests"]]
        refused = [item["ErrorCode"] for answer in answers for item in answer["FailedRequests"]]
        assert len(taken) == 1
        assert refused == ["ResourceExists.WorkSpace"] * (THREADS - 1)
    assert all(one["ever"] == 1 for one in simulator.control.launches())


def test_overlapping_batches_give_each_user_one_machine(simulator: Simulator, cloud: Cloud) -> None:
    users = [f"user{number}" for number in range(25)]
    answers = _together(lambda number: cloud.create(*(cloud.request(user) for user in users[number:] + users[:number])))
    assert sum(len(answer["PendingRequests"]) for answer in answers) == 25
    counted = simulator.control.launches()
    assert {one["user_name"] for one in counted} == set(users)
    assert all((one["ever"], one["live"]) == (1, 1) for one in counted)


def test_of_many_concurrent_stops_one_is_taken(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    failures = _together(lambda number: stepped_cloud.stop(workspace_id))
    assert sorted(len(one) for one in failures) == [0] + [1] * (THREADS - 1)


def test_tags_added_concurrently_are_all_kept(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    _together(lambda number: cloud.api.create_tags(ResourceId=workspace_id, Tags=[{"Key": f"k{number}", "Value": ""}]))
    assert len(cloud.api.describe_tags(ResourceId=workspace_id)["TagList"]) == THREADS


def test_pages_read_while_machines_come_and_go_show_every_lasting_machine_once(cloud: Cloud) -> None:
    lasting = {cloud.launch(f"lasting{number}") for number in range(40)}
    done = threading.Event()

    def churn() -> None:
        number = 0
        while not done.is_set():
            cloud.terminate(cloud.launch(f"passing{number}"))
            number += 1

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(10):
            pages = cloud.api.get_paginator("describe_workspaces").paginate(PaginationConfig={"PageSize": 7})
            seen = [machine["WorkspaceId"] for page in pages for machine in page["Workspaces"]]
            assert len(seen) == len(set(seen))
            assert lasting <= set(seen)
    finally:
        done.set()
        writer.join()
