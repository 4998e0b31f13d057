package awsapi

import (
	"fmt"
	"net/http"
)

// Error is a refusal as it goes over the wire. The same error has one name in
// the JSON protocols and may have another in the query protocol.
type Error struct {
	// Code is the name of the exception in the service's model
	// ("ClusterNotFoundException").
	Code string
	// QueryCode is its name in the query protocol ("InvalidClientTokenId");
	// empty: the same as Code.
	QueryCode string
	Message   string
	// Status is the HTTP status; 0 is 400.
	Status int
	// QueryStatus is the HTTP status in the query protocol; 0: as Status.
	QueryStatus int
	// ec2 is its name with EC2, if that is no name of ec2Codes.
	ec2 string
	// Resources are the resourceIds of a ConflictException.
	Resources []string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// status is the HTTP status for the JSON protocols.
func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

func (e *Error) queryStatus() int {
	if e.QueryStatus == 0 {
		return e.status()
	}
	return e.QueryStatus
}

func (e *Error) queryCode() string {
	if e.QueryCode == "" {
		return e.Code
	}
	return e.QueryCode
}

// ec2Codes are the names that EC2 has for the errors which every service shares,
// where they differ.
var ec2Codes = map[string]string{
	"SignatureDoesNotMatch": "AuthFailure",
	"InvalidClientTokenId":  "AuthFailure",
	"MalformedInput":        "InvalidParameterValue",
	"InternalFailure":       "InternalError",
	"ThrottlingException":   "RequestLimitExceeded",
}

func (e *Error) ec2Code() string {
	if e.ec2 != "" {
		return e.ec2
	}
	if code := ec2Codes[e.queryCode()]; code != "" {
		return code
	}
	return e.queryCode()
}

// ec2Status is the HTTP status with EC2.
func (e *Error) ec2Status() int {
	switch e.ec2Code() {
	case "AuthFailure":
		return http.StatusUnauthorized
	case "RequestLimitExceeded":
		return http.StatusServiceUnavailable
	case "MissingAuthenticationToken":
		return http.StatusForbidden
	}
	return e.status()
}

// fault is "Sender" or "Receiver": whose mistake it was.
func (e *Error) fault() string {
	if e.status() >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// Refuse makes an error with the code given and a message in the form of
// fmt.Sprintf.
func Refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
