package awsapi

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// STS is the service that tells a caller who it is.
func STS() *Service {
	return &Service{
		Name: "sts", Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Codec:      NewCodec(nil),
		Operations: []Operation{Op("GetCallerIdentity", getCallerIdentity)},
	}
}

func getCallerIdentity(_ context.Context, call *Call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Account: &call.Account, Arn: &call.ARN, UserId: &call.UserID}, nil
}
