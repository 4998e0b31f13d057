#!/usr/bin/env python3
"""A queue worker for ECS in Python: boto3 and the ECS agent's endpoints, nothing
of Plimsoll's own but the last step. It takes a message, has its task protected,
does the work, deletes the message and ends the protection; after IDLE seconds
without a message it has its task counted out and ends.

The environment of a task is all that it needs. Outside of one, `plimsoll env`
prints how boto3 reaches the engine, and there is no agent and no protection.
"""

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3

QUEUE = os.environ.get("QUEUE", "jobs")
IDLE = float(os.environ.get("IDLE", "60"))
VISIBILITY = int(os.environ.get("VISIBILITY", "30"))

stopping = threading.Event()


def stop(*_):
    stopping.set()


def say(*words):
    print(*words, flush=True)


def ask(method, url, body=None, headers=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def protect(on):
    """Tell whether the platform has done what was asked for."""
    agent = os.environ.get("ECS_AGENT_URI")
    if not agent:
        return True
    state = {"ProtectionEnabled": on}
    if on:
        state["ExpiresInMinutes"] = 60
    answer = ask("PUT", agent + "/task-protection/v1/state", state)
    if "failure" in answer:
        say("protection refused:", answer["failure"]["Reason"])
        return False
    say("protected" if answer["protection"]["ProtectionEnabled"] else "unprotected")
    return True


def release():
    """Have this task counted out; tell whether it may leave."""
    url = os.environ.get("PLIMSOLL_RELEASE_URI")
    if not url:
        return "ECS_AGENT_URI" not in os.environ
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who is counted out is asked to stop; this one ends anyway
        ask("POST", url, headers={"Authorization": "Bearer " + os.environ["PLIMSOLL_RELEASE_TOKEN"]})
        return True
    except (urllib.error.URLError, OSError) as problem:
        signal.signal(signal.SIGTERM, stop)
        say("not released:", problem)
        return False


def work(message):
    name = message["Body"]
    attributes = {k: v.get("StringValue") for k, v in message.get("MessageAttributes", {}).items()}
    say("working on", name, attributes)
    time.sleep(float(attributes.get("seconds", "0")))
    say("done with", name)


def keep_hidden(sqs, url, message, done):
    while not done.wait(VISIBILITY / 3):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=VISIBILITY)


def handle(sqs, url, message):
    """Tell whether to go on."""
    receipt = message["ReceiptHandle"]
    if not protect(True):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
        return False
    done = threading.Event()
    hiding = threading.Thread(target=keep_hidden, args=(sqs, url, message, done))
    hiding.start()
    try:
        work(message)
    finally:
        done.set()
        hiding.join()
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
    say("deleted", message["Body"])
    protect(False)
    return True


def main():
    signal.signal(signal.SIGTERM, stop)
    metadata = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if metadata:
        task = ask("GET", metadata + "/task")
        say("task", task["TaskARN"], "of service", task.get("ServiceName"), "in cluster", task["Cluster"])
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    idle_since = time.monotonic()
    while not stopping.is_set():
        left = IDLE - (time.monotonic() - idle_since)
        got = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=int(max(0, min(20, left))),
            VisibilityTimeout=VISIBILITY, MessageAttributeNames=["All"],
        ).get("Messages", [])
        if got:
            if not handle(sqs, url, got[0]):
                return
            idle_since = time.monotonic()
        elif left <= 0:
            if release():
                say("released")
                return
            idle_since = time.monotonic()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
