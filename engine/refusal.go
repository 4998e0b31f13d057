package engine

import "fmt"

// The names of ECS's exceptions that the machine refuses with.
const (
	codeInvalid          = "InvalidParameterException"
	codeClient           = "ClientException"
	codeClusterNotFound  = "ClusterNotFoundException"
	codeServiceNotFound  = "ServiceNotFoundException"
	codeServiceNotActive = "ServiceNotActiveException"
	codeConflict         = "ConflictException"
	codeServer           = "ServerException"
	codeInUse            = "ResourceInUseException"
	codeTargetNotFound   = "TargetNotFoundException"
	codeAttributeLimit   = "AttributeLimitExceededException"
	codeHasInstances     = "ClusterContainsContainerInstancesException"
	codeHasServices      = "ClusterContainsServicesException"
	codeHasTasks         = "ClusterContainsTasksException"
)

// The reasons of failures.
const (
	reasonMissing = "MISSING"
	// reasonNotValid: the task is of no service, or is about to stop.
	reasonNotValid = "TASK_NOT_VALID"
	// reasonBlocked: more tasks would be protected than the service is to have.
	reasonBlocked = "DEPLOYMENT_BLOCKED"
)

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
