package ecsapi_test

import (
	"fmt"
	"strings"
)

// hundredAndOne is an input with a list of 101 names.
func hundredAndOne(member string) string {
	return `{"` + member + `":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 101), ",") + `]}`
}

var elevenAttributes = strings.TrimSuffix(strings.Repeat(`{"name":"a","targetId":"{host}"},`, 11), ",")

// job is a definition of so many CPU units.
func job(family string, cpu int) string {
	return fmt.Sprintf(`{"family":%q,"containerDefinitions":[{"name":"main","command":["x"],"cpu":%d,"memory":64}]}`, family, cpu)
}

var definitionProbes = []probe{
	{op: "RegisterTaskDefinition", in: `{"family":"web","taskRoleArn":"arn:aws:iam::123456789012:role/a","executionRoleArn":"arn:aws:iam::123456789012:role/b","networkMode":"bridge","cpu":"512","memory":"256",` +
		`"requiresCompatibilities":["EC2"],"runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},"tags":[{"key":"a","value":"b"}],` +
		`"placementConstraints":[{"type":"memberOf","expression":"attribute:ecs.os-type == linux"}],"containerDefinitions":[{"name":"main","image":"web","command":["./web"],"entryPoint":["sh"],` +
		`"workingDirectory":"/tmp","user":"nobody","environment":[{"name":"A","value":"B"}],"cpu":128,"memory":256,"memoryReservation":128,"essential":true,"stopTimeout":5,"dockerLabels":{"a":"b"},` +
		`"portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp","name":"http","appProtocol":"http"}]}]}`,
		see: []string{"taskDefinition.revision=1", "taskDefinition.status=ACTIVE", "taskDefinition.containerDefinitions.0.portMappings.0.containerPort=80",
			"taskDefinition.placementConstraints.0.type=memberOf", "tags.0.key=a"}},
	{op: "RegisterTaskDefinition", in: `{"family":"job","pidMode":"host","ipcMode":"host","containerDefinitions":[{"name":"main","command":["x"],"memory":1,` +
		`"dependsOn":[{"containerName":"db","condition":"HEALTHY"}],"restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60},` +
		`"ulimits":[{"name":"nofile","softLimit":10,"hardLimit":20}],"linuxParameters":{"initProcessEnabled":true}},` +
		`{"name":"db","command":["x"],"memory":1,"startTimeout":30,"healthCheck":{"command":["CMD-SHELL","true"],"interval":10,"timeout":3,"retries":2,"startPeriod":5}}]}`,
		see: []string{"taskDefinition.containerDefinitions.0.dependsOn.0.condition=HEALTHY", "taskDefinition.containerDefinitions.0.restartPolicy.restartAttemptPeriod=60",
			"taskDefinition.containerDefinitions.1.healthCheck.retries=2", "taskDefinition.containerDefinitions.1.startTimeout=30"},
		differs: "A container is looked at every second until it is healthy for the first time, at most for its first interval or start period, in which failures do not count."},
	{op: "RegisterTaskDefinition", in: `{"family":"x","containerDefinitions":[{"name":"a","command":["x"],"memory":1,"dependsOn":[{"containerName":"b","condition":"START"}]}]}`, err: client, says: "not in the task"},
	{op: "RegisterTaskDefinition", in: job("web", 64), see: []string{"taskDefinition.revision=2"}},
	{op: "RegisterTaskDefinition", in: job("job", 64)},
	{op: "RegisterTaskDefinition", in: `{"family":"x","containerDefinitions":[]}`, err: client, says: "empty"},
	{op: "RegisterTaskDefinition", in: `{"family":"x","requiresCompatibilities":["FARGATE"],"containerDefinitions":[{"name":"a","command":["x"],"memory":1}]}`, err: client, says: "FARGATE",
		differs: "What the runtime cannot honour is refused by name at registration: FARGATE, network modes and members of a container that it has nothing for."},
	{op: "RegisterTaskDefinition", in: `{"family":"x","placementConstraints":[{"type":"memberOf","expression":"a b"}],"containerDefinitions":[{"name":"a","command":["x"],"memory":1}]}`, err: client, says: "position 1"},
	{op: "DescribeTaskDefinition", in: `{"taskDefinition":"web:1","include":["TAGS"]}`, see: []string{"taskDefinition.family=web", "tags.0.value=b", "taskDefinition.cpu=512"},
		differs: "requiresAttributes is absent: every host here has what a definition that was registered asks for, and nothing is placed by it."},
	{op: "DescribeTaskDefinition", in: `{"taskDefinition":"none"}`, err: client, says: "Unable to describe task definition."},
	{op: "ListTaskDefinitions", in: `{"familyPrefix":"web","status":"ACTIVE","sort":"DESC","maxResults":1}`, see: []string{"taskDefinitionArns.0=~web:2", "nextToken=*"}, keep: map[string]string{"next": "nextToken"}},
	{op: "ListTaskDefinitions", in: `{"familyPrefix":"web","status":"ACTIVE","sort":"DESC","maxResults":1,"nextToken":"{next}"}`, see: []string{"taskDefinitionArns.0=~web:1", "nextToken="}},
	{op: "ListTaskDefinitions", in: `{"maxResults":0}`, err: invalid, says: "maxResults"},
	{op: "RegisterTaskDefinition", in: `{"family":"big","containerDefinitions":[{"name":"main","memory":64,"command":["` + strings.Repeat("x", 64<<10) + `"]}]}`, err: client, says: "65536"},
	{op: "ListTaskDefinitions", in: `{"sort":"SIDEWAYS"}`, err: invalid, says: "SIDEWAYS"},
	{op: "ListTaskDefinitionFamilies", in: `{"familyPrefix":"w","status":"ACTIVE","maxResults":10}`, see: []string{"families.#=1", "families.0=web"}},
	{op: "ListTaskDefinitionFamilies", in: `{"maxResults":1}`, see: []string{"families.0=job"}, keep: map[string]string{"next": "nextToken"}},
	{op: "ListTaskDefinitionFamilies", in: `{"maxResults":1,"nextToken":"{next}"}`, see: []string{"families.0=web", "nextToken="}},
	{op: "ListTaskDefinitionFamilies", in: `{"nextToken":"x"}`, err: invalid, says: "token"},
	{op: "DeleteTaskDefinitions", in: `{"taskDefinitions":["web:1"]}`, see: []string{"failures.0.reason=NOT_INACTIVE"}},
	{op: "DeregisterTaskDefinition", in: `{"taskDefinition":"web:1"}`, see: []string{"taskDefinition.status=INACTIVE"}},
	{op: "DeregisterTaskDefinition", in: `{"taskDefinition":"web"}`, err: client, says: "revision"},
	{op: "ListTaskDefinitions", in: `{"status":"INACTIVE"}`, see: []string{"taskDefinitionArns.#=1"}},
	{op: "DeleteTaskDefinitions", in: `{"taskDefinitions":["web:1","none:1"]}`, see: []string{"taskDefinitions.0.status=DELETE_IN_PROGRESS", "failures.0.reason=MISSING"},
		differs: "A deleted definition goes as soon as no task or service refers to it; the last revision of a family stays DELETE_IN_PROGRESS, so that its number is never given again."},
	{op: "DescribeTaskDefinition", in: `{"taskDefinition":"web:1"}`, err: client, says: "Unable to describe"},
	{op: "DescribeTaskDefinition", in: `{"taskDefinition":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2"}`, err: client, says: "Unable to describe"},
	{op: "DeleteTaskDefinitions", in: hundredAndOne("taskDefinitions"), err: invalid, says: "1 to 10"},
}

var taskProbes = []probe{
	{op: "RegisterTaskDefinition", in: `{"family":"job","tags":[{"key":"from","value":"definition"}],"containerDefinitions":[{"name":"main","command":["x"],"cpu":256,"memory":64,"portMappings":[{"containerPort":80}]}]}`},
	{op: "RunTask", in: `{"cluster":"default","taskDefinition":"job","count":2,"group":"batch","startedBy":"me","launchType":"EC2","clientToken":"once","tags":[{"key":"a","value":"b"}],` +
		`"propagateTags":"TASK_DEFINITION","enableECSManagedTags":true,"overrides":{"containerOverrides":[{"name":"main","command":["y"],"environment":[{"name":"A","value":"B"}],"cpu":128,"memory":96}]}}`,
		see:     []string{"tasks.#=2", "tasks.0.group=batch", "tasks.0.startedBy=me", "tasks.0.cpu=128", "tasks.0.memory=96", "tasks.0.tags.#=3", "tasks.0.launchType=EC2", "failures.#=0"},
		keep:    map[string]string{"task": "tasks.0.taskArn", "other": "tasks.1.taskArn", "host": "tasks.0.containerInstanceArn"},
		differs: "Without a placement strategy, tasks are spread over the zones, then put on the fullest host; ECS places such a task at random."},
	{op: "RunTask", in: `{"cluster":"default","taskDefinition":"job","count":1,"group":"batch","clientToken":"once"}`, err: "ConflictException", says: "once",
		differs: "A clientToken is known for as long as a task that it started is described."},
	{op: "RunTask", in: `{"taskDefinition":"job","startedBy":"who","referenceId":"r","overrides":{"cpu":"200","memory":"96","taskRoleArn":"arn:aws:iam::123456789012:role/other","executionRoleArn":"arn:aws:iam::123456789012:role/pull","containerOverrides":[{"name":"main","memory":96,"memoryReservation":80}]}}`,
		see: []string{"tasks.0.cpu=200", "tasks.0.memory=96", "tasks.0.overrides.cpu=200", "tasks.0.overrides.memory=96", "tasks.0.overrides.taskRoleArn=~role/other",
			"tasks.0.overrides.executionRoleArn=~role/pull", "tasks.0.containers.0.memoryReservation=80", "tasks.0.overrides.containerOverrides.0.memoryReservation=80"},
		keep:    map[string]string{"over": "tasks.0.taskArn"},
		differs: "referenceId is ECS's own: it tells one request with a clientToken from another, and nothing else."},
	{op: "StopTask", in: `{"task":"{over}"}`},
	{op: "DescribeTasks", in: `{"tasks":["{over}"]}`, wait: true, see: []string{"tasks.0.lastStatus=STOPPED"}},
	{op: "RunTask", in: `{"taskDefinition":"job","overrides":{"cpu":"many"}}`, err: invalid, says: "many"},
	{op: "RunTask", in: `{"taskDefinition":"job","overrides":{"containerOverrides":[{"name":"main","memoryReservation":65}]}}`, err: invalid, says: "must not exceed"},
	{op: "RunTask", in: `{"taskDefinition":"job","overrides":{"containerOverrides":[{"name":"main","environment":[{"name":"A=B","value":""}]}]}}`, err: invalid, says: "A=B"},
	{op: "RunTask", in: `{"taskDefinition":"job","overrides":{"containerOverrides":[{"name":"main","command":["` + strings.Repeat("x", 8192) + `"]}]}}`, err: invalid, says: "8192"},
	{op: "RunTask", in: `{"taskDefinition":"job","startedBy":"` + strings.Repeat("x", 129) + `"}`, err: invalid, says: "startedBy"},
	{op: "RunTask", in: `{"taskDefinition":"job","count":11}`, err: invalid, says: "between 1 and 10"},
	{op: "RunTask", in: `{"taskDefinition":"job","launchType":"FARGATE"}`, err: invalid, says: "FARGATE"},
	{op: "RunTask", in: `{"taskDefinition":"job","overrides":{"containerOverrides":[{"name":"none"}]}}`, err: invalid, says: "none"},
	{op: "RunTask", in: `{"taskDefinition":"none"}`, err: client, says: "TaskDefinition not found."},
	{op: "RunTask", in: `{"cluster":"none","taskDefinition":"job"}`, err: noCluster},
	{op: "RunTask", in: `{"taskDefinition":"job","group":"service:web"}`, err: invalid, says: "service:"},
	{op: "RegisterTaskDefinition", in: job("huge", 2000)},
	{op: "RunTask", in: `{"taskDefinition":"huge"}`, see: []string{"tasks.#=0", "failures.0.reason=RESOURCE:CPU", "failures.0.detail=~3 of 3"}},
	{op: "DescribeTasks", in: `{"cluster":"default","tasks":["{task}","none"],"include":["TAGS"]}`, wait: true,
		see: []string{"tasks.0.lastStatus=RUNNING", "tasks.0.desiredStatus=RUNNING", "tasks.0.stoppedReason=", "tasks.0.containers.0.networkBindings.0.containerPort=80",
			"tasks.0.overrides.containerOverrides.0.command.0=y", "tasks.0.tags.#=3", "failures.0.reason=MISSING"}},
	{op: "DescribeTasks", in: `{"tasks":[]}`, err: invalid, says: "empty"},
	{op: "ListTasks", in: `{"cluster":"default","family":"job","startedBy":"me","desiredStatus":"RUNNING","launchType":"EC2","maxResults":1}`, see: []string{"taskArns.#=1", "nextToken=*"}, keep: map[string]string{"next": "nextToken"}},
	{op: "ListTasks", in: `{"cluster":"default","family":"job","startedBy":"me","desiredStatus":"RUNNING","launchType":"EC2","maxResults":1,"nextToken":"{next}"}`, see: []string{"taskArns.#=1", "nextToken="}},
	{op: "ListTasks", in: `{"containerInstance":"{host}"}`, see: []string{"taskArns.0=*"}},
	{op: "ListTasks", in: `{"family":"none"}`, see: []string{"taskArns.#=0"}},
	{op: "ListTasks", in: `{"containerInstance":"none"}`, err: invalid, says: "none"},
	{op: "ListTasks", in: `{"serviceName":"none"}`, err: noService},
	{op: "ListTasks", in: `{"desiredStatus":"BUSY"}`, err: invalid, says: "BUSY"},
	{op: "ListTasks", in: `{"launchType":"MAINFRAME"}`, err: invalid, says: "MAINFRAME"},
	{op: "GetTaskProtection", in: `{"cluster":"default","tasks":["{task}"]}`, see: []string{"protectedTasks.#=0", "failures.0.reason=TASK_NOT_VALID"}},
	{op: "SubmitTaskStateChange", in: `{"cluster":"default","task":"{task}","status":"RUNNING","reason":"x","pullStartedAt":1,"pullStoppedAt":1,"executionStoppedAt":1,` +
		`"attachments":[{"attachmentArn":"a","status":"ATTACHED"}],"managedAgents":[{"containerName":"main","managedAgentName":"ExecuteCommandAgent","status":"RUNNING","reason":"x"}],` +
		`"containers":[{"containerName":"main","exitCode":0,"imageDigest":"x","reason":"x","runtimeId":"x","status":"RUNNING","networkBindings":[{"bindIP":"0.0.0.0","containerPort":80,"hostPort":80,"protocol":"tcp","containerPortRange":"80-81","hostPortRange":"80-81"}]}]}`,
		see: []string{"acknowledgment=ACK"}, differs: "Acknowledged, and nothing is changed: the engine itself sees how its tasks are.", no: "it writes times in its own form"},
	{op: "SubmitTaskStateChange", in: `{"task":"none"}`, err: invalid, says: "not found"},
	{op: "SubmitContainerStateChange", in: `{"cluster":"default","task":"{task}","containerName":"main","exitCode":0,"reason":"x","runtimeId":"x","status":"RUNNING","networkBindings":[{"bindIP":"0.0.0.0","containerPort":80,"hostPort":80,"protocol":"tcp","containerPortRange":"80-81","hostPortRange":"80-81"}]}`,
		see: []string{"acknowledgment=ACK"}, differs: "Acknowledged, and nothing is changed: the engine itself sees how its tasks are."},
	{op: "SubmitContainerStateChange", in: `{"cluster":"none"}`, err: noCluster},
	{op: "SubmitAttachmentStateChanges", in: `{"cluster":"default","attachments":[{"attachmentArn":"a","status":"ATTACHED"}]}`,
		see: []string{"acknowledgment=ACK"}, differs: "Acknowledged, and nothing is changed: there are no attachments here."},
	{op: "SubmitAttachmentStateChanges", in: `{"cluster":"none","attachments":[]}`, err: noCluster, no: "it leaves empty lists out"},
	{op: "UpdateContainerAgent", in: `{"cluster":"default","containerInstance":"{host}"}`, err: "NoUpdateAvailableException",
		differs: "Always refused with NoUpdateAvailableException, as ECS does for an agent that is up to date: the agent is the engine."},
	{op: "UpdateContainerAgent", in: `{"containerInstance":"none"}`, err: invalid, says: "none"},
	{op: "ExecuteCommand", in: `{"cluster":"default","task":"{task}","command":"ls","interactive":true}`, err: invalid, says: "docker exec",
		differs: "Always refused: there is no Session Manager here for the client to connect to. Tasks run on this machine: use docker exec, or run the command beside the task's process."},
	{op: "ExecuteCommand", in: `{"task":"none","command":"ls","interactive":true}`, err: invalid, says: "not found"},
	{op: "StopTask", in: `{"cluster":"default","task":"{task}","reason":"enough"}`, see: []string{"task.desiredStatus=STOPPED", "task.stoppedReason=enough", "task.stopCode=UserInitiated"}},
	{op: "DescribeTasks", in: `{"tasks":["{task}"]}`, wait: true, see: []string{"tasks.0.lastStatus=STOPPED", "tasks.0.stopCode=UserInitiated", "tasks.0.containers.0.exitCode=*", "tasks.0.attributes.0.value=x86_64"},
		differs: "Stopped tasks are described for an hour, at most the last thousand."},
	{op: "ListTasks", in: `{"desiredStatus":"STOPPED"}`, see: []string{"taskArns.#=2"}},
	{op: "StopTask", in: `{"task":"none"}`, err: invalid, says: "The referenced task was not found."},
}

var placementProbes = []probe{
	{op: "RegisterTaskDefinition", in: job("job", 64)},
	{op: "ListContainerInstances", in: `{}`, keep: map[string]string{"host": "containerInstanceArns.1"}},
	{op: "PutAttributes", in: `{"attributes":[{"name":"disk","value":"ssd","targetId":"{host}"}]}`},
	{op: "RunTask", in: `{"taskDefinition":"job","placementConstraints":[{"type":"memberOf","expression":"attribute:disk in [ssd, nvme]"}]}`, see: []string{"tasks.0.availabilityZone=us-east-1b"}},
	{op: "RunTask", in: `{"taskDefinition":"job","count":4,"group":"apart","placementConstraints":[{"type":"distinctInstance"}]}`, see: []string{"tasks.#=3", "failures.0.reason=~DistinctInstance"}},
	{op: "RunTask", in: `{"taskDefinition":"job","count":3,"group":"even","placementStrategy":[{"type":"spread","field":"instanceId"},{"type":"binpack","field":"memory"}]}`, see: []string{"tasks.#=3"}},
	{op: "RunTask", in: `{"taskDefinition":"job","placementStrategy":[{"type":"random"}]}`, see: []string{"tasks.#=1"}},
	{op: "RunTask", in: `{"taskDefinition":"job","placementConstraints":[{"type":"memberOf","expression":"task:group == nobody"}]}`, see: []string{"failures.0.reason=~MemberOf"}},
	{op: "RunTask", in: `{"taskDefinition":"job","placementConstraints":[{"type":"memberOf","expression":"attribute:disk =="}]}`, err: invalid, says: "position 18"},
	{op: "RunTask", in: `{"taskDefinition":"job","placementStrategy":[{"type":"spread","field":"rack"}]}`, err: invalid, says: "placementStrategy[0]"},
}

var daemonProbes = []probe{
	{op: "RegisterTaskDefinition", in: job("agent", 64)},
	{op: "CreateService", in: `{"serviceName":"agent","taskDefinition":"agent","schedulingStrategy":"DAEMON"}`, see: []string{"service.schedulingStrategy=DAEMON", "service.deploymentConfiguration.maximumPercent=100"},
		differs: "A DAEMON's tasks have the highest priority, unless its tag plimsoll:priority says otherwise."},
	{op: "DescribeServices", in: `{"services":["agent"]}`, wait: true, see: []string{"services.0.desiredCount=3", "services.0.runningCount=3"}},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"agent","schedulingStrategy":"DAEMON","desiredCount":1}`, err: invalid, says: "desired count"},
	{op: "UpdateService", in: `{"service":"agent","desiredCount":1}`, err: invalid, says: "desired count"},
	{op: "ListServices", in: `{"schedulingStrategy":"DAEMON"}`, see: []string{"serviceArns.#=1"}},
	{op: "ListServices", in: `{"schedulingStrategy":"REPLICA"}`, see: []string{"serviceArns.#=0"}},
	{op: "DeleteService", in: `{"service":"agent"}`, see: []string{"service.status=DRAINING"}},
}

var tagProbes = []probe{
	{op: "RegisterTaskDefinition", in: job("job", 64), keep: map[string]string{"definition": "taskDefinition.taskDefinitionArn"}},
	{op: "CreateService", in: `{"serviceName":"web","taskDefinition":"job","desiredCount":1}`, keep: map[string]string{"service": "service.serviceArn", "cluster": "service.clusterArn"}},
	{op: "RunTask", in: `{"taskDefinition":"job"}`, keep: map[string]string{"task": "tasks.0.taskArn", "host": "tasks.0.containerInstanceArn"}},
	{op: "CreateCapacityProvider", in: `{"name":"main","autoScalingGroupProvider":{"autoScalingGroupArn":"g"}}`, keep: map[string]string{"provider": "capacityProvider.capacityProviderArn"}},
	{op: "TagResource", in: `{"resourceArn":"{definition}","tags":[{"key":"a","value":"1"},{"key":"b","value":"2"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{service}","tags":[{"key":"a","value":"1"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{cluster}","tags":[{"key":"a","value":"1"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{task}","tags":[{"key":"a","value":"1"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{host}","tags":[{"key":"a","value":"1"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{provider}","tags":[{"key":"a","value":"1"}]}`},
	{op: "TagResource", in: `{"resourceArn":"{service}none","tags":[{"key":"a","value":"1"}]}`, err: noService},
	{op: "TagResource", in: `{"resourceArn":"{service}","tags":[{"key":"plimsoll:priority","value":"first"}]}`, err: invalid, says: "plimsoll:priority",
		differs: "The tags plimsoll:priority (1 is the highest) and plimsoll:cooperative (\"true\") on a service mean something to the engine, and take effect at once."},
	{op: "UntagResource", in: `{"resourceArn":"{definition}","tagKeys":["a","none"]}`},
	{op: "UntagResource", in: `{"resourceArn":"nothing","tagKeys":["a"]}`, err: invalid, says: "nothing"},
	{op: "ListTagsForResource", in: `{"resourceArn":"{definition}"}`, see: []string{"tags.#=1", "tags.0.key=b"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{service}"}`, see: []string{"tags.#=1"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{cluster}"}`, see: []string{"tags.#=1"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{task}"}`, see: []string{"tags.#=1"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{host}"}`, see: []string{"tags.#=1"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{provider}"}`, see: []string{"tags.#=1"}},
	{op: "ListTagsForResource", in: `{"resourceArn":"{cluster}none"}`, err: noCluster},
}
