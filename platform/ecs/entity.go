package ecs

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
)

// service translates a service.
func service(s *types.Service, def definition) plimsoll.Service {
	return plimsoll.Service{
		ARN: aws.ToString(s.ServiceArn), Name: aws.ToString(s.ServiceName),
		TaskDefinition: aws.ToString(s.TaskDefinition),
		Desired:        int(s.DesiredCount), Running: int(s.RunningCount), Pending: int(s.PendingCount),
		Reserved:   def.reserved(nil),
		Ports:      def.hostPorts,
		Daemon:     s.SchedulingStrategy == types.SchedulingStrategyDaemon,
		Registries: registries(s),
		Deploying:  len(s.Deployments) > 1, Deployments: deployments(s),
		Rolling: rolling(s), MinimumHealthy: minimumHealthy(s),
		Tags:      tagMap(s.Tags),
		CreatedAt: aws.ToTime(s.CreatedAt),
	}
}

func deployments(s *types.Service) (all []plimsoll.Deployment) {
	for _, d := range s.Deployments {
		all = append(all, plimsoll.Deployment{ID: aws.ToString(d.Id), Primary: aws.ToString(d.Status) == "PRIMARY"})
	}
	return all
}

// rolling tells whether ECS itself replaces tasks by those of a new deployment, one
// by one: CodeDeploy, others' controllers and ECS's own blue/green do it otherwise.
func rolling(s *types.Service) bool {
	if s.DeploymentController != nil && s.DeploymentController.Type != types.DeploymentControllerTypeEcs {
		return false
	}
	strategy := types.DeploymentStrategyRolling
	if s.DeploymentConfiguration != nil {
		strategy = cmp.Or(s.DeploymentConfiguration.Strategy, strategy)
	}
	return strategy == types.DeploymentStrategyRolling
}

// minimumHealthy is ECS's default where nothing is said.
func minimumHealthy(s *types.Service) int {
	if s.DeploymentConfiguration == nil || s.DeploymentConfiguration.MinimumHealthyPercent == nil {
		return 100
	}
	return int(*s.DeploymentConfiguration.MinimumHealthyPercent)
}

// registries are the ARNs of where ECS registers a service's tasks.
func registries(s *types.Service) (arns []string) {
	for _, l := range s.LoadBalancers {
		if l.TargetGroupArn != nil {
			arns = append(arns, *l.TargetGroupArn)
		}
	}
	for _, r := range s.ServiceRegistries {
		if r.RegistryArn != nil {
			arns = append(arns, *r.RegistryArn)
		}
	}
	return arns
}

func isActive(s *types.Service) bool { return aws.ToString(s.Status) == "ACTIVE" }

// task translates a task as it was seen at a time; address is that of its container
// instance, if known.
func task(t *types.Task, def definition, address string, at time.Time) plimsoll.Task {
	result := plimsoll.Task{
		ARN: aws.ToString(t.TaskArn), Service: serviceOf(t), Deployment: deploymentOf(t),
		TaskDefinition:    aws.ToString(t.TaskDefinitionArn),
		ContainerInstance: aws.ToString(t.ContainerInstanceArn),
		Zone:              aws.ToString(t.AvailabilityZone),
		LastStatus:        plimsoll.Status(aws.ToString(t.LastStatus)),
		DesiredStatus:     plimsoll.Status(aws.ToString(t.DesiredStatus)),
		Reserved:          def.reserved(t.Overrides),
		Ports:             def.hostPorts,
		Released:          released(t),
		Draining:          draining(t, at),
		Unwell:            unwell(t, def, at), Checked: def.checked > 0,
		CreatedAt: aws.ToTime(t.CreatedAt), StartedAt: aws.ToTime(t.StartedAt),
		StoppingAt: aws.ToTime(t.StoppingAt), StoppedAt: aws.ToTime(t.StoppedAt),
		StopCode: string(t.StopCode), StoppedReason: aws.ToString(t.StoppedReason),
		ExitCode: exitCode(t, def),
	}
	if result.Live() {
		result.Endpoints = endpoints(t, def, address)
	}
	return result
}

// unwell tells whether a task's health checks fail, or have not passed yet. Later
// than they could take, UNKNOWN says that the agent does not tell, which is no
// reason to take a task out of use.
func unwell(t *types.Task, def definition, at time.Time) bool {
	switch t.HealthStatus {
	case types.HealthStatusUnhealthy:
		return true
	case types.HealthStatusUnknown:
		return def.checked > 0 && at.Before(aws.ToTime(t.StartedAt).Add(def.checked))
	}
	return false
}

func released(t *types.Task) bool { return taskTag(t, plimsoll.TagReleased) != "" }

// draining tells whether a mark has not lapsed. One that cannot be read has.
func draining(t *types.Task, at time.Time) bool {
	until, err := time.Parse(time.RFC3339, taskTag(t, plimsoll.TagDraining))
	return err == nil && at.Before(until)
}

// taskTag is the value of a task's tag; empty: it has none.
func taskTag(t *types.Task, key string) string {
	for _, tag := range t.Tags {
		if aws.ToString(tag.Key) == key {
			return aws.ToString(tag.Value)
		}
	}
	return ""
}

// serviceOf is the name of a task's service: ECS shows it in the group alone.
func serviceOf(t *types.Task) string {
	name, _ := strings.CutPrefix(aws.ToString(t.Group), "service:")
	if name == aws.ToString(t.Group) {
		return ""
	}
	return name
}

// deploymentOf is the ID of the deployment that a service's task is of: ECS shows it
// as who has started the task.
func deploymentOf(t *types.Task) string {
	if serviceOf(t) == "" {
		return ""
	}
	return aws.ToString(t.StartedBy)
}

// exitCode is that of the first essential container of the definition; of the
// first container where the definition is not known any more.
func exitCode(t *types.Task, def definition) *int {
	for _, c := range t.Containers {
		if c.ExitCode != nil && (def.essential == "" || aws.ToString(c.Name) == def.essential) {
			code := int(*c.ExitCode)
			return &code
		}
	}
	return nil
}

// endpoints are the TCP ports of a task, one for each container port. A host
// port is reached at the address that it is bound to or, if it is bound to all,
// at the host's; with network mode awsvpc the task has an address of its own.
// Host is empty where neither ECS nor EC2 tells it (see AddressAttribute).
func endpoints(t *types.Task, def definition, address string) []plimsoll.Endpoint {
	var result []plimsoll.Endpoint
	if own := ownAddress(t); own != "" {
		for _, port := range def.ports {
			result = append(result, plimsoll.Endpoint{ContainerPort: port, Host: own, Port: port})
		}
		return result
	}
	for _, c := range t.Containers {
		for _, b := range c.NetworkBindings {
			if b.ContainerPort == nil || b.HostPort == nil || b.Protocol == types.TransportProtocolUdp {
				continue
			}
			result = addEndpoint(result, plimsoll.Endpoint{
				ContainerPort: int(*b.ContainerPort),
				Host:          boundTo(aws.ToString(b.BindIP), address),
				Port:          int(*b.HostPort),
			})
		}
	}
	return result
}

// addEndpoint keeps the first binding of a container port, unless it leads
// nowhere or the later one is IPv4: Docker binds a port once for each family,
// and not always to the same host port.
func addEndpoint(list []plimsoll.Endpoint, e plimsoll.Endpoint) []plimsoll.Endpoint {
	at := slices.IndexFunc(list, func(o plimsoll.Endpoint) bool { return o.ContainerPort == e.ContainerPort })
	if at < 0 {
		return append(list, e)
	}
	if list[at].Host == "" || (strings.Contains(list[at].Host, ":") && e.Host != "" && !strings.Contains(e.Host, ":")) {
		list[at] = e
	}
	return list
}

// boundTo is the address to reach a binding at.
func boundTo(bindIP, address string) string {
	bound, err := netip.ParseAddr(bindIP)
	if err != nil || bound.IsUnspecified() {
		return address
	}
	return bindIP
}

// ownAddress is the address of a task with a network interface of its own.
func ownAddress(t *types.Task) string {
	for _, a := range t.Attachments {
		if aws.ToString(a.Type) != "ElasticNetworkInterface" {
			continue
		}
		for _, detail := range a.Details {
			if aws.ToString(detail.Name) == "privateIPv4Address" {
				return aws.ToString(detail.Value)
			}
		}
	}
	return ""
}

// containerInstance translates a host.
func containerInstance(i *types.ContainerInstance) plimsoll.ContainerInstance {
	result := plimsoll.ContainerInstance{
		ARN: aws.ToString(i.ContainerInstanceArn), InstanceID: aws.ToString(i.Ec2InstanceId),
		Status: aws.ToString(i.Status), Connected: i.AgentConnected,
		Registered: resources(i.RegisteredResources), Remaining: resources(i.RemainingResources),
		Running: int(i.RunningTasksCount), Pending: int(i.PendingTasksCount),
	}
	for _, a := range i.Attributes {
		switch aws.ToString(a.Name) {
		case "ecs.availability-zone":
			result.Zone = aws.ToString(a.Value)
		case AddressAttribute:
			result.Address = aws.ToString(a.Value)
		case drainedAttribute:
			if at, err := time.Parse(time.RFC3339, aws.ToString(a.Value)); err == nil {
				result.DrainedAt = at
			}
		}
	}
	return result
}

func resources(list []types.Resource) plimsoll.Resources {
	var result plimsoll.Resources
	for _, r := range list {
		switch aws.ToString(r.Name) {
		case "CPU":
			result.CPU = int64(r.IntegerValue)
		case "MEMORY":
			result.Memory = int64(r.IntegerValue)
		case "GPU":
			result.GPU = int64(len(r.StringSetValue))
		}
	}
	return result
}
