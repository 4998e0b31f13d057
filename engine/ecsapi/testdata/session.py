"""A session of boto3 with ECS, from the first cluster to its deletion."""

import boto3
from botocore.exceptions import ClientError

ecs = boto3.client("ecs")
quick = {"Delay": 1, "MaxAttempts": 20}


def wait(name, **of):
    ecs.get_waiter(name).wait(WaiterConfig=quick, **of)


assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
cluster = ecs.create_cluster(clusterName="mine")["cluster"]
assert cluster["status"] == "ACTIVE"
try:
    ecs.describe_services(cluster="nowhere", services=["web"])
    raise AssertionError("a cluster that is not there")
except ecs.exceptions.ClusterNotFoundException:
    pass

for family in ("web", "job"):
    made = ecs.register_task_definition(
        family=family,
        containerDefinitions=[
            {"name": "main", "command": ["./" + family], "cpu": 64, "memory": 64, "portMappings": [{"containerPort": 80}]}
        ],
    )["taskDefinition"]
    assert made["revision"] == 1
registered = [a for page in ecs.get_paginator("list_task_definitions").paginate(PaginationConfig={"PageSize": 1}) for a in page["taskDefinitionArns"]]
assert len(registered) == 2, registered

service = ecs.create_service(
    serviceName="web",
    taskDefinition="web",
    desiredCount=2,
    deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 200},
    tags=[{"key": "plimsoll:priority", "value": "1"}],
)["service"]
assert service["desiredCount"] == 2
wait("services_stable", services=["web"])
described = ecs.describe_services(services=["web"], include=["TAGS"])["services"][0]
assert described["runningCount"] == 2 and described["tags"][0]["value"] == "1", described

run = ecs.run_task(taskDefinition="job", startedBy="boto3", overrides={"containerOverrides": [{"name": "main", "command": ["x"], "memoryReservation": 32}]})
assert not run["failures"], run
task = run["tasks"][0]["taskArn"]
wait("tasks_running", tasks=[task])
ecs.stop_task(task=task, reason="enough")
wait("tasks_stopped", tasks=[task])
stopped = ecs.describe_tasks(tasks=[task])["tasks"][0]
assert stopped["stopCode"] == "UserInitiated" and stopped["stoppedReason"] == "enough", stopped

ecs.update_service(service="web", desiredCount=3, forceNewDeployment=True)
wait("services_stable", services=["web"])
tasks = [a for page in ecs.get_paginator("list_tasks").paginate(serviceName="web", PaginationConfig={"PageSize": 2}) for a in page["taskArns"]]
assert len(tasks) == 3, tasks
history = ecs.list_service_deployments(service="web")["serviceDeployments"]
assert [d["status"] for d in history] == ["SUCCESSFUL", "SUCCESSFUL"], history

try:
    ecs.delete_service(service="web")
    raise AssertionError("a service that is scaled up")
except ClientError as e:
    assert e.response["Error"]["Code"] == "InvalidParameterException", e.response
ecs.delete_service(service="web", force=True)
wait("services_inactive", services=["web"])
wait("tasks_stopped", tasks=tasks)
ecs.deregister_task_definition(taskDefinition="web:1")
ecs.delete_cluster(cluster="mine")
assert ecs.describe_clusters(clusters=["mine"])["failures"][0]["reason"] == "MISSING"
print("done")
