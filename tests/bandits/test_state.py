"""Trials, states, logs and locks: nothing is lost, nothing is counted twice."""

import json
import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ailys.bandits as bandits
from ailys.bandits import KLUCB, UCB, Agent, Arms, Thompson
from ailys.bandits.state import Locked, lock, restore_generator, state_text, stored_generator

from .kills import killed_children


def snapshot(agent):
    return {k: v for k, v in json.loads(agent.to_json()).items() if k not in ("revision", "checksum")}


def test_an_outcome_is_counted_once_and_only_for_its_trial():
    agent = UCB(["red", "blue"], rng=0)
    arms = agent.ask(3)
    trials = list(agent.pending)
    before = snapshot(agent)
    for call in (
        lambda: agent.tell(arms[0], 1, trial=99),
        lambda: agent.tell("green", 1),
        lambda: agent.tell(arms[0], float("nan")),
        lambda: agent.tell(arms[0], 0.5),
        lambda: agent.tell(arms, [1, 0]),
        lambda: agent.tell(arms, [1, 0, 1], [trials[0], trials[0], trials[1]]),
        lambda: agent.tell({"red": "blue", "blue": "red"}[arms[0]], 1, trial=trials[0]),
        lambda: agent.tell(arms, [1, 0, 7]),
    ):
        with pytest.raises(ValueError):
            call()
        assert snapshot(agent) == before
    agent.tell(arms[0], 1, trial=trials[0])
    with pytest.raises(ValueError, match="was told already"):
        agent.tell(arms[0], 1, trial=trials[0])
    agent.tell(arms[1:], [0, 1], trials[1:])
    assert agent.t == 3
    assert not agent.pending
    with pytest.raises(ValueError, match="no pending trial"):
        agent.tell("red", 1)
    agent.tell("red", 1, observational=True)
    assert agent.t == 4


def test_several_asks_go_to_arms_that_nobody_has_tried():
    assert sorted(UCB(5, rng=0).ask(5)) == [0, 1, 2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), kind=st.sampled_from(["UCB", "KLUCB", "Thompson", "IMED", "EmpiricalKLUCB", "BayesUCB"])
)
def test_an_agent_read_from_its_state_goes_on_as_if_nothing_had_happened(seed, kind):
    family = "bounded(0,2)"
    agents = [getattr(bandits, kind)(3, family=family, rng=seed)]
    world = np.random.default_rng(seed)
    for step in range(60):
        if step == 25:
            agents.append(Agent.from_json(agents[0].to_json()))
            assert snapshot(agents[1]) == snapshot(agents[0])
        asked = [agent.ask() for agent in agents]
        assert len(set(asked)) == 1
        reward = float(world.choice([0.0, 0.3, 1.1, 2.0]))
        if step % 3:
            for agent in agents:
                agent.tell(asked[0], reward)


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_survives(bits):
    rng = np.random.Generator(getattr(np.random, bits)(5))
    rng.random(7)
    again = restore_generator(json.loads(json.dumps(stored_generator(rng))))
    assert np.array_equal(rng.random(5), again.random(5))
    assert np.array_equal(rng.integers(0, 99, 5), again.integers(0, 99, 5))


def test_a_file_that_another_process_has_changed_is_not_overwritten(tmp_path):
    path = tmp_path / "s.json"
    first = UCB(2, rng=0)
    first.to_json(path)
    second = UCB.from_json(path)
    second.tell(second.ask(), 1)
    second.to_json(path)
    kept = path.read_bytes()
    with pytest.raises(FileExistsError, match="has not read"):
        first.to_json(path)
    with pytest.raises(FileExistsError, match="has not read"):
        UCB(2, rng=1).to_json(path)
    assert path.read_bytes() == kept
    second.tell(second.ask(), 1)
    second.to_json(path)
    assert UCB.from_json(path).t == 2


def test_only_one_process_holds_a_state(tmp_path):
    path = tmp_path / "s.json"
    with lock(path), pytest.raises(Locked, match="in use by another process"), lock(path):
        pass
    with lock(path):  # released
        pass


def test_what_is_not_a_state_is_refused(tmp_path):
    path = tmp_path / "s.json"
    good = json.loads(UCB(2, rng=0).to_json())
    for change, said in [
        ({"schema": "ailys.bandits/9"}, "schema 'ailys.bandits/9'"),
        ({"class": "os"}, "names the class 'os'"),
        ({"counts": [1, 2, 3]}, "3 counts"),
        ({"counts": [1, 2]}, "do not add up"),
        ({"rng": {"bit_generator": "system"}}, "names the generator"),
        ({"parameters": {"fog": 1}}, "misses or spoils"),
    ]:
        path.write_text(state_text(good | change))
        with pytest.raises(ValueError, match=said):
            Agent.from_json(path)
    path.write_text(json.dumps(good)[:-20])
    with pytest.raises(ValueError, match="cut short"):
        Agent.from_json(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no field 'schema'"):
        Agent.from_json(path)
    with pytest.raises(ValueError, match="load it with UCB.from_json"):
        Thompson.from_json(json.dumps(good))
    with pytest.raises(FileNotFoundError, match="no such file"):
        Agent.from_json(tmp_path / "none.json")


def paths_of(value, path=()):
    """Where the numbers, words and empty lists of a state stand."""
    if isinstance(value, (dict, list)) and value:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths_of(value[key], (*path, key))
    else:
        yield path


def test_whatever_is_edited_in_a_state_is_noticed(tmp_path):
    test = bandits.ABTest(["old", "new"], rng=0, log=tmp_path / "log.csv")
    for outcome in (0, 1, 1, 0, 1):
        test.record(test.assign(), outcome)
    test.assign(2)
    text = test.to_json()
    assert Agent.from_json(json.dumps(json.loads(text), indent=2)).t == 5  # white space is no edit
    paths = list(paths_of(json.loads(text)))
    assert len(paths) > 40
    for *above, last in paths:
        state = json.loads(text)
        place = state
        for key in above:
            place = place[key]
        there = place[last]
        place[last] = there + 1 if isinstance(there, (int, float)) else f"{there}x"
        with pytest.raises(ValueError, match="schema" if last == "schema" else "does not match its checksum"):
            Agent.from_json(json.dumps(state))
        del place[last]
        with pytest.raises(ValueError, match="schema" if last == "schema" else "does not match its checksum"):
            Agent.from_json(json.dumps(state))


@pytest.mark.parametrize("other", [None, -1, 0.5, 1e308, 10**30, "x", [], {}, [[1]]])
def test_a_state_that_no_agent_was_in_is_refused_whatever_its_checksum(other):
    test = bandits.ABTest(["old", "new"], rng=0)
    for outcome in (0, 1, 1):
        test.record(test.assign(), outcome)
    test.assign(2)
    text, refused = test.to_json(), 0
    for *above, last in paths_of(json.loads(text)):
        state = json.loads(text)
        place = state
        for key in above:
            place = place[key]
        place[last] = other
        try:
            agent = Agent.from_json(state_text(state))
        except (ValueError, FileNotFoundError):
            refused += 1
        else:  # a state that it could have been in
            agent.ask()
    assert refused > 10


def test_a_state_without_a_checksum_is_told_apart_from_an_edited_one():
    state = json.loads(UCB(2, rng=0).to_json())
    del state["checksum"]
    with pytest.raises(ValueError, match="it has none, as states had in the beginning"):
        Agent.from_json(json.dumps(state))


def test_a_whole_state_loads_however_an_editor_wrote_it_down(tmp_path):
    agent, path = (
        Thompson(["é\u2028", "\U0001f33b"], rng=np.random.Generator(np.random.MT19937(1))),
        tmp_path / "s.json",
    )
    agent.tell(agent.ask(), 1)
    state = json.loads(agent.to_json())
    text = json.dumps(dict(reversed(state.items())), indent=3, ensure_ascii=False).replace("\n", "\r\n")
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + text.encode())
        assert snapshot(Agent.from_json(path)) == snapshot(agent)


def test_an_edited_beginning_of_a_log_is_noticed(tmp_path):
    path = tmp_path / "log.csv"
    agent = UCB(2, rng=0, log=path)
    agent.tell(agent.ask(), 1)
    assert Agent.from_log(path).t == 1
    with pytest.raises(ValueError, match="load it with UCB"):
        Thompson.from_log(path)
    path.write_text(path.read_text().replace('"bernoulli"', '"bounded"', 1))
    with pytest.raises(ValueError, match="line 1: the state does not match its checksum"):
        Agent.from_log(path)


def test_a_log_rebuilds_the_agent_and_catches_up_a_state_that_is_behind(tmp_path):
    log, state = tmp_path / "log.csv", tmp_path / "s.json"
    agent, world = KLUCB(3, rng=0, log=log), Arms([0.2, 0.5, 0.7], rng=0)
    for step in range(40):
        arm = agent.ask()
        agent.tell(arm, world(arm))
        if step == 20:
            agent.to_json(state)
    assert snapshot(Agent.from_json(state)) == snapshot(agent)
    rebuilt = Agent.from_log(log)
    assert np.array_equal(rebuilt.counts, agent.counts)
    assert rebuilt.rng.bit_generator.state == agent.rng.bit_generator.state
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines) + "tell,99")  # a line that was never finished is left out
    assert Agent.from_json(state).t == agent.t
    event = next(
        i
        for i, line in enumerate(lines)
        if line.startswith("tell") and line.endswith(f",1.0,,{line.rsplit(',', 1)[1]}")
    )
    lines[event] = lines[event].replace(",1.0,", ",0.0,")
    log.write_text("".join(lines))
    with pytest.raises(ValueError, match="does not match the digest"):
        Agent.from_json(state)
    log.write_text("".join(lines[:5]))
    with pytest.raises(ValueError, match="the state has seen"):
        Agent.from_json(state)
    log.write_text("".join(lines[:4]) + "sell,1,2,3,4,5\n")
    with pytest.raises(ValueError, match="line 5: not an event"):
        Agent.from_log(log)
    with pytest.raises(FileExistsError, match="another name for the log"):
        KLUCB(3, log=log)


WORKER = """
import os, sys
from ailys.bandits import Agent, KLUCB
from pathlib import Path
state, log, told = map(Path, sys.argv[1:])
KLUCB(3, rng=0, log=log).to_json(state)
warm = KLUCB(2, rng=0)  # loads the compiled kernels
for _ in range(4):
    warm.tell(warm.ask(), 1)
print("ready", flush=True)
for _ in sys.stdin:  # a child for each line
    child = os.fork()
    if not child:
        break
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
else:
    sys.exit()
agent = Agent.from_json(state)
while agent.t < 10**6:
    trial = next(iter(agent.pending), None)
    if trial is None:
        agent.ask()
        trial = agent.last_trial
        agent.to_json(state)
    arm = agent.pending[trial][0]
    with told.open("a") as file:
        file.write(f"{trial}\\n")
    agent.tell(arm, trial % 2, trial)
    agent.to_json(state)
"""


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(tmp_path):
    state, log, told = tmp_path / "s.json", tmp_path / "log.csv", tmp_path / "told.txt"
    rng = np.random.default_rng(0)
    for _ in killed_children(WORKER, state, log, told, pauses=rng.uniform(0.0, 0.25, 20)):
        agent = Agent.from_json(state)
        attempted = [int(line) for line in told.read_text().split()] if told.exists() else []
        # every outcome handed over before the last one is in, and none twice
        assert len(set(attempted)) - 1 <= agent.t <= len(set(attempted))
        rebuilt = Agent.from_log(log)
        assert np.array_equal(rebuilt.counts, agent.counts)
        assert agent.sums.sum() == sum(t % 2 for t in range(1, agent.t + 1))
    assert agent.t > 50


def hammer(path, n, queue):
    done = 0
    for _ in range(n):
        try:
            agent = UCB.from_json(path)
            agent.tell(agent.ask(), 1)
            agent.to_json(path)
            done += 1
        except (Locked, FileExistsError):
            pass
    queue.put(done)


@pytest.mark.slow
def test_two_processes_on_one_state_lose_no_update(tmp_path):
    path = tmp_path / "s.json"
    UCB(2, rng=0).to_json(path)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=hammer, args=(path, 60, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    done = sum(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert UCB.from_json(path).t == done > 0
