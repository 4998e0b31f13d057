package ecsapi_test

var serviceProbes = []probe{
	{op: "RegisterTaskDefinition", in: `{"family":"web","tags":[{"key":"a","value":"b"}],"containerDefinitions":[{"name":"main","command":["x"],"cpu":64,"memory":64}]}`},
	{op: "RegisterTaskDefinition", in: job("web", 64)},
	{op: "CreateService", in: `{"cluster":"default","serviceName":"web","taskDefinition":"web:1","desiredCount":2,"launchType":"EC2","clientToken":"once","schedulingStrategy":"REPLICA",` +
		`"tags":[{"key":"team","value":"x"}],"propagateTags":"SERVICE","enableECSManagedTags":true,"healthCheckGracePeriodSeconds":30,"availabilityZoneRebalancing":"DISABLED",` +
		`"deploymentController":{"type":"ECS"},"deploymentConfiguration":{"strategy":"ROLLING","minimumHealthyPercent":50,"maximumPercent":150,"deploymentCircuitBreaker":{"enable":true,"rollback":true}},` +
		`"placementStrategy":[{"type":"spread","field":"attribute:ecs.availability-zone"},{"type":"binpack","field":"memory"}],"placementConstraints":[{"type":"memberOf","expression":"attribute:ecs.os-type == linux"}]}`,
		see: []string{"service.status=ACTIVE", "service.desiredCount=2", "service.deployments.0.rolloutState=IN_PROGRESS", "service.deploymentConfiguration.deploymentCircuitBreaker.rollback=true",
			"service.healthCheckGracePeriodSeconds=30", "service.propagateTags=SERVICE", "service.enableECSManagedTags=true", "service.placementStrategy.1.field=memory", "service.placementConstraints.0.type=memberOf"},
		differs: "With the circuit breaker on, a deployment is completed when its tasks have run for 5 seconds, and a task that ends within a minute of its start counts as failed: a program that ends at once has been RUNNING too."},
	{op: "CreateService", in: `{"serviceName":"web","taskDefinition":"web","desiredCount":2}`, err: invalid, says: "idempotent"},
	{op: "CreateService", in: `{"serviceName":"w b","taskDefinition":"web","desiredCount":2}`, err: invalid, says: "w b"},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"none","desiredCount":2}`, err: client, says: "TaskDefinition not found."},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"web"}`, err: invalid, says: "desiredCount"},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"web","desiredCount":1,"launchType":"FARGATE"}`, err: invalid, says: "FARGATE"},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"web","desiredCount":1,"deploymentConfiguration":{"maximumPercent":100,"minimumHealthyPercent":100}}`, err: invalid, says: "block deployments"},
	{op: "CreateService", in: `{"serviceName":"x","taskDefinition":"web","desiredCount":1,"deploymentController":{"type":"EXTERNAL"}}`, err: invalid, says: "EXTERNAL",
		differs: "Deployments are rolling ones of ECS's own controller; CODE_DEPLOY, EXTERNAL, BLUE_GREEN, LINEAR, CANARY and zone rebalancing are refused by name."},
	{op: "CreateService", in: `{"cluster":"none","serviceName":"x","taskDefinition":"web","desiredCount":1}`, err: noCluster},
	{op: "DescribeServices", in: `{"cluster":"default","services":["web","none"],"include":["TAGS"]}`, wait: true,
		see: []string{"services.0.runningCount=2", "services.0.pendingCount=0", "services.0.deployments.#=1", "services.0.tags.0.key=team", "services.0.events.0.message=*", "failures.0.reason=MISSING"}},
	{op: "DescribeServices", in: `{"services":[]}`, err: invalid, says: "empty"},
	{op: "ListTasks", in: `{"serviceName":"web"}`, see: []string{"taskArns.#=2"}, keep: map[string]string{"task": "taskArns.0"}},
	{op: "DescribeTasks", in: `{"tasks":["{task}"],"include":["TAGS"]}`, see: []string{"tasks.0.group=service:web", "tasks.0.startedBy=~ecs-svc/", "tasks.0.tags.#=3"}},
	{op: "UpdateTaskProtection", in: `{"cluster":"default","tasks":["{task}"],"protectionEnabled":true,"expiresInMinutes":5}`, see: []string{"protectedTasks.0.protectionEnabled=true", "protectedTasks.0.expirationDate=*"}},
	{op: "UpdateTaskProtection", in: `{"cluster":"default","tasks":["{task}"],"protectionEnabled":true,"expiresInMinutes":2881}`, err: invalid, says: "2880"},
	{op: "GetTaskProtection", in: `{"cluster":"default","tasks":["{task}","none"]}`, see: []string{"protectedTasks.0.protectionEnabled=true", "failures.0.reason=MISSING"}},
	{op: "GetTaskProtection", in: `{"cluster":"default","tasks":[]}`, err: invalid, says: "empty"},
	{op: "UpdateTaskProtection", in: `{"cluster":"default","tasks":["{task}"],"protectionEnabled":false}`, see: []string{"protectedTasks.0.protectionEnabled=false"}},
	{op: "UpdateService", in: `{"cluster":"default","service":"web","desiredCount":3,"taskDefinition":"web:2","forceNewDeployment":true,"healthCheckGracePeriodSeconds":0,"propagateTags":"TASK_DEFINITION",` +
		`"enableECSManagedTags":false,"availabilityZoneRebalancing":"DISABLED","deploymentController":{"type":"ECS"},` +
		`"deploymentConfiguration":{"strategy":"ROLLING","minimumHealthyPercent":0,"maximumPercent":200,"deploymentCircuitBreaker":{"enable":false,"rollback":false}},` +
		`"placementStrategy":[{"type":"spread","field":"instanceId"}],"placementConstraints":[{"type":"distinctInstance"}]}`,
		see: []string{"service.desiredCount=3", "service.deployments.#=2", "service.deployments.0.taskDefinition=~web:2", "service.placementStrategy.0.field=instanceId",
			"service.placementConstraints.0.type=distinctInstance", "service.propagateTags=TASK_DEFINITION", "service.deploymentConfiguration.deploymentCircuitBreaker.enable=false"},
		differs: "A worker that writes the desired count less one and exits is the one counted out: known by its task's own credentials, or, on a service with the tag plimsoll:cooperative=true, by its write. " +
			"The exit is waited for at most 10 seconds; every other change of the count takes effect at once."},
	{op: "UpdateService", in: `{"service":"web","placementConstraints":[],"placementStrategy":[]}`, see: []string{"service.placementConstraints.#=0", "service.placementStrategy.#=0"}, no: "it leaves empty lists out"},
	{op: "DescribeServices", in: `{"services":["web"]}`, wait: true, see: []string{"services.0.runningCount=3", "services.0.deployments.#=1", "services.0.deployments.0.rolloutState=COMPLETED"}},
	{op: "UpdateService", in: `{"service":"none","desiredCount":1}`, err: noService},
	{op: "UpdateService", in: `{"service":"web","desiredCount":-1}`, err: invalid, says: "-1"},
	{op: "CreateService", in: `{"serviceName":"zeb","taskDefinition":"web","desiredCount":0}`},
	{op: "CreateService", in: `{"serviceName":"counted","taskDefinition":"web","desiredCount":0,"deploymentConfiguration":{"deploymentCircuitBreaker":` +
		`{"enable":true,"rollback":false,"resetOnHealthyTask":false,"thresholdConfiguration":{"type":"COUNT","value":7}}}}`,
		see: []string{"service.deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value=7", "service.deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask=false"},
		no:  "it does not know the threshold yet"},
	{op: "UpdateService", in: `{"service":"counted","deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":false,"resetOnHealthyTask":true,"thresholdConfiguration":{"type":"UNBOUNDED_PERCENT","value":20}}}}`,
		see: []string{"service.deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.type=UNBOUNDED_PERCENT"}, no: "it does not know the threshold yet"},
	{op: "UpdateService", in: `{"service":"counted","deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":false,"thresholdConfiguration":{"type":"HALF","value":20}}}}`,
		err: invalid, says: "HALF", no: "it does not know the threshold yet"},
	{op: "DeleteService", in: `{"service":"counted","force":true}`},
	{op: "ListServices", in: `{"cluster":"default","launchType":"EC2","schedulingStrategy":"REPLICA","resourceManagementType":"CUSTOMER","maxResults":1}`, see: []string{"serviceArns.0=~/web", "nextToken=*"}, keep: map[string]string{"next": "nextToken"}},
	{op: "ListServices", in: `{"cluster":"default","launchType":"EC2","schedulingStrategy":"REPLICA","resourceManagementType":"CUSTOMER","maxResults":1,"nextToken":"{next}"}`, see: []string{"serviceArns.0=~/zeb", "nextToken="}},
	{op: "ListServices", in: `{"launchType":"FARGATE"}`, see: []string{"serviceArns.#=0"}},
	{op: "ListServices", in: `{"launchType":"MOON"}`, err: invalid, says: "MOON"},
	{op: "DeleteService", in: `{"cluster":"default","service":"web"}`, err: invalid, says: "scaled above 0"},
	{op: "DeleteService", in: `{"cluster":"default","service":"web","force":true}`, see: []string{"service.status=DRAINING", "service.desiredCount=0"}},
	{op: "DescribeServices", in: `{"services":["web"]}`, wait: true, see: []string{"services.0.status=INACTIVE"}},
	{op: "UpdateService", in: `{"service":"web","desiredCount":1}`, err: "ServiceNotActiveException", says: "not ACTIVE"},
}
